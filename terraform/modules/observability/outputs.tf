output "collector" {
  description = "Configuration of the collector beside each task."
  value       = local.collector
}

output "alarms_topic_arn" {
  description = "ARN of the topic of alarms."
  value       = aws_sns_topic.alarms.arn
}

output "dashboards" {
  description = "Names of the dashboards: of the environment, and of each client."
  value = {
    environment = aws_cloudwatch_dashboard.environment.dashboard_name
    clients     = { for id, board in aws_cloudwatch_dashboard.client : id => board.dashboard_name }
  }
}
