//! Receiving from SQS.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    Message as SqsMessage, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use freshet_kit::Error;

use super::BATCH_MAX;
use super::attempts::{Failures, each_entry, entry_error};
use crate::ports::cut;
use crate::{DeadLetter, Message, Queue, QueueStats, Receipt};

/// The longest wait of one long poll.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What a long poll may take beyond its wait.
const POLL_SLACK: Duration = Duration::from_secs(5);

/// The longest time that SQS hides a message for.
const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 3600);

/// How long messages of the dead-letter queue are hidden while somebody lists or moves them.
const DEAD_VISIBILITY: Duration = Duration::from_secs(30);

/// Deletes are gathered for this long at the most.
const LINGER: Duration = Duration::from_secs(2);

/// The attributes of a message that was buried.
const REASON: &str = "freshet_reason";
const RECEIVED: &str = "freshet_receive_count";

/// Empty answers before a queue counts as empty: SQS asks only some of its servers when it does not wait.
const EMPTY_ANSWERS: u32 = 2;

/// Where a queue is and how it is read.
#[derive(Clone, Debug)]
pub struct SqsQueueConfig {
    /// Its URL.
    pub url: String,
    /// The URL of its dead-letter queue, to which its redrive policy sends what was received too often.
    pub dead_url: String,
    /// A received message is hidden for this long, in whole seconds.
    pub visibility: Duration,
}

/// One queue.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    config: SqsQueueConfig,
}

/// A message of the dead-letter queue, as it must be sent again.
struct Dead {
    receipt: String,
    sent_at: u64,
    message: SqsMessage,
}

impl SqsQueue {
    /// The consumer's side of a queue.
    pub fn new(client: Client, config: SqsQueueConfig) -> Self {
        Self { client, config }
    }

    /// Fails unless both queues are there: for readiness.
    pub async fn check(&self) -> Result<(), Error> {
        for url in [&self.config.url, &self.config.dead_url] {
            self.counts(url).await.map_err(|error| {
                Error::new(error.kind(), "QUEUE", format!("the queue {url}: {}", error.message())).with_source(error)
            })?;
        }
        Ok(())
    }

