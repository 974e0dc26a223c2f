data "aws_region" "current" {}

locals {
  region = data.aws_region.current.name

  # Names are the account's, not the region's: a second region's dashboards have its name.
  board = "${var.name}-${local.region}"

  # For the container beside each task: OTLP in on this machine only, traces to X-Ray, metrics to CloudWatch as log lines.
  collector = yamlencode({
    receivers  = { otlp = { protocols = { grpc = { endpoint = "127.0.0.1:4317" } } } }
    processors = { batch = { timeout = "5s" }, memory_limiter = { check_interval = "1s", limit_mib = 100 } }
    exporters = {
      awsxray = { region = local.region }
      awsemf = {
        region                  = local.region
        namespace               = "Freshet"
        log_group_name          = aws_cloudwatch_log_group.metrics.name
        log_stream_name         = "{TaskId}"
        dimension_rollup_option = "NoDimensionRollup"
        # One metric for the environment, and one for each client and service.
        metric_declarations = [{
          dimensions            = [["deployment.environment.name"], ["deployment.environment.name", "service.name"], ["deployment.environment.name", "client_id"]]
          metric_name_selectors = [".*"]
        }]
        resource_to_telemetry_conversion = { enabled = true }
      }
    }
    service = {
      pipelines = {
        traces  = { receivers = ["otlp"], processors = ["memory_limiter", "batch"], exporters = ["awsxray"] }
        metrics = { receivers = ["otlp"], processors = ["memory_limiter", "batch"], exporters = ["awsemf"] }
      }
    }
  })
}

resource "aws_cloudwatch_log_group" "metrics" {
  #checkov:skip=CKV_AWS_338:an environment for trials keeps logs for a month; the others say a year
  name              = "/freshet/${var.name}/metrics"
  kms_key_id        = var.kms_key_arn
  retention_in_days = var.log_days
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_budgets_budget" "this" {
  count = var.budget_usd > 0 ? 1 : 0

  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:environment$${var.environment}"]
  }

  dynamic "notification" {
    for_each = length(var.emails) > 0 ? { ACTUAL = 80, FORECASTED = 100 } : {}

    content {
      comparison_operator        = "GREATER_THAN"
      notification_type          = notification.key
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = var.emails
    }
  }
}
