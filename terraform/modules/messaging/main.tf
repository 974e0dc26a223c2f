data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  sqs       = "arn:${local.partition}:sqs:${local.region}:${local.account}:${var.name}"

  # ARNs are put together from names, so that a queue's policy can be given when it is made: a policy of its own would
  # cost 25 s more for each queue.
  topic_arn = "arn:${local.partition}:sns:${local.region}:${local.account}:${var.name}-content-updates"
  rule_arn  = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${var.name}-build-events"

  # Who may send into which queue.
  queues = {
    build        = { service = "sns.amazonaws.com", source = local.topic_arn }
    build-events = { service = "events.amazonaws.com", source = local.rule_arn }
  }

  policies = {
    for name, sender in local.queues : name => {
      for suffix in ["", "-dead"] : suffix => jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid       = "OnlyTls"
            Effect    = "Deny"
            Principal = "*"
            Action    = "sqs:*"
            Resource  = "${local.sqs}-${name}${suffix}"
            Condition = { Bool = { "aws:SecureTransport" = "false" } }
          },
          {
            Sid       = "OnlyItsSender"
            Effect    = "Allow"
            Principal = { Service = sender.service }
            Action    = "sqs:SendMessage"
            Resource  = "${local.sqs}-${name}${suffix}"
            Condition = { ArnEquals = { "aws:SourceArn" = sender.source } }
          },
        ]
      })
    }
  }
}

resource "aws_sns_topic" "content_updates" {
  name              = "${var.name}-content-updates"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "content_updates" {
  arn = aws_sns_topic.content_updates.arn

  # Who may publish or subscribe is said by the roles of this account.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.content_updates.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_sqs_queue" "dead" {
  for_each = local.queues

  name                      = "${var.name}-${each.key}-dead"
  kms_master_key_id         = var.kms_key_arn
  message_retention_seconds = 1209600
  policy                    = local.policies[each.key]["-dead"]

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["${local.sqs}-${each.key}"]
  })
}

resource "aws_sqs_queue" "this" {
  for_each = local.queues

  name                       = "${var.name}-${each.key}"
  kms_master_key_id          = var.kms_key_arn
  visibility_timeout_seconds = var.visibility_seconds
  receive_wait_time_seconds  = 20
  # The longest: an outage over a weekend and a holiday loses nothing.
  message_retention_seconds = 1209600
  policy                    = local.policies[each.key][""]

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = var.max_receives
  })
}

resource "aws_sns_topic_subscription" "build" {
  topic_arn            = aws_sns_topic.content_updates.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this["build"].arn
  raw_message_delivery = true

  # What SNS cannot deliver, for example because somebody changed the queue's policy, waits where an alarm sees it.
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead["build"].arn })
}

# Every state change of a build, and only of this environment's projects: their names begin with ours.
resource "aws_cloudwatch_event_rule" "build_events" {
  name        = "${var.name}-build-events"
  description = "State changes of the builds of ${var.name}"

  event_pattern = jsonencode({
    source      = ["aws.codebuild"]
    detail-type = ["CodeBuild Build State Change"]
    detail      = { project-name = [{ prefix = "${var.name}-" }] }
  })
}

resource "aws_cloudwatch_event_target" "build_events" {
  rule = aws_cloudwatch_event_rule.build_events.name
  arn  = aws_sqs_queue.this["build-events"].arn

  dead_letter_config {
    arn = aws_sqs_queue.dead["build-events"].arn
  }
}
