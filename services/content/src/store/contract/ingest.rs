//! Deliveries and dedup marks.

use bytes::Bytes;
use freshet_domain::{ChangeEffect, DeliveryId, Header, Retention, Verdict};
use freshet_kit::ErrorKind;

use super::support::*;
use crate::model::NewDelivery;
use crate::store::Store;

/// What was stored is what is read.
pub async fn p1_a_delivery_is_read_back_whole(store: &dyn Store) {
    let headers = vec![Header { name: "x-id".into(), value: Bytes::from_static(b"\xe4") }];
    let new = NewDelivery {
        verdict: Verdict::Accepted,
        reason: "REASON".into(),
        detail: "Why.".into(),
        traceparent: "00-1-2-01".into(),
        headers: headers.clone(),
        received_at: START,
        stored_at: at(3),
        ..delivery(vec![upsert("1", 5, "a"), delete("2", 5)])
    };
    let ingested = accepted(store, new.clone()).await;
    let (read, body) = store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there");
    assert_eq!(body, Some(new.body.clone()));
    assert_eq!(read.outcomes, ingested.outcomes);
    assert_eq!(effects(&read.outcomes), [ChangeEffect::Published, ChangeEffect::Unchanged]);
    assert!(read.outcomes.iter().all(|outcome| !outcome.reason.is_empty()), "each outcome says why");
    assert_eq!((read.received_at, read.stored_at, read.published_at), (START, at(3), None));
    assert_eq!((read.body_kept, read.body_bytes, read.duplicates), (true, new.body.len() as u64, 0));
    assert_eq!((read.provider, read.event, read.proof), (new.provider, new.event, new.proof));
    assert_eq!((read.reason, read.detail, read.traceparent), (new.reason, new.detail, new.traceparent));
    assert_eq!((read.client, read.source, read.headers), (new.client, new.source, headers));
    let entry = article(store, "1").await;
    assert_eq!(entry.content, Some(content("a")));
    assert_eq!((entry.delivery, entry.stored_at, entry.expires_at), (new.delivery, at(3), at(3).plus(2 * DAY)));
}

fn with_keys(keys: &[&str], changes: Vec<freshet_domain::Change>) -> NewDelivery {
    NewDelivery { dedup_keys: keys.iter().map(|key| (*key).to_owned()).collect(), ..delivery(changes) }
}

/// Any key is enough; a duplicate writes nothing but its count.
pub async fn p2_either_dedup_key_makes_a_duplicate(store: &dyn Store) {
    let first = accepted(store, with_keys(&["id:1", "hash:x"], vec![upsert("1", 5, "a")])).await;
    for keys in [&["id:1"][..], &["hash:x"], &["id:9", "hash:x"]] {
        let again = store.ingest(with_keys(keys, vec![upsert("1", 9, "b")])).await.expect("ingested");
        assert_eq!((again.delivery, again.duplicate, again.outcomes.len()), (first.delivery, true, 0));
    }
    assert_eq!(article(store, "1").await.version, version(5));
    let (kept, _) = store.get_delivery(&client("acme"), first.delivery, false).await.expect("read").expect("there");
    assert_eq!(kept.duplicates, 3);
    assert_eq!(feed(store, 0, true).await.len(), 1);
    // Keys that came with a duplicate are not remembered.
    let others: Vec<String> = (10..20).map(|number| format!("id:{number}")).collect();
    let mut keys: Vec<&str> = others.iter().map(String::as_str).collect();
    keys.push("hash:x");
    assert!(store.ingest(with_keys(&keys, vec![])).await.expect("ingested").duplicate);
    for other in &keys[..10] {
        accepted(store, with_keys(&[other], vec![])).await;
    }
}

/// Fifty at once.
pub async fn p2_of_many_equal_deliveries_at_once_exactly_one_is_accepted(store: &dyn Store) {
    let all = (0..50).map(|_| store.ingest(with_keys(&["id:1"], vec![upsert("1", 5, "a")])));
    let all: Vec<_> = futures::future::join_all(all).await.into_iter().map(|one| one.expect("ingested")).collect();
    let accepted: Vec<_> = all.iter().filter(|one| !one.duplicate).collect();
    assert_eq!(accepted.len(), 1);
    assert!(all.iter().all(|one| one.delivery == accepted[0].delivery));
    assert_eq!(feed(store, 0, true).await.len(), 1);
    assert_eq!(article(store, "1").await.revision, 1);
}

