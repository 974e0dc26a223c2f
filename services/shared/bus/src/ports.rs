//! The ports.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_kit::Error;

/// The attribute that carries an event's W3C trace context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// One event on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// CloudEvents id; the same for every attempt to publish it.
    pub id: String,
    /// CloudEvents 1.0 JSON, at most 256 KB.
    pub body: Bytes,
    /// What subscriptions can filter by: `client_id`, `source`, `type`, `kind`; and the W3C `traceparent`.
    pub attributes: Vec<(&'static str, String)>,
}

impl OutgoingEvent {
    /// The trace of the event's first change; empty if none.
    pub fn traceparent(&self) -> &str {
        let found = self.attributes.iter().find(|(name, _)| *name == TRACEPARENT);
        found.map_or("", |(_, value)| value.as_str())
    }
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

/// A message that nobody could handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event's body.
    pub body: Bytes,
    /// How often it was received.
    pub receive_count: u32,
    /// Why it is here; empty: it was received too often.
    pub reason: String,
}

/// The longest reason of a [`DeadLetter`] in bytes; longer ones are cut.
pub(crate) const REASON_BYTES_MAX: usize = 500;

/// As much of a reason as is kept.
pub(crate) fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
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
    /// A received message is hidden for this long.
    fn visibility(&self) -> Duration;

    /// For how long a consumer should gather receipts before it deletes them. Longer than nothing where each call is
    /// paid for.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }

    /// Takes up to `max` messages and hides them from others for the queue's visibility timeout. Waits up to `wait` for
    /// the first one; an empty list means that none came. A message that was received too often is moved to the
    /// dead-letter queue instead of being returned.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error>;

    /// Removes messages for good. A receipt whose visibility ran out is not an error: the message comes again, and the
    /// consumer's own state makes that harmless.
    async fn delete(&self, receipts: &[Receipt]) -> Result<(), Error>;

    /// Hides messages for another `visibility` from now on; zero gives them back at once.
    async fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Result<(), Error>;

    /// Moves a message that nobody can ever handle to the dead-letter queue, and says why. A receipt whose visibility ran
    /// out is not an error.
    async fn bury(&self, message: &Message, reason: &str) -> Result<(), Error>;

    /// Counts.
    async fn stats(&self) -> Result<QueueStats, Error>;

    /// Messages in the dead-letter queue, oldest first, at most `max`.
    async fn dead_letters(&self, max: usize) -> Result<Vec<DeadLetter>, Error>;

    /// Moves every dead message back into the queue and counts them.
    async fn redrive(&self) -> Result<u64, Error>;
}
