output "topic_arn" {
  description = "ARN of the topic content-updates: `bus.topic_arn`."
  value       = aws_sns_topic.content_updates.arn
}

output "topic_name" {
  description = "Name of the topic content-updates, for metrics."
  value       = aws_sns_topic.content_updates.name
}

output "queue_urls" {
  description = "URLs: `build`, `build-dead`, `build-events`, `build-events-dead`."
  value = merge(
    { for key, queue in aws_sqs_queue.this : key => queue.url },
    { for key, queue in aws_sqs_queue.dead : "${key}-dead" => queue.url },
  )
}

output "queue_names" {
  description = "Names, by the same keys."
  value = merge(
    { for key, queue in aws_sqs_queue.this : key => queue.name },
    { for key, queue in aws_sqs_queue.dead : "${key}-dead" => queue.name },
  )
}

output "queue_arns" {
  description = "ARNs, by the same keys."
  value = merge(
    { for key, queue in aws_sqs_queue.this : key => queue.arn },
    { for key, queue in aws_sqs_queue.dead : "${key}-dead" => queue.arn },
  )
}

output "visibility" {
  description = "`bus.visibility` of the build service, the same time as the queues have."
  value       = "${var.visibility_seconds}s"
}
