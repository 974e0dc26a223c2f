mock_provider "aws" {
  source = "../../testing"
}

variables {
  name               = "freshet-test"
  service            = "build"
  cluster_arn        = "arn:aws:ecs:us-east-1:123456789012:cluster/freshet-test"
  cluster_name       = "freshet-test"
  image              = "123456789012.dkr.ecr.us-east-1.amazonaws.com/freshet-test/build:1"
  repository_arn     = "arn:aws:ecr:us-east-1:123456789012:repository/freshet-test/build"
  cpu                = 256
  memory             = 512
  min                = 1
  max                = 4
  environment        = { FRESHET_SERVICE__LOG = "info" }
  policy             = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sqs:ReceiveMessage\",\"Resource\":\"arn:aws:sqs:us-east-1:123456789012:freshet-test-build\"}]}"
  port               = 8081
  discovery          = { name = "build", protocol = "grpc" }
  namespace_arn      = "arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-mock"
  subnet_ids         = ["subnet-1"]
  security_group_ids = ["sg-1"]
  stop_seconds       = 30
  queue              = { name = "freshet-test-build", seconds = 60 }
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_days           = 365
}

run "the_program_runs_as_it_should" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment == [{ name = "FRESHET_SERVICE__LOG", value = "info" }]
    error_message = "The program is told something else."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 30
    error_message = "The root can be written, or the program is killed before it has drained."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck.command == ["CMD", "/app/freshet-build", "healthcheck"]
    error_message = "The program is not asked whether it is ready."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].portMappings[0].appProtocol == "grpc" && length(jsondecode(aws_ecs_task_definition.this.container_definitions)) == 1
    error_message = "Service Connect does not know that it carries gRPC, or there is a collector that nobody asked for."
  }
  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback && aws_ecs_service.this.deployment_minimum_healthy_percent == 100
    error_message = "A version that does not become ready would stay."
  }
  assert {
    condition     = aws_iam_role_policy.task.policy == var.policy && length(aws_iam_role_policy.collector) == 0
    error_message = "The program may do something else than it was given."
  }
}

run "it_scales_on_cpu_and_on_the_age_of_its_queue" {
  command = apply

  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 1 && aws_appautoscaling_target.this.max_capacity == 4
    error_message = "The bounds are others."
  }
  assert {
    condition     = one(aws_appautoscaling_policy.queue[0].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].dimensions).value == "freshet-test-build"
    error_message = "It scales on another queue."
  }
}

run "a_program_with_tls_is_carried_as_it_is" {
  command = apply

  variables {
    discovery = { name = "build" }
  }

  assert {
    condition     = !can(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].portMappings[0].appProtocol)
    error_message = "The proxy cannot read gRPC that is encrypted."
  }
}

run "a_collector_does_not_take_the_task_with_it" {
  command = apply

  variables {
    collector = "receivers: {}"
  }

  assert {
    condition     = !jsondecode(aws_ecs_task_definition.this.container_definitions)[1].essential && length(aws_iam_role_policy.collector) == 1
    error_message = "Without telemetry the task must go on."
  }
}

run "spot_is_a_capacity_provider" {
  command = apply

  variables {
    spot = true
  }

  assert {
    condition     = one(aws_ecs_service.this.capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    error_message = "It does not run on Spot."
  }
}

run "everything_is_no_permission" {
  command = plan

  variables {
    policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sqs:*\",\"Resource\":\"arn:aws:sqs:us-east-1:123456789012:freshet-test-build\"}]}"
  }

  expect_failures = [var.policy]
}

run "latest_is_no_version" {
  command = plan

  variables {
    image = "example.com/build:latest"
  }

  expect_failures = [var.image]
}

run "another_variable_is_refused" {
  command = plan

  variables {
    environment = { AWS_ENDPOINT_URL = "http://127.0.0.1:5000" }
  }

  expect_failures = [var.environment]
}

run "a_short_stop_is_refused" {
  command = plan

  variables {
    stop_seconds = 5
  }

  expect_failures = [var.stop_seconds]
}

run "bounds_in_the_wrong_order_are_refused" {
  command = plan

  variables {
    max = 0
  }

  expect_failures = [var.max]
}

run "sizes_that_fargate_has_not_are_refused" {
  command = plan

  variables {
    cpu = 300
  }

  expect_failures = [var.cpu]
}
