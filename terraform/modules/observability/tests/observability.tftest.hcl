mock_provider "aws" {
  source = "../../testing"
}

variables {
  name               = "freshet-test"
  environment        = "test"
  emails             = ["ops@example.com"]
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_days           = 365
  load_balancer      = "app/freshet-test/50dc6c495c0c9188"
  target_group       = "targetgroup/freshet-test-ingress/50dc6c495c0c9188"
  cluster            = "freshet-test"
  services           = { ingress = 2, build = 0 }
  queues             = { build = "freshet-test-build" }
  dead_letter_queues = { build = "freshet-test-build-dead" }
  budget_usd         = 100
  clients = {
    tidewater = { table = "freshet-test-tidewater-content-cache", projects = { www = "freshet-test-tidewater-www" } }
    empty     = { table = "freshet-test-empty-content-cache", projects = {} }
  }
}

run "every_alarm_tells_somebody" {
  command = apply

  assert {
    condition = alltrue([for alarm in concat(
      values(aws_cloudwatch_metric_alarm.dead_letters), values(aws_cloudwatch_metric_alarm.queue_age), values(aws_cloudwatch_metric_alarm.tasks),
      values(aws_cloudwatch_metric_alarm.builds), values(aws_cloudwatch_metric_alarm.own), [aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.p99]
    ) : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "An alarm goes off and nobody hears it."
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.tasks) == ["ingress"]
    error_message = "A service that is meant to be off is no alarm."
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.builds) == ["freshet-test-tidewater-www"] && keys(aws_cloudwatch_metric_alarm.own) == ["drift", "spool"]
    error_message = "Failed builds, the spool or drift are not watched."
  }
  assert {
    condition     = aws_sns_topic_subscription.email["ops@example.com"].protocol == "email" && aws_sns_topic.alarms.kms_master_key_id == var.kms_key_arn
    error_message = "The topic of alarms reaches nobody, or is not encrypted."
  }
}

run "every_client_has_a_dashboard" {
  command = apply

  assert {
    condition     = keys(aws_cloudwatch_dashboard.client) == ["empty", "tidewater"] && length(jsondecode(aws_cloudwatch_dashboard.client["tidewater"].dashboard_body).widgets) == 6
    error_message = "A client has no dashboard, or it lacks something."
  }
  assert {
    condition     = alltrue(flatten([for board in concat(values(aws_cloudwatch_dashboard.client), [aws_cloudwatch_dashboard.environment]) : [for widget in jsondecode(board.dashboard_body).widgets : length(widget.properties.metrics) > 0]]))
    error_message = "A graph shows nothing."
  }
}

run "the_collector_listens_to_its_own_task_only" {
  command = apply

  assert {
    condition     = yamldecode(output.collector).receivers.otlp.protocols.grpc.endpoint == "127.0.0.1:4317"
    error_message = "Others could send traces into the collector."
  }
  assert {
    condition     = yamldecode(output.collector).exporters.awsemf.log_group_name == "/freshet/freshet-test/metrics"
    error_message = "The task's role may write to another log group."
  }
}

run "a_late_p99_alarm_is_refused" {
  command = plan

  variables {
    p99_seconds = 5
  }

  expect_failures = [var.p99_seconds]
}

run "an_alarm_on_every_deploy_is_refused" {
  command = plan

  variables {
    queue_age_seconds = 10
  }

  expect_failures = [var.queue_age_seconds]
}

run "an_address_that_is_none_is_refused" {
  command = plan

  variables {
    emails = ["ops"]
  }

  expect_failures = [var.emails]
}
