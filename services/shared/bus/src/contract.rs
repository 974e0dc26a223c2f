//! What every engine's bus must do. An engine writes a [`Harness`] and one line, `bus_contract!(Engine)`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use freshet_kit::ManualClock;

use crate::sqlite::QueueOptions;
use crate::{OutgoingEvent, Publisher, Queue};

/// Makes a fresh topic with two queues: the first gets every event, the second those of kind `product`.
pub trait Harness {
    /// Whatever must live as long as the bus.
    type Guard: Send;

    /// A fresh bus. The clock is the one that visibility is measured by.
    fn make(options: QueueOptions) -> impl Future<Output = Made<Self::Guard>> + Send;
}

/// The topic, its two queues, the clock, and whatever must live as long.
pub type Made<G> = (Arc<dyn Publisher>, Vec<Arc<dyn Queue>>, ManualClock, G);

/// An event.
pub fn event(id: &str, kind: &str) -> OutgoingEvent {
    OutgoingEvent { id: id.into(), body: format!("body of {id}").into(), attributes: vec![("kind", kind.into())] }
}

const NOW: Duration = Duration::ZERO;

async fn publish(publisher: &dyn Publisher, events: &[(&str, &str)]) {
    let events: Vec<_> = events.iter().map(|(id, kind)| event(id, kind)).collect();
    let results = publisher.publish(events.clone()).await.expect("published");
    assert_eq!(results.len(), events.len());
    for result in results {
        result.expect("each one");
    }
}

/// Every subscriber gets its own copy, filtered.
pub async fn every_subscriber_gets_its_copy<H: Harness>() {
    let (publisher, queues, _, _guard) = H::make(QueueOptions::default()).await;
    publish(&*publisher, &[("1", "product"), ("2", "document")]).await;
    let all = queues[0].receive(10, NOW).await.expect("received");
    let products = queues[1].receive(10, NOW).await.expect("received");
    assert_eq!((all.len(), products.len()), (2, 1));
    queues[0].delete(&[all[0].receipt.clone(), all[1].receipt.clone()]).await.expect("deleted");
    assert_eq!(queues[1].stats().await.expect("stats").in_flight, 1, "the other queue is untouched");
}

/// A message that is not deleted comes again after its visibility, and a deleted one never.
pub async fn what_is_not_deleted_comes_again<H: Harness>() {
    let options = QueueOptions::default();
    let (publisher, queues, clock, _guard) = H::make(options).await;
    publish(&*publisher, &[("1", "x"), ("2", "x")]).await;
    let first = queues[0].receive(10, NOW).await.expect("received");
    assert_eq!(first.iter().map(|message| message.receive_count).collect::<Vec<_>>(), [1, 1]);
    assert!(queues[0].receive(10, NOW).await.expect("none").is_empty(), "hidden");
    queues[0].delete(&[first[0].receipt.clone()]).await.expect("deleted");
    clock.advance(options.visibility + Duration::from_secs(1));
    let again = queues[0].receive(10, NOW).await.expect("received");
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].receive_count, &again[0].body), (2, &first[1].body));
    // The first receipt has run out: deleting by it must not take the message from its new owner.
    queues[0].delete(&[first[1].receipt.clone()]).await.expect("no error");
    clock.advance(options.visibility + Duration::from_secs(1));
    assert_eq!(queues[0].receive(10, NOW).await.expect("received").len(), 1);
}

/// Visibility can be extended while somebody works, and given back.
pub async fn visibility_can_be_extended_and_given_back<H: Harness>() {
    let options = QueueOptions::default();
    let (publisher, queues, clock, _guard) = H::make(options).await;
    publish(&*publisher, &[("1", "x")]).await;
    let message = queues[0].receive(1, NOW).await.expect("received").remove(0);
    clock.advance(options.visibility / 2);
    queues[0].extend(std::slice::from_ref(&message.receipt), options.visibility).await.expect("extended");
    clock.advance(options.visibility / 2 + Duration::from_secs(1));
    assert!(queues[0].receive(1, NOW).await.expect("none").is_empty(), "still hidden");
    queues[0].extend(&[message.receipt], NOW).await.expect("given back");
    assert_eq!(queues[0].receive(1, NOW).await.expect("received").len(), 1);
}

/// A message that nobody can handle ends in the dead-letter queue, and can be sent back from there.
pub async fn poison_goes_to_the_dead_letters_and_back<H: Harness>() {
    let options = QueueOptions { max_receives: 2, ..QueueOptions::default() };
    let (publisher, queues, clock, _guard) = H::make(options).await;
    publish(&*publisher, &[("1", "x")]).await;
    for count in 1..=2 {
        let messages = queues[0].receive(1, NOW).await.expect("received");
        assert_eq!(messages[0].receive_count, count);
        clock.advance(options.visibility + Duration::from_secs(1));
    }
    assert!(queues[0].receive(1, NOW).await.expect("none").is_empty());
    assert_eq!(queues[0].stats().await.expect("stats").dead, 1);
    assert_eq!(queues[0].dead_letters(10).await.expect("listed")[0].body, "body of 1");
    assert_eq!(queues[0].redrive().await.expect("moved"), 1);
    assert_eq!(queues[0].receive(1, NOW).await.expect("received").len(), 1);
    assert_eq!(queues[0].stats().await.expect("stats").dead, 0);
}

