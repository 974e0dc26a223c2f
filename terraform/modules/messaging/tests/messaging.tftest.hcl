mock_provider "aws" {
  source = "../../testing"
}

variables {
  name        = "freshet-test"
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "only_our_topic_and_our_rule_send_and_only_with_tls" {
  command = apply

  assert {
    condition = jsondecode(aws_sqs_queue.this["build"].policy).Statement[1] == {
      Sid       = "OnlyItsSender"
      Effect    = "Allow"
      Principal = { Service = "sns.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:us-east-1:123456789012:freshet-test-build"
      Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:sns:us-east-1:123456789012:freshet-test-content-updates" } }
    }
    error_message = "Somebody else than the topic may send into the build queue."
  }
  assert {
    condition = jsondecode(aws_sqs_queue.this["build-events"].policy).Statement[1].Condition.ArnEquals == {
      "aws:SourceArn" = "arn:aws:events:us-east-1:123456789012:rule/freshet-test-build-events"
    }
    error_message = "Somebody else than the rule may send into the queue of build events."
  }
  assert {
    condition = alltrue([for queue in concat(values(aws_sqs_queue.this), values(aws_sqs_queue.dead)) :
      length(jsondecode(queue.policy).Statement) == 2 && jsondecode(queue.policy).Statement[0].Effect == "Deny" &&
      jsondecode(queue.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    ])
    error_message = "A queue takes messages without TLS, or its policy allows more than its sender."
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.this), values(aws_sqs_queue.dead)) : queue.kms_master_key_id == var.kms_key_arn])
    error_message = "A queue is not encrypted."
  }
}

run "what_fails_goes_to_the_dead_letter_queue" {
  command = apply

  assert {
    condition     = alltrue([for name, queue in aws_sqs_queue.this : jsondecode(queue.redrive_policy).maxReceiveCount == 5 && jsondecode(queue.redrive_policy).deadLetterTargetArn == aws_sqs_queue.dead[name].arn])
    error_message = "A queue has no dead-letter queue."
  }
  assert {
    condition     = aws_sns_topic_subscription.build.raw_message_delivery && aws_sns_topic_subscription.build.filter_policy == null
    error_message = "The build service reads raw events, and all of them."
  }
  assert {
    condition     = output.visibility == "30s" && aws_sqs_queue.this["build"].visibility_timeout_seconds == 30
    error_message = "The service must extend what the queue has."
  }
}

run "the_rule_hears_our_projects_only" {
  command = apply

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.build_events.event_pattern).detail.project-name == [{ prefix = "freshet-test-" }]
    error_message = "Builds of other projects must not reach the queue."
  }
}

run "short_visibility_is_refused" {
  command = plan

  variables {
    visibility_seconds = 5
  }

  expect_failures = [var.visibility_seconds]
}

run "few_receives_are_refused" {
  command = plan

  variables {
    max_receives = 2
  }

  expect_failures = [var.max_receives]
}
