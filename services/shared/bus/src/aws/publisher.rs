//! Publishing to SNS.

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use freshet_kit::{Error, ErrorKind};
use futures::StreamExt as _;

use super::BATCH_MAX;
use super::attempts::{Failures, each_entry, entry_error};
use crate::{OutgoingEvent, Publisher};

/// Most bytes of one publish, single or batch: 256 KiB, with the names, types and values of attributes.
const PUBLISH_BYTES_MAX: usize = 256 << 10;

/// Most attributes that survive raw delivery to SQS; a message with more is dropped there without a word.
const ATTRIBUTES_MAX: usize = 10;

/// Batches at once from one call.
const CALLS_MAX: usize = 4;

/// Publishes to one topic.
#[derive(Clone, Debug)]
pub struct SnsPublisher {
    client: Client,
    topic_arn: String,
}

impl SnsPublisher {
    /// To the topic with this ARN.
    pub fn new(client: Client, topic_arn: impl Into<String>) -> Self {
        Self { client, topic_arn: topic_arn.into() }
    }

    /// Fails unless the topic is there: for readiness.
    pub async fn check(&self) -> Result<(), Error> {
        let found = self.client.get_topic_attributes().topic_arn(&self.topic_arn).send().await;
        found.map(drop).map_err(|error| {
            let what = freshet_aws::error("sns:GetTopicAttributes", error);
            Error::new(what.kind(), "TOPIC", format!("the topic {}: {}", self.topic_arn, what.message()))
                .with_source(what)
        })
    }

    async fn publish_batch(&self, events: &[OutgoingEvent]) -> Vec<Result<(), Error>> {
        if let [event] = events
            && bytes(event) > PUBLISH_BYTES_MAX
        {
            return vec![Err(too_large(event))];
        }
        let mut failed = each_entry(events.len(), |positions| self.send(events, positions)).await;
        (0..events.len()).map(|position| failed.remove(&position).map_or(Ok(()), Err)).collect()
    }

    async fn send(&self, events: &[OutgoingEvent], positions: Vec<usize>) -> Result<Failures, Error> {
        let mut entries = Vec::with_capacity(positions.len());
        for position in &positions {
            entries.push(entry(*position, &events[*position])?);
        }
        let answer = self
            .client
            .publish_batch()
            .topic_arn(&self.topic_arn)
            .set_publish_batch_request_entries(Some(entries))
            .send()
            .await
            .map_err(|error| freshet_aws::error("sns:PublishBatch", error))?;
        let mut failures = Failures::new();
        for failed in answer.failed() {
            if let Ok(position) = failed.id().parse() {
                let error = entry_error("sns:PublishBatch", failed.code(), failed.message(), failed.sender_fault());
                failures.insert(position, error);
            }
        }
        // Durable is only what is named as such.
        let confirmed: Vec<usize> = answer.successful().iter().filter_map(|entry| entry.id()?.parse().ok()).collect();
        for position in positions {
            if !confirmed.contains(&position) {
                failures.entry(position).or_insert_with(|| Error::unavailable("sns:PublishBatch did not confirm it"));
            }
        }
        Ok(failures)
    }
}

fn entry(position: usize, event: &OutgoingEvent) -> Result<PublishBatchRequestEntry, Error> {
    let internal = |what: &str, error: &dyn std::fmt::Display| Error::internal(format!("{what}: {error}"));
    let body = std::str::from_utf8(&event.body).map_err(|error| internal("an event is not text", &error))?;
    let mut builder = PublishBatchRequestEntry::builder().id(position.to_string()).message(body);
    for (name, value) in attributes(event) {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|error| internal("an attribute", &error))?;
        builder = builder.message_attributes(name, value);
    }
    builder.build().map_err(|error| internal("an event", &error))
}

/// SNS refuses an attribute without a value.
fn attributes(event: &OutgoingEvent) -> impl Iterator<Item = (&'static str, &str)> {
    let given = event.attributes.iter().map(|(name, value)| (*name, value.as_str()));
    given.filter(|(_, value)| !value.is_empty()).take(ATTRIBUTES_MAX)
}

fn bytes(event: &OutgoingEvent) -> usize {
    event.body.len() + attributes(event).map(|(name, value)| name.len() + "String".len() + value.len()).sum::<usize>()
}

/// Cuts events into batches that SNS takes. An event that is too large for any is alone in its own.
fn batches(events: &[OutgoingEvent]) -> Vec<&[OutgoingEvent]> {
    let mut batches = Vec::new();
    let (mut begin, mut size) = (0, 0);
    for (position, event) in events.iter().enumerate() {
        let more = bytes(event);
        if position > begin && (position - begin == BATCH_MAX || size + more > PUBLISH_BYTES_MAX) {
            batches.push(&events[begin..position]);
            (begin, size) = (position, 0);
        }
        size += more;
    }
    if begin < events.len() {
        batches.push(&events[begin..]);
    }
    batches
}