/// A caller that timed out asks again with the same id.
pub async fn p2_the_same_request_again_gets_its_first_answer(store: &dyn Store) {
    let new = with_keys(&["id:1"], vec![upsert("1", 5, "a"), upsert("2", 5, "b")]);
    let first = accepted(store, new.clone()).await;
    let again = store.ingest(new).await.expect("ingested");
    assert_eq!(again, first);
    assert_eq!(feed(store, 0, true).await.len(), 2);
    let (kept, _) = store.get_delivery(&client("acme"), first.delivery, false).await.expect("read").expect("there");
    assert_eq!(kept.duplicates, 0);
}

/// The id alone is enough.
pub async fn p2_the_same_request_without_keys_gets_its_first_answer(store: &dyn Store) {
    let new = delivery(vec![upsert("1", 5, "a")]);
    let first = accepted(store, new.clone()).await;
    assert_eq!(store.ingest(new).await.expect("ingested"), first);
    assert_eq!(feed(store, 0, true).await.len(), 1);
}

/// Until then it is known.
pub async fn p2_a_mark_is_forgotten_after_its_horizon(store: &dyn Store) {
    let late = |days: u32| NewDelivery { stored_at: START.plus(days * DAY), ..with_keys(&["id:1"], vec![]) };
    accepted(store, late(0)).await;
    assert!(store.ingest(late(1)).await.expect("ingested").duplicate);
    let second = accepted(store, late(3)).await;
    let third = store.ingest(late(4)).await.expect("ingested");
    assert_eq!((third.duplicate, third.delivery), (true, second.delivery));
}

/// Equal keys of others mean nothing.
pub async fn p7_marks_belong_to_their_client_and_source(store: &dyn Store) {
    accepted(store, with_keys(&["id:1"], vec![])).await;
    accepted(store, NewDelivery { client: client("other"), ..with_keys(&["id:1"], vec![]) }).await;
    accepted(store, NewDelivery { source: source("shop"), ..with_keys(&["id:1"], vec![]) }).await;
}

/// Not answered with the other's outcomes, and not overwritten.
pub async fn p7_the_id_of_a_delivery_of_another_client_is_refused(store: &dyn Store) {
    let first = delivery(vec![upsert("1", 5, "secret")]);
    accepted(store, first.clone()).await;
    let stolen = NewDelivery { client: client("other"), delivery: first.delivery, ..delivery(vec![]) };
    assert_eq!(store.ingest(stolen).await.expect_err("refused").kind(), ErrorKind::Exists);
}

/// The second sees what the first did.
pub async fn changes_of_one_delivery_apply_in_order(store: &dyn Store) {
    let changes = vec![upsert("1", 5, "a"), upsert("1", 5, "b"), delete("1", 5), upsert("1", 5, "c")];
    let outcomes = accepted(store, delivery(changes)).await.outcomes;
    let published = ChangeEffect::Published;
    assert_eq!(effects(&outcomes), [published, published, published, ChangeEffect::Stale]);
    let positions: Vec<u64> = outcomes.iter().map(|outcome| outcome.sequence).collect();
    assert!(positions[0] < positions[1] && positions[1] < positions[2] && positions[3] == 0);
    assert_eq!(outcomes.iter().map(|outcome| outcome.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(article(store, "1").await.content, None);
}

/// As large as the largest provider's.
pub async fn a_big_delivery_is_stored_whole(store: &dyn Store) {
    let body: Vec<u8> = (0..25 << 20).map(|byte: u32| byte as u8).collect();
    let changes = (0..1_200).map(|id| upsert(&format!("{id:04}"), 5, &format!("text {id}"))).collect();
    let new = NewDelivery { body: body.into(), ..delivery(changes) };
    let outcomes = accepted(store, new.clone()).await.outcomes;
    assert_eq!(outcomes.len(), 1_200);
    let (kept, read) = store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there");
    assert!(read == Some(new.body), "the body came back");
    assert_eq!(kept.outcomes, outcomes);
    assert_eq!(list(store, all_entries()).await.len(), 1_200);
}

/// Only its digest.
pub async fn a_digest_only_delivery_keeps_no_body(store: &dyn Store) {
    let new = NewDelivery { retention: Retention::DigestOnly, ..delivery(vec![upsert("1", 5, "a")]) };
    accepted(store, new.clone()).await;
    let (kept, body) = store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there");
    assert_eq!((kept.body_kept, kept.body_bytes, body), (false, new.body.len() as u64, None));
    assert_ne!(kept.body_hash, [0; 32]);
}

/// Nothing is a body too.
pub async fn an_empty_body_is_kept(store: &dyn Store) {
    let new = NewDelivery { body: Bytes::new(), ..delivery(vec![]) };
    accepted(store, new.clone()).await;
    let (kept, body) = store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there");
    assert_eq!((kept.body_kept, body), (true, Some(Bytes::new())));
    assert_eq!(store.get_delivery(&new.client, DeliveryId::generate(), true).await.expect("read"), None);
}
