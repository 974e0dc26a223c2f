# What each alarm means, and what to do, is in docs/operations/aws.md.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = var.dead_letter_queues

  alarm_name          = "${var.name}-dead-letters-${each.key}"
  alarm_description   = "A message was handled several times without success, or could not be delivered"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "queue_age" {
  for_each = var.queues

  alarm_name          = "${var.name}-queue-age-${each.key}"
  alarm_description   = "Changes wait longer than ${var.queue_age_seconds} s for the build service"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.queue_age_seconds
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "More than 1 % of the answers are 5xx"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "rate"
    expression  = "100 * (FILL(target, 0) + FILL(balancer, 0)) / requests"
    label       = "5xx in percent"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { target = "HTTPCode_Target_5XX_Count", balancer = "HTTPCode_ELB_5XX_Count", requests = "RequestCount" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = var.load_balancer }
        period      = 60
        stat        = "Sum"
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "p99" {
  alarm_name          = "${var.name}-p99"
  alarm_description   = "One of a hundred webhooks is answered later than after ${var.p99_seconds} s"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  dimensions          = { LoadBalancer = var.load_balancer, TargetGroup = var.target_group }
  extended_statistic  = "p99"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.p99_seconds
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  # A single slow request at night is no alarm.
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_metric_alarm" "tasks" {
  for_each = { for service, count in var.services : service => count if count > 0 }

  alarm_name          = "${var.name}-tasks-${each.key}"
  alarm_description   = "${each.key} has fewer than ${each.value} running tasks"
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  dimensions          = { ClusterName = var.cluster, ServiceName = each.key }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = each.value
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# As many failures in an hour as a batch has attempts: then it has failed for good.
resource "aws_cloudwatch_metric_alarm" "builds" {
  for_each = merge([for client in var.clients : { for site, project in client.projects : project => project }]...)

  alarm_name          = "${var.name}-builds-${trimprefix(each.key, "${var.name}-")}"
  alarm_description   = "Three builds of ${each.key} failed within an hour; the live site is the one before"
  namespace           = "AWS/CodeBuild"
  metric_name         = "FailedBuilds"
  dimensions          = { ProjectName = each.value }
  statistic           = "Sum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 3
  period              = 3600
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# What only the services themselves know.
resource "aws_cloudwatch_metric_alarm" "own" {
  for_each = {
    spool = { metric = "freshet.spool.waiting", says = "Deliveries wait in the spool: validation or content did not answer" }
    drift = { metric = "freshet.drift.open", says = "Content differs from what its provider has" }
  }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.says
  namespace           = "Freshet"
  metric_name         = each.value.metric
  dimensions          = { "deployment.environment.name" = var.environment }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
