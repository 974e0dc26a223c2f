//! A topic with queues, as Terraform makes them in production; for tests and trials only.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use freshet_kit::Error;

use super::{SnsPublisher, SqsQueue, SqsQueueConfig};

/// A queue to be made.
#[derive(Clone, Debug)]
pub struct NewQueue {
    /// Its name; the dead-letter queue's has `-dead` behind it.
    pub name: String,
    /// Only events whose attribute has one of these values; empty: all events.
    pub filter: BTreeMap<&'static str, Vec<String>>,
    /// See [`SqsQueueConfig::visibility`].
    pub visibility: Duration,
    /// Received so often and never deleted, a message goes to the dead-letter queue.
    pub max_receives: u32,
}

/// Makes a topic and its queues: raw delivery, redrive policies, and leave for the topic to send.
pub async fn create(
    sns: &aws_sdk_sns::Client,
    sqs: &aws_sdk_sqs::Client,
    topic: &str,
    queues: &[NewQueue],
) -> Result<(SnsPublisher, Vec<SqsQueue>), Error> {
    let made = sns.create_topic().name(topic).send().await.map_err(|error| freshet_aws::error("CreateTopic", error))?;
    let topic_arn = made.topic_arn().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for queue in queues {
        let (dead_url, dead_arn) = create_queue(sqs, &format!("{}-dead", queue.name), &[]).await?;
        let redrive = serde_json::json!({ "deadLetterTargetArn": dead_arn, "maxReceiveCount": queue.max_receives });
        let attributes = [(QueueAttributeName::RedrivePolicy, redrive.to_string())];
        let (url, arn) = create_queue(sqs, &queue.name, &attributes).await?;
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "sns.amazonaws.com" },
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": topic_arn } },
            }],
        });
        sqs.set_queue_attributes()
            .queue_url(&url)
            .attributes(QueueAttributeName::Policy, policy.to_string())
            .send()
            .await
            .map_err(|error| freshet_aws::error("SetQueueAttributes", error))?;
        let mut subscription = sns
            .subscribe()
            .topic_arn(&topic_arn)
            .protocol("sqs")
            .endpoint(&arn)
            .attributes("RawMessageDelivery", "true");
        if !queue.filter.is_empty() {
            let filter = serde_json::to_string(&queue.filter).map_err(|error| Error::internal(error.to_string()))?;
            subscription = subscription.attributes("FilterPolicy", filter);
        }
        subscription.send().await.map_err(|error| freshet_aws::error("Subscribe", error))?;
        let config = SqsQueueConfig { url, dead_url, visibility: queue.visibility };
        all.push(SqsQueue::new(sqs.clone(), config));
    }
    Ok((SnsPublisher::new(sns.clone(), topic_arn), all))
}

async fn create_queue(
    sqs: &aws_sdk_sqs::Client,
    name: &str,
    attributes: &[(QueueAttributeName, String)],
) -> Result<(String, String), Error> {
    let mut call = sqs.create_queue().queue_name(name);
    for (attribute, value) in attributes {
        call = call.attributes(attribute.clone(), value);
    }
    let made = call.send().await.map_err(|error| freshet_aws::error("CreateQueue", error))?;
    let url = made.queue_url().unwrap_or_default().to_owned();
    let call = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let answer = call.send().await.map_err(|error| freshet_aws::error("GetQueueAttributes", error))?;
    let arn = answer.attributes().and_then(|all| all.get(&QueueAttributeName::QueueArn)).cloned();
    Ok((url, arn.unwrap_or_default()))
}
