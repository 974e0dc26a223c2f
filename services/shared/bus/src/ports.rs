//! The ports.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_kit::Error;

/// One event on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// CloudEvents id; the same for every attempt to publish it.
    pub id: String,
    /// CloudEvents 1.0 JSON, at most 256 KB.
    pub body: Bytes,
    /// What subscriptions can filter by: `client_id`, `source`, `type`, `kind`.
    pub attributes: Vec<(&'static str, String)>,
}

/// Where events go.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Publishes events to every subscriber of the topic. One result per event, in order: those that failed may be
    /// published again with the same id. `Err` means that nothing is known about any of them, which is the same as
    /// all having failed. After `Ok(())` the event is durable.
    async fn publish(&self, events: Vec<OutgoingEvent>) -> Result<Vec<Result<(), Error>>, Error>;
}

/// Names one receipt of one message; valid while the message is invisible to others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// One message, received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// For [`Queue::delete`] and [`Queue::extend`].
    pub receipt: Receipt,
    /// The event's body.
    pub body: Bytes,
    /// How often it was received, this time included; from 1.
    pub receive_count: u32,
}

/// What is in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that wait.
    pub visible: u64,
    /// Messages that somebody works on.
    pub in_flight: u64,
    /// Messages in the dead-letter queue.
    pub dead: u64,
    /// Age of the oldest message that waits.
    pub oldest: Option<Duration>,
}

/// Where events come from. One queue has one kind of consumer, in any number.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes up to `max` messages and hides them from others for the queue's visibility timeout. Waits up to `wait` for
    /// the first one; an empty list means that none came. A message that was received too often is moved to the
    /// dead-letter queue instead of being returned.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error>;

    /// Removes messages for good. A receipt whose visibility ran out is not an error: the message comes again, and the
    /// consumer's own state makes that harmless.
    async fn delete(&self, receipts: &[Receipt]) -> Result<(), Error>;

    /// Hides messages for another `visibility` from now on; zero gives them back at once.
    async fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Result<(), Error>;

    /// Counts.
    async fn stats(&self) -> Result<QueueStats, Error>;

    /// Messages in the dead-letter queue, oldest first, at most `max`.
    async fn dead_letters(&self, max: usize) -> Result<Vec<Message>, Error>;

    /// Moves every dead message back into the queue and counts them.
    async fn redrive(&self) -> Result<u64, Error>;
}
