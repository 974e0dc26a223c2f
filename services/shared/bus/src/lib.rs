//! The bus: content says what changed, and whoever subscribed hears it at least once.
//!
//! Two ports, [`Publisher`] and [`Queue`], in our words and not in those of any broker. The embedded engine keeps
//! topics and queues in SQLite ([`sqlite`]); on AWS they are SNS and SQS.
//!
//! **Invariants**
//! - Delivery is at least once and in no promised order: consumers decide by their own state.
//! - An event carries keys, hashes and trace context, never content.

#[cfg(feature = "aws")]
pub mod aws;
pub mod event;
mod heartbeat;
mod ports;
pub mod sqlite;

#[cfg(feature = "testkit")]
pub mod contract;

pub use event::{ChangedEntry, ContentChanged};
pub use heartbeat::while_working;
pub use ports::{DeadLetter, Message, OutgoingEvent, Publisher, Queue, QueueStats, Receipt};