/// A message that nobody can ever handle is dead at once, with the reason; sent back, it is like new.
pub async fn what_is_buried_says_why<H: Harness>() {
    let (publisher, queues, _, _guard) = H::make(QueueOptions::default()).await;
    publish(&*publisher, &[("1", "x"), ("2", "x")]).await;
    let messages = queues[0].receive(10, NOW).await.expect("received");
    let (bad, good) = messages.iter().partition::<Vec<_>, _>(|message| message.body == "body of 1");
    let reason = format!("not JSON:\n{}", "\u{e9}".repeat(400));
    queues[0].bury(bad[0], &reason).await.expect("buried");
    queues[0].delete(&[good[0].receipt.clone()]).await.expect("deleted");
    let dead = queues[0].dead_letters(10).await.expect("listed");
    assert_eq!((dead.len(), dead[0].receive_count, &dead[0].body), (1, 1, &bad[0].body));
    assert!(dead[0].reason.starts_with("not JSON:") && dead[0].reason.len() <= 500, "{}", dead[0].reason);
    let stats = queues[0].stats().await.expect("stats");
    assert_eq!((stats.visible, stats.in_flight, stats.dead), (0, 0, 1));
    assert_eq!(queues[0].redrive().await.expect("moved"), 1);
    let again = queues[0].receive(10, NOW).await.expect("received");
    assert_eq!((again.len(), again[0].receive_count), (1, 1));
    assert!(queues[0].dead_letters(10).await.expect("listed").is_empty());
}

/// A waiting receiver is woken by a publish and does not sleep through it.
pub async fn a_waiting_receiver_is_woken<H: Harness>() {
    let (publisher, queues, _, _guard) = H::make(QueueOptions::default()).await;
    let queue = queues[0].clone();
    let receiver = tokio::spawn(async move { queue.receive(10, Duration::from_secs(20)).await });
    tokio::task::yield_now().await;
    publish(&*publisher, &[("1", "x")]).await;
    assert_eq!(receiver.await.expect("ran").expect("received").len(), 1);
}

/// Competing receivers never get the same message at the same time.
pub async fn p2_competing_receivers_share_without_overlap<H: Harness>() {
    let (publisher, queues, _, _guard) = H::make(QueueOptions::default()).await;
    let names: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    publish(&*publisher, &names.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>()).await;
    let workers = (0..8).map(|_| {
        let queue = queues[0].clone();
        tokio::spawn(async move {
            let mut bodies = Vec::new();
            loop {
                let messages = queue.receive(10, NOW).await.expect("received");
                if messages.is_empty() {
                    return bodies;
                }
                bodies.extend(messages.iter().map(|message| message.body.clone()));
                let receipts: Vec<_> = messages.into_iter().map(|message| message.receipt).collect();
                queue.delete(&receipts).await.expect("deleted");
            }
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.expect("ran"));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200, "each message once");
    assert_eq!(queues[0].stats().await.expect("stats"), crate::QueueStats::default());
}

/// Nonsense receipts are no errors and touch nothing.
pub async fn foreign_receipts_are_harmless<H: Harness>() {
    let (publisher, queues, _, _guard) = H::make(QueueOptions::default()).await;
    publish(&*publisher, &[("1", "x")]).await;
    let nonsense = [crate::Receipt("x".into()), crate::Receipt("1.0".into()), crate::Receipt(String::new())];
    queues[0].delete(&nonsense).await.expect("no error");
    assert_eq!(queues[0].stats().await.expect("stats").visible, 1);
}

/// How many cases there are.
pub fn cases() -> usize {
    include_str!("contract.rs").matches(concat!("pub async", " fn ")).count()
}

/// Makes a test of every case for an engine; with a condition for one that is not on every machine.
#[macro_export]
macro_rules! bus_contract {
    ($harness:ty) => {
        $crate::bus_contract!($harness, if true);
    };
    ($harness:ty, if $there:expr) => {
        $crate::bus_contract!(@cases $harness, [$there]
            every_subscriber_gets_its_copy,
            what_is_not_deleted_comes_again,
            visibility_can_be_extended_and_given_back,
            poison_goes_to_the_dead_letters_and_back,
            what_is_buried_says_why,
            a_waiting_receiver_is_woken,
            p2_competing_receivers_share_without_overlap,
            foreign_receipts_are_harmless
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
                    $crate::contract::$case::<$harness>().await;
                }
            )+

            #[test]
            fn p10_no_case_is_left_out() {
                let cases = [$(stringify!($case)),+];
                assert_eq!(cases.len(), $crate::contract::cases());
            }
        }
    };
}
