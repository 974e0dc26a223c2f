//! What every engine's spool must do. An engine writes a [`Harness`] and one line, `spool_contract!(Engine)`.

use std::future::Future;
use std::sync::Arc;

use freshet_domain::DeliveryId;
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_proto::validation::v1::{Header, ValidateDeliveryRequest};

use super::{Spool, Spooled};

/// Makes spools.
pub trait Harness {
    /// Where a spool's rows are; dropping it removes them.
    type Place: Send + Sync;

    /// An empty place.
    fn place() -> Self::Place;

    /// A spool over the place, as after a restart.
    fn open(place: &Self::Place) -> impl Future<Output = Arc<dyn Spool>> + Send;
}

fn verified(name: &str) -> Spooled {
    Spooled::Verified(IngestDeliveryRequest {
        delivery_id: name.into(),
        body: vec![0, 255, 10].into(),
        ..Default::default()
    })
}

fn unverified() -> Spooled {
    Spooled::Unverified {
        id: DeliveryId::generate(),
        traceparent: "00-trace".into(),
        request: ValidateDeliveryRequest {
            provider: "strapi".into(),
            headers: vec![Header { name: "x-a".into(), value: vec![0xe9].into() }],
            ..Default::default()
        },
    }
}

/// What was kept is there after a restart, oldest first, byte for byte.
pub async fn p1_what_was_kept_survives_and_comes_back_in_order<H: Harness>() {
    let place = H::place();
    let spool = H::open(&place).await;
    let kept = [verified("a"), unverified(), verified("b")];
    for spooled in &kept {
        spool.put(spooled.clone()).await.expect("kept");
    }
    drop(spool);
    let spool = H::open(&place).await;
    let found = spool.oldest(10).await.expect("read");
    assert!(found.iter().map(|(_, spooled)| spooled).eq(&kept));
    assert_eq!(spool.oldest(2).await.expect("read").len(), 2);
    assert_eq!(spool.count().await.expect("counted"), (3, 0));
}

/// What was replayed is gone, and what was put aside waits no longer but is still counted.
pub async fn what_was_replayed_is_gone_and_what_was_put_aside_is_counted<H: Harness>() {
    let place = H::place();
    let spool = H::open(&place).await;
    spool.put(verified("a")).await.expect("kept");
    spool.put(verified("b")).await.expect("kept");
    let found = spool.oldest(10).await.expect("read");
    spool.remove(found[0].0).await.expect("removed");
    spool.remove(found[0].0).await.expect("a second time is no error");
    spool.set_aside(found[1].0, "nobody wants it").await.expect("put aside");
    assert_eq!(spool.oldest(10).await.expect("read"), []);
    assert_eq!(spool.count().await.expect("counted"), (0, 1));
}

/// Makes a test of every case for an engine; with a condition for one that is not on every machine.
#[macro_export]
macro_rules! spool_contract {
    ($harness:ty) => {
        $crate::spool_contract!($harness, if true);
    };
    ($harness:ty, if $there:expr) => {
        $crate::spool_contract!(@cases $harness, [$there]
            p1_what_was_kept_survives_and_comes_back_in_order,
            what_was_replayed_is_gone_and_what_was_put_aside_is_counted
        );
    };
    (@cases $harness:ty, [$there:expr] $($case:ident),+) => {
        mod contract {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    if !$there {
                        return;
                    }
                    $crate::spool::contract::$case::<$harness>().await;
                }
            )+

            #[test]
            fn p10_no_case_is_left_out() {
                let cases = [$(stringify!($case)),+];
                let source = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/spool/contract.rs"));
                assert_eq!(source.matches(concat!("pub async", " fn ")).count(), cases.len());
            }
        }
    };
}
