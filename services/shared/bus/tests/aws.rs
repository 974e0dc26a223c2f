//! The contract of the bus, on the AWS engine against an emulator.

#![cfg(feature = "aws")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use freshet_bus::aws::SqsQueue;
use freshet_bus::aws::provision::{NewQueue, create};
use freshet_bus::contract::{Harness, Made, event};
use freshet_bus::sqlite::QueueOptions;
use freshet_bus::{DeadLetter, Message, OutgoingEvent, Queue, QueueStats, Receipt};
use freshet_domain::Timestamp;
use freshet_kit::{Clock, Error, ManualClock};

/// One real second stands for so many of the contract's, because SQS keeps its own time.
const FASTER: u32 = 15;

/// A queue whose visibility passes as fast as the contract's clock is moved: real time is waited out, only shorter.
struct InStep {
    queue: SqsQueue,
    clock: ManualClock,
    /// What both clocks showed when the last call ended.
    last: Mutex<(Timestamp, Instant)>,
}

impl InStep {
    fn last(&self) -> MutexGuard<'_, (Timestamp, Instant)> {
        self.last.lock().expect("nobody panics with it")
    }

    /// Waits until as much time has passed since the last call as the contract says, and makes the call.
    async fn after<T>(&self, call: impl Future<Output = T>) -> T {
        let (then, at) = *self.last();
        tokio::time::sleep_until((at + self.clock.now().since(then) / FASTER).into()).await;
        let answer = call.await;
        *self.last() = (self.clock.now(), Instant::now());
        answer
    }
}

#[async_trait]
impl Queue for InStep {
    fn visibility(&self) -> Duration {
        self.queue.visibility() * FASTER
    }

    async fn bury(&self, message: &Message, reason: &str) -> Result<(), Error> {
        self.after(self.queue.bury(message, reason)).await
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        self.after(self.queue.receive(max, wait)).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<(), Error> {
        self.after(self.queue.delete(receipts)).await
    }

    async fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Result<(), Error> {
        self.after(self.queue.extend(receipts, visibility / FASTER)).await
    }

    async fn stats(&self) -> Result<QueueStats, Error> {
        self.queue.stats().await
    }

    async fn dead_letters(&self, max: usize) -> Result<Vec<DeadLetter>, Error> {
        self.queue.dead_letters(max).await
    }

    async fn redrive(&self) -> Result<u64, Error> {
        self.queue.redrive().await
    }
}

fn emulator() -> bool {
    freshet_aws::testing::endpoint().is_some()
}

struct Aws;

impl Harness for Aws {
    type Guard = ();

    async fn make(options: QueueOptions) -> Made<()> {
        let config = freshet_aws::testing::config().expect("an emulator");
        let name = freshet_aws::testing::name("bus");
        let queue = |number: usize, filter: BTreeMap<_, _>| NewQueue {
            name: format!("{name}-{number}"),
            filter,
            visibility: options.visibility / FASTER,
            max_receives: options.max_receives,
        };
        let products = BTreeMap::from([("kind", vec!["product".to_owned()])]);
        let queues = [queue(0, BTreeMap::new()), queue(1, products)];
        let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
        let (publisher, queues) = create(&sns, &sqs, &name, &queues).await.expect("provisioned");
        publisher.check().await.expect("there");
        let clock = ManualClock::at(Timestamp::now());
        let mut in_step: Vec<Arc<dyn Queue>> = Vec::new();
        for queue in queues {
            queue.check().await.expect("there");
            in_step.push(Arc::new(InStep {
                queue,
                clock: clock.clone(),
                last: Mutex::new((clock.now(), Instant::now())),
            }));
        }
        (Arc::new(publisher), in_step, clock, ())
    }
}

freshet_bus::bus_contract!(Aws, if emulator());

/// More than one batch of SNS, and messages as large as they can be.
#[tokio::test]
async fn many_and_large_events_arrive_whole() {
    if !emulator() {
        return;
    }
    let (publisher, queues, _, ()) = Aws::make(QueueOptions::default()).await;
    let large = |id: usize| OutgoingEvent { body: "x".repeat(200 << 10).into(), ..event(&id.to_string(), "x") };
    let events: Vec<OutgoingEvent> =
        (0..23).map(|id| if id < 3 { large(id) } else { event(&id.to_string(), "x") }).collect();
    for result in publisher.publish(events.clone()).await.expect("published") {
        result.expect("each one");
    }
    let mut bodies = Vec::new();
    while bodies.len() < events.len() {
        let messages = queues[0].receive(50, Duration::from_secs(5)).await.expect("received");
        assert!(!messages.is_empty(), "only {} came", bodies.len());
        queues[0]
            .delete(&messages.iter().map(|message| message.receipt.clone()).collect::<Vec<_>>())
            .await
            .expect("deleted");
        bodies.extend(messages.into_iter().map(|message| message.body));
    }
    let mut wanted: Vec<_> = events.into_iter().map(|event| event.body).collect();
    wanted.sort();
    bodies.sort();
    assert_eq!(bodies, wanted);
}

/// What is not there is said by name, so that a task is not ready and an operator knows why.
#[tokio::test]
async fn a_missing_topic_or_queue_is_named() {
    let Some(config) = freshet_aws::testing::config() else { return };
    let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let arn = format!("arn:aws:sns:us-east-1:123456789012:{}", freshet_aws::testing::name("none"));
    let error = freshet_bus::aws::SnsPublisher::new(sns, &arn).check().await.expect_err("missing");
    assert!(error.message().contains(&arn), "{error}");
    let url = format!("{}/123456789012/{}", freshet_aws::testing::endpoint().expect("one"), "none");
    let config = freshet_bus::aws::SqsQueueConfig {
        url: url.clone(),
        dead_url: url.clone(),
        visibility: Duration::from_secs(30),
    };
    let error = SqsQueue::new(sqs, config).check().await.expect_err("missing");
    assert!(error.message().contains(&url), "{error}");
}
