mock_provider "aws" {
  source = "../../testing"
}

variables {
  name        = "freshet-test"
  cidr        = "10.40.0.0/16"
  zones       = 3
  private     = true
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_days    = 365
}

run "private_tasks_have_no_public_address_and_no_open_port" {
  command = apply

  assert {
    condition     = !output.task_public_ip && length(output.task_subnet_ids) == 3 && length(aws_nat_gateway.this) == 3
    error_message = "Private tasks need a subnet and a way out in each zone, and no public address."
  }
  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["codebuild", "ecr.api", "ecr.dkr", "kms", "logs", "secretsmanager", "sns", "sqs"] && alltrue([for one in aws_vpc_endpoint.interface : one.private_dns_enabled])
    error_message = "An API that the services use has no endpoint."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.tasks.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.tasks.from_port == 8081
    error_message = "Only tasks call tasks."
  }
  assert {
    condition     = aws_default_security_group.this.ingress == toset([]) || length(aws_default_security_group.this.ingress) == 0
    error_message = "The default security group lets something through."
  }
}

run "a_cheap_environment_pays_for_no_network" {
  command = apply

  variables {
    zones   = 1
    private = false
  }

  assert {
    condition     = length(aws_nat_gateway.this) + length(aws_vpc_endpoint.interface) + length(aws_eip.nat) == 0
    error_message = "NAT gateways or endpoints were made that nobody asked for."
  }
  assert {
    condition     = length(output.task_subnet_ids) == 1 && length(output.public_subnet_ids) == 2 && output.task_public_ip
    error_message = "Tasks are in one zone, the balancer in the two that AWS asks for."
  }
}

run "subnets_do_not_overlap" {
  command = apply

  assert {
    condition     = length(distinct(concat([for one in aws_subnet.public : one.cidr_block], [for one in aws_subnet.private : one.cidr_block]))) == 6
    error_message = "Two subnets have the same addresses."
  }
}

run "another_size_is_refused" {
  command = plan

  variables {
    cidr = "10.40.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "four_zones_are_refused" {
  command = plan

  variables {
    zones = 4
  }

  expect_failures = [var.zones]
}
