mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                   = "freshet-test"
  vpc_id                 = "vpc-1"
  subnet_ids             = ["subnet-1", "subnet-2"]
  task_security_group_id = "sg-1"
  domain                 = "hooks.example.com"
  zone_id                = "Z0123456789EXAMPLE"
  tls                    = true
  deletion_protection    = true
  log_days               = 365
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "webhooks_arrive_with_tls_and_through_the_firewall" {
  command = apply

  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS"
    error_message = "A webhook would be taken without TLS."
  }
  assert {
    condition     = aws_lb.this.enable_deletion_protection && aws_lb.this.drop_invalid_header_fields && aws_lb.this.access_logs[0].enabled
    error_message = "The balancer can be deleted, takes broken headers, or keeps no log."
  }
  assert {
    condition     = aws_wafv2_web_acl_association.this.web_acl_arn == aws_wafv2_web_acl.this.arn && length(aws_wafv2_web_acl.this.rule) == 3
    error_message = "The firewall is not in front of the balancer, or lacks a rule."
  }
  assert {
    condition     = aws_lb_target_group.ingress.health_check[0].path == "/readyz"
    error_message = "A task that is not ready would get webhooks."
  }
  assert {
    condition     = output.address == "https://hooks.example.com" && length(aws_lb_listener.grpc) == 0
    error_message = "The address differs, or the gRPC APIs are open without being asked for."
  }
}

run "two_regions_answer_under_one_name" {
  command = apply

  variables {
    failover = "SECONDARY"
  }

  assert {
    condition     = one(aws_route53_record.this["Z0123456789EXAMPLE"].failover_routing_policy).type == "SECONDARY" && one(aws_route53_record.this["Z0123456789EXAMPLE"].alias).evaluate_target_health
    error_message = "Route 53 would not change regions."
  }
}

run "operators_reach_the_apis_from_their_addresses_only" {
  command = apply

  variables {
    operator_cidrs = ["192.0.2.0/24"]
  }

  assert {
    condition     = keys(aws_lb_target_group.grpc) == ["build", "content", "control"] && alltrue([for one in aws_lb_target_group.grpc : one.protocol_version == "GRPC" && one.protocol == "HTTPS"])
    error_message = "An API is missing, or is called otherwise than it speaks."
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.grpc : rule.cidr_ipv4] == ["192.0.2.0/24"]
    error_message = "Others reach the APIs too."
  }
}

run "apis_for_the_world_are_refused" {
  command = plan

  variables {
    operator_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.operator_cidrs]
}

run "a_rate_that_stops_imports_is_refused" {
  command = plan

  variables {
    requests_per_five_minutes = 100
  }

  expect_failures = [var.requests_per_five_minutes]
}

run "a_certificate_is_made_or_given" {
  command = plan

  variables {
    zone_id = null
  }

  expect_failures = [var.certificate_arn]
}

run "route_53_knows_two_sides" {
  command = plan

  variables {
    failover = "THIRD"
  }

  expect_failures = [var.failover]
}