fn too_large(event: &OutgoingEvent) -> Error {
    let message = format!("the event {} has {} bytes; SNS takes {PUBLISH_BYTES_MAX}", event.id, bytes(event));
    Error::new(ErrorKind::Invalid, "EVENT_TOO_LARGE", message)
}

#[async_trait]
impl Publisher for SnsPublisher {
    async fn publish(&self, events: Vec<OutgoingEvent>) -> Result<Vec<Result<(), Error>>, Error> {
        let calls: Vec<_> = batches(&events).into_iter().map(|batch| self.publish_batch(batch)).collect();
        let results: Vec<Vec<_>> = futures::stream::iter(calls).buffered(CALLS_MAX).collect().await;
        Ok(results.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sns::operation::publish_batch::PublishBatchOutput;
    use aws_sdk_sns::types::{BatchResultErrorEntry, PublishBatchResultEntry};
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    fn event(id: usize, bytes: usize) -> OutgoingEvent {
        OutgoingEvent { id: id.to_string(), body: "x".repeat(bytes).into(), attributes: Vec::new() }
    }

    #[test]
    fn batches_keep_both_limits() {
        let small: Vec<_> = (0..25).map(|id| event(id, 10)).collect();
        assert_eq!(batches(&small).iter().map(|batch| batch.len()).collect::<Vec<_>>(), [10, 10, 5]);
        let sizes = [100 << 10, 100 << 10, 100 << 10, 300 << 10, 1];
        let large: Vec<_> = sizes.into_iter().enumerate().map(|(id, bytes)| event(id, bytes)).collect();
        assert_eq!(batches(&large).iter().map(|batch| batch.len()).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert!(batches(&[]).is_empty());
    }

    #[test]
    fn attributes_are_few_and_have_values() {
        let mut event = event(0, 1);
        event.attributes = vec![("kind", String::new()), ("type", "page".into())];
        assert_eq!(attributes(&event).collect::<Vec<_>>(), [("type", "page")]);
        event.attributes = vec![("a", "1".into()); 20];
        assert_eq!(attributes(&event).count(), ATTRIBUTES_MAX);
    }

    fn confirmed(id: &str) -> PublishBatchResultEntry {
        PublishBatchResultEntry::builder().id(id).message_id("m").build()
    }

    #[tokio::test]
    async fn each_entry_has_its_own_fate() {
        let refused = |id: &str, sender: bool| {
            BatchResultErrorEntry::builder().id(id).code("Code").sender_fault(sender).build().expect("complete")
        };
        let first = mock!(Client::publish_batch)
            .match_requests(|request| request.publish_batch_request_entries().len() == 4)
            .then_output(move || {
                PublishBatchOutput::builder()
                    .successful(confirmed("0"))
                    .failed(refused("1", false))
                    .failed(refused("2", true))
                    .build()
            });
        // Not the one that is confirmed, not the one that is refused for good; the one that nothing was said about.
        let second = mock!(Client::publish_batch)
            .match_requests(|request| {
                let ids: Vec<_> = request.publish_batch_request_entries().iter().map(|entry| entry.id()).collect();
                ids == ["1", "3"]
            })
            .then_output(|| {
                PublishBatchOutput::builder().successful(confirmed("1")).successful(confirmed("3")).build()
            });
        let client = mock_client!(aws_sdk_sns, RuleMode::Sequential, &[&first, &second]);
        let publisher = SnsPublisher::new(client, "arn:aws:sns:us-east-1:123456789012:t");
        let events: Vec<_> = (0..4).map(|id| event(id, 10)).collect();
        let results = publisher.publish(events).await.expect("answered");
        let fates: Vec<_> = results.iter().map(|result| result.as_ref().err().map(Error::kind)).collect();
        assert_eq!(fates, [None, None, Some(ErrorKind::Invalid), None]);
    }

    #[tokio::test]
    async fn an_event_that_no_batch_takes_is_refused_alone() {
        let rule = mock!(Client::publish_batch)
            .then_output(|| PublishBatchOutput::builder().successful(confirmed("0")).build());
        let client = mock_client!(aws_sdk_sns, [&rule]);
        let publisher = SnsPublisher::new(client, "arn:aws:sns:us-east-1:123456789012:t");
        let results = publisher.publish(vec![event(0, 300 << 10), event(1, 1)]).await.expect("answered");
        assert_eq!(results[0].as_ref().expect_err("too large").kind(), ErrorKind::Invalid);
        assert!(results[1].is_ok(), "{results:?}");
    }
}
