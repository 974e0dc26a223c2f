//! The bus on AWS: an SNS topic with SQS queues behind it.
//!
//! Subscriptions use raw delivery, so a queue's message is the event itself. SQS hides, repeats and moves to the
//! dead-letter queue by itself; [`crate::Queue`] is cut after it.
//!
//! **Invariants**
//! - A batch that failed in part is taken apart: what succeeded is not sent again, and nothing that failed is lost.
//! - Every call has a time limit; a long poll's is longer than its wait.

mod attempts;
mod publisher;
mod queue;

#[cfg(any(test, feature = "testkit"))]
pub mod provision;

pub use publisher::SnsPublisher;
pub use queue::{SqsQueue, SqsQueueConfig};

/// Most entries that one batch call of SNS or SQS takes.
const BATCH_MAX: usize = 10;
