data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  suffix    = substr(sha256("${local.account}/${local.region}"), 0, 8)
  zones     = toset(compact([var.zone_id]))
  grpc      = length(var.operator_cidrs) > 0 ? var.grpc : {}
}

resource "aws_security_group" "balancer" {
  name        = "${var.name}-balancer"
  description = "Load balancer of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.balancer.id
  description       = "Webhooks by HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  #checkov:skip=CKV_AWS_260:answered with a redirect to HTTPS and nothing else
  security_group_id = aws_security_group.balancer.id
  description       = "HTTP, redirected to HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
}

resource "aws_vpc_security_group_ingress_rule" "grpc" {
  for_each = toset(var.operator_cidrs)

  security_group_id = aws_security_group.balancer.id
  description       = "gRPC of operators and teams"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 8443
  to_port           = 8443
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  for_each = toset(["8080", "8081"])

  security_group_id            = aws_security_group.balancer.id
  description                  = "The tasks"
  referenced_security_group_id = var.task_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.key)
  to_port                      = tonumber(each.key)
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  for_each = toset(["8080", "8081"])

  security_group_id            = var.task_security_group_id
  description                  = "The load balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.key)
  to_port                      = tonumber(each.key)
}

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_76:the firewall has AWSManagedRulesKnownBadInputsRuleSet, as CKV_AWS_192 sees; this check does not
  #checkov:skip=CKV_AWS_150:an environment for trials is deleted as a whole; the others set `deletion_protection`
  name                       = var.name
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.balancer.id]
  subnets                    = var.subnet_ids
  enable_deletion_protection = var.deletion_protection
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"
  # Longer than the ingress takes for a body of 25 MiB, shorter than it keeps a connection open.
  idle_timeout = 60

  access_logs {
    bucket  = aws_s3_bucket.logs.bucket
    enabled = true
  }

  depends_on = [aws_s3_bucket_policy.logs]
}

resource "aws_lb_target_group" "ingress" {
  #checkov:skip=CKV_AWS_378:inside the VPC, between two security groups; TLS ends at the balancer
  name                 = "${var.name}-ingress"
  vpc_id               = var.vpc_id
  port                 = 8080
  protocol             = "HTTP"
  target_type          = "ip"
  deregistration_delay = 15

  health_check {
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = local.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.ingress.arn
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_target_group" "grpc" {
  #checkov:skip=CKV_AWS_378:inside the VPC, between two security groups; with `tls` it is HTTPS there too
  for_each = local.grpc

  name                 = "${var.name}-${each.key}"
  vpc_id               = var.vpc_id
  port                 = 8081
  protocol             = var.tls ? "HTTPS" : "HTTP"
  protocol_version     = "GRPC"
  target_type          = "ip"
  deregistration_delay = 15

  health_check {
    path                = "/grpc.health.v1.Health/Check"
    matcher             = "0"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "grpc" {
  count = length(local.grpc) > 0 ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = 8443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = local.certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "there is no such service"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_rule" "grpc" {
  for_each = local.grpc

  listener_arn = aws_lb_listener.grpc[0].arn

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.grpc[each.key].arn
  }

  condition {
    path_pattern {
      values = ["/${each.value}.*"]
    }
  }
}
