data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  full      = "${var.name}-${var.service}"

  log = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = local.region
      awslogs-stream-prefix = var.service
    }
  }

  program = {
    name                   = var.service
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    stopTimeout            = var.stop_seconds
    environment            = [for name, value in var.environment : { name = name, value = value }]
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    logConfiguration       = local.log

    portMappings = [merge(
      { name = "main", containerPort = var.port, hostPort = var.port, protocol = "tcp" },
      try(var.discovery.protocol, null) == null ? {} : { appProtocol = var.discovery.protocol },
    )]

    healthCheck = {
      command     = ["CMD", "/app/freshet-${var.service}", "healthcheck"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
  }

  # If it dies, the task goes on without telemetry: content matters more.
  collector = {
    name                   = "collector"
    image                  = var.collector_image
    essential              = false
    readonlyRootFilesystem = true
    environment            = [{ name = "AOT_CONFIG_CONTENT", value = coalesce(var.collector, "-") }]
    logConfiguration       = merge(local.log, { options = merge(local.log.options, { awslogs-stream-prefix = "collector" }) })
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:an environment for trials keeps logs for a month; the others say a year
  name              = "/freshet/${var.name}/${var.service}"
  kms_key_id        = var.kms_key_arn
  retention_in_days = var.log_days
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.full
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "ARM64"
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode(concat([local.program], [for one in [local.collector] : one if var.collector != null]))
}

resource "aws_ecs_service" "this" {
  name                               = var.service
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.min
  launch_type                        = var.spot ? null : "FARGATE"
  platform_version                   = "LATEST"
  enable_execute_command             = false
  propagate_tags                     = "SERVICE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = var.target_group_arn == null ? null : 60
  # Nobody waits for tasks here: the circuit breaker undoes what does not become ready, and an alarm says so.
  wait_for_steady_state = false

  dynamic "capacity_provider_strategy" {
    for_each = var.spot ? ["FARGATE_SPOT"] : []

    content {
      capacity_provider = capacity_provider_strategy.value
      weight            = 1
    }
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    #checkov:skip=CKV_AWS_333:only where tasks are not private, and then the security group lets nothing in
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = var.public_ip
  }

  dynamic "load_balancer" {
    for_each = var.target_group_arn == null ? [] : [var.target_group_arn]

    content {
      target_group_arn = load_balancer.value
      container_name   = var.service
      container_port   = var.port
    }
  }

  service_connect_configuration {
    enabled   = true
    namespace = var.namespace_arn

    dynamic "service" {
      for_each = var.discovery == null ? [] : [var.discovery]

      content {
        port_name      = "main"
        discovery_name = service.value.name

        client_alias {
          dns_name = service.value.name
          port     = var.port
        }
      }
    }
  }

  lifecycle {
    # Between `min` and `max` the number of tasks belongs to autoscaling.
    ignore_changes = [desired_count]

    # Makes the service wait for what the name comes from as well: the cluster's capacity providers.
    precondition {
      condition     = var.cluster_name != ""
      error_message = "`cluster_name` is empty: the service could not scale."
    }
  }
}