    async fn poll(
        &self,
        url: &str,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<SqsMessage>, Error> {
        let wait = wait.min(WAIT_MAX);
        let limits = TimeoutConfig::builder()
            .operation_attempt_timeout(wait + POLL_SLACK)
            .operation_timeout(wait + POLL_SLACK)
            .build();
        let answer = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(i32::try_from(max.clamp(1, BATCH_MAX)).unwrap_or(1))
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(visibility.min(VISIBILITY_MAX)))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_attribute_names("All")
            .customize()
            .config_override(aws_sdk_sqs::config::Config::builder().timeout_config(limits))
            .send()
            .await
            .map_err(|error| freshet_aws::error("sqs:ReceiveMessage", error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    async fn delete_from(&self, url: &str, receipts: &[&str]) -> Result<(), Error> {
        in_batches(receipts, |batch, positions| async move {
            let entries = entries(&positions, |position| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(position.to_string());
                entry.receipt_handle(batch[position]).build()
            })?;
            let call = self.client.delete_message_batch().queue_url(url).set_entries(Some(entries));
            let answer = call.send().await.map_err(|error| freshet_aws::error("sqs:DeleteMessageBatch", error))?;
            Ok(failures("sqs:DeleteMessageBatch", answer.failed()))
        })
        .await
    }

    async fn hide(&self, url: &str, receipts: &[&str], visibility: Duration) -> Result<(), Error> {
        let visibility = seconds(visibility.min(VISIBILITY_MAX));
        in_batches(receipts, |batch, positions| async move {
            let entries = entries(&positions, |position| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(position.to_string());
                entry.receipt_handle(batch[position]).visibility_timeout(visibility).build()
            })?;
            let call = self.client.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
            let operation = "sqs:ChangeMessageVisibilityBatch";
            let answer = call.send().await.map_err(|error| freshet_aws::error(operation, error))?;
            Ok(failures(operation, answer.failed()))
        })
        .await
    }

    async fn counts(&self, url: &str) -> Result<(u64, u64), Error> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let call = self.client.get_queue_attributes().queue_url(url).attribute_names(Visible).attribute_names(Hidden);
        let answer = call.send().await.map_err(|error| freshet_aws::error("sqs:GetQueueAttributes", error))?;
        let of = |name: &QueueAttributeName| {
            let value = answer.attributes().and_then(|all| all.get(name));
            value.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        Ok((of(&Visible), of(&Hidden)))
    }

    /// Takes up to `max` messages of the dead-letter queue and hides them for a while.
    async fn take_dead(&self, max: usize) -> Result<Vec<Dead>, Error> {
        let mut dead = Vec::new();
        let mut empty = 0;
        while dead.len() < max && empty < EMPTY_ANSWERS {
            let wait = Duration::from_secs(u64::from(empty > 0));
            let messages = self.poll(&self.config.dead_url, max - dead.len(), wait, DEAD_VISIBILITY).await?;
            empty = if messages.is_empty() { empty + 1 } else { 0 };
            dead.extend(messages.into_iter().filter_map(|message| {
                let receipt = message.receipt_handle()?.to_owned();
                Some(Dead { receipt, sent_at: system(&message, &MessageSystemAttributeName::SentTimestamp), message })
            }));
        }
        Ok(dead)
    }

    /// Sends messages to the queue as they were. Returns the positions of those that were sent.
    async fn send_again(&self, dead: &[Dead]) -> Result<Vec<usize>, Error> {
        let failed = each_entry(dead.len(), |positions| async move {
            let entries = entries(&positions, |position| {
                let message = &dead[position].message;
                SendMessageBatchRequestEntry::builder()
                    .id(position.to_string())
                    .message_body(message.body().unwrap_or_default())
                    .set_message_attributes(attributes_before(message))
                    .build()
            })?;
            let call = self.client.send_message_batch().queue_url(&self.config.url).set_entries(Some(entries));
            let answer = call.send().await.map_err(|error| freshet_aws::error("sqs:SendMessageBatch", error))?;
            Ok(failures("sqs:SendMessageBatch", answer.failed()))
        })
        .await;
        let sent: Vec<usize> = (0..dead.len()).filter(|position| !failed.contains_key(position)).collect();
        match failed.into_iter().next() {
            Some((_, error)) if sent.is_empty() => Err(error),
            _ => Ok(sent),
        }
    }
}

/// Those that it had before it was buried.
fn attributes_before(message: &SqsMessage) -> Option<HashMap<String, MessageAttributeValue>> {
    let mut attributes = message.message_attributes().cloned()?;
    attributes.retain(|name, _| name != REASON && name != RECEIVED);
    Some(attributes)
}

fn seconds(duration: Duration) -> i32 {
    // Rounded up: a message that comes back too early is worked on twice.
    i32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

fn system(message: &SqsMessage, name: &MessageSystemAttributeName) -> u64 {
    message.attributes().and_then(|all| all.get(name)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn entries<T, E: std::fmt::Display>(
    positions: &[usize],
    make: impl Fn(usize) -> Result<T, E>,
) -> Result<Vec<T>, Error> {
    let made = positions.iter().map(|position| make(*position));
    made.map(|entry| entry.map_err(|error| Error::internal(format!("a batch entry: {error}")))).collect()
}

/// Entries that failed, without those whose receipt is no longer good: these messages come again.
fn failures(operation: &str, failed: &[BatchResultErrorEntry]) -> Failures {
    let gone = ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"];
    let lasting = failed.iter().filter(|entry| !gone.iter().any(|code| entry.code().ends_with(code)));
    lasting
        .filter_map(|entry| {
            let error = entry_error(operation, entry.code(), entry.message(), entry.sender_fault());
            Some((entry.id().parse().ok()?, error))
        })
        .collect()
}

/// Runs a batch call for ten receipts at a time; the first error of any entry is the answer.
async fn in_batches<'r, F>(receipts: &'r [&'r str], call: impl Fn(&'r [&'r str], Vec<usize>) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<Failures, Error>>,
{
    let mut result = Ok(());
    for batch in receipts.chunks(BATCH_MAX) {
        // The other batches are tried all the same.
        if let Some((_, error)) = each_entry(batch.len(), |positions| call(batch, positions)).await.into_iter().next() {
            result = Err(error);
        }
    }
    result
}

fn message(message: SqsMessage) -> Option<Message> {
    let receive_count = system(&message, &MessageSystemAttributeName::ApproximateReceiveCount).max(1);
    Some(Message {
        receipt: Receipt(message.receipt_handle?),
        body: Bytes::from(message.body.unwrap_or_default()),
        receive_count: u32::try_from(receive_count).unwrap_or(u32::MAX),
    })
}

fn dead_letter(message: SqsMessage) -> DeadLetter {
    let attribute = |name: &str| message.message_attributes().and_then(|all| all.get(name)?.string_value());
    // One that was buried was received by us; one that SQS moved, by us before and by whoever looks at it now.
    let received = attribute(RECEIVED).and_then(|text| text.parse().ok());
    let looked_at = system(&message, &MessageSystemAttributeName::ApproximateReceiveCount);
    DeadLetter {
        receive_count: received.unwrap_or_else(|| u32::try_from(looked_at).unwrap_or(u32::MAX)),
        reason: attribute(REASON).unwrap_or_default().to_owned(),
        body: Bytes::from(message.body.unwrap_or_default()),
    }
}

/// SQS refuses attributes with control characters, and empty ones.
fn printable(reason: &str) -> String {
    let text: String = cut(reason).chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if text.trim().is_empty() { "no reason given".to_owned() } else { text }
}

fn texts(receipts: &[Receipt]) -> Vec<&str> {
    // SQS refuses a whole batch that has an empty handle in it.
    receipts.iter().map(|receipt| receipt.0.as_str()).filter(|text| !text.is_empty()).collect()
}

#[async_trait]
impl Queue for SqsQueue {
    fn visibility(&self) -> Duration {
        self.config.visibility
    }

    /// A fraction of the visibility, so that a poll in between does no harm.
    fn linger(&self) -> Duration {
        LINGER.min(self.config.visibility / 10)
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        let until = Instant::now() + wait;
        let mut received: Vec<Message> = Vec::new();
        while received.len() < max {
            let left = until.saturating_duration_since(Instant::now());
            // Only the first message is waited for.
            let wait = if received.is_empty() { left } else { Duration::ZERO };
            let asked = (max - received.len()).min(BATCH_MAX);
            let messages = match self.poll(&self.config.url, asked, wait, self.config.visibility).await {
                Ok(messages) => messages,
                // What was received is not given up because more could not be.
                Err(_) if !received.is_empty() => break,
                Err(error) => return Err(error),
            };
            let count = messages.len();
            received.extend(messages.into_iter().filter_map(message));
            let more = if received.is_empty() { until > Instant::now() } else { count == asked };
            if !more {
                break;
            }
        }
        Ok(received)
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<(), Error> {
        self.delete_from(&self.config.url, &texts(receipts)).await
    }

    async fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Result<(), Error> {
        self.hide(&self.config.url, &texts(receipts), visibility).await
    }

    /// Sends first and deletes after, like [`Self::redrive`].
    async fn bury(&self, message: &Message, reason: &str) -> Result<(), Error> {
        let attribute = |kind: &str, value: &str| {
            let made = MessageAttributeValue::builder().data_type(kind).string_value(value).build();
            made.map_err(|error| Error::internal(format!("a message attribute: {error}")))
        };
        let send = self
            .client
            .send_message()
            .queue_url(&self.config.dead_url)
            .message_body(String::from_utf8_lossy(&message.body))
            .message_attributes(REASON, attribute("String", &printable(reason))?)
            .message_attributes(RECEIVED, attribute("Number", &message.receive_count.to_string())?);
        send.send().await.map_err(|error| freshet_aws::error("sqs:SendMessage", error))?;
        self.delete(std::slice::from_ref(&message.receipt)).await
    }

    /// SQS counts approximately, and tells the age of its oldest message only to CloudWatch.
    async fn stats(&self) -> Result<QueueStats, Error> {
        let (live, dead) = tokio::join!(self.counts(&self.config.url), self.counts(&self.config.dead_url));
        let ((visible, in_flight), (dead, looked_at)) = (live?, dead?);
        Ok(QueueStats { visible, in_flight, dead: dead + looked_at, oldest: None })
    }

    async fn dead_letters(&self, max: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut dead = self.take_dead(max).await?;
        dead.sort_by_key(|dead| dead.sent_at);
        let receipts: Vec<&str> = dead.iter().map(|dead| dead.receipt.as_str()).collect();
        self.hide(&self.config.dead_url, &receipts, Duration::ZERO).await?;
        Ok(dead.into_iter().map(|dead| dead_letter(dead.message)).collect())
    }

    /// Sends first and deletes after: whoever is stopped in between leaves a message twice, which is harmless, and
    /// never none.
    async fn redrive(&self) -> Result<u64, Error> {
        // Those that were there at the beginning: what dies again meanwhile is not moved in circles.
        let (visible, _) = self.counts(&self.config.dead_url).await?;
        let mut moved = 0;
        while moved < visible {
            let dead = self.take_dead(BATCH_MAX).await?;
            if dead.is_empty() {
                break;
            }
            let sent = self.send_again(&dead).await?;
            let receipts: Vec<&str> = sent.iter().map(|position| dead[*position].receipt.as_str()).collect();
            self.delete_from(&self.config.dead_url, &receipts).await?;
            moved += sent.len() as u64;
        }
        Ok(moved)
    }
}
