# Where the services run.
locals {
  services = {
    for service in ["ingress", "validation", "content", "build", "control"] : service => merge(
      { cpu = 256, memory = 512, min = 1, max = 4 },
      try(var.services[service], {}),
      # Off: before the first images are there, and builds in the region that only stands by.
      var.running && (service != "build" || var.builds) ? {} : { min = 0, max = 0 },
    )
  }
}

module "network" {
  source = "../network"

  name        = local.name
  cidr        = var.cidr
  zones       = var.zones
  private     = var.private_endpoints
  kms_key_arn = module.data.kms_key_arn
  log_days    = var.log_days
}

module "edge" {
  source = "../edge"

  name                   = local.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.public_subnet_ids
  task_security_group_id = module.network.task_security_group_id
  domain                 = var.domain
  zone_id                = var.zone_id
  certificate_arn        = var.certificate_arn
  failover               = var.failover
  operator_cidrs         = var.operator_cidrs
  tls                    = var.tls
  deletion_protection    = var.deletion_protection
  log_days               = var.log_days
  kms_key_arn            = module.data.kms_key_arn
}

module "registry" {
  source = "../registry"

  name         = local.name
  images       = keys(local.services)
  kms_key_arn  = module.data.kms_key_arn
  force_delete = !var.deletion_protection
}

module "observability" {
  source = "../observability"

  name               = local.name
  environment        = var.environment
  emails             = var.alarm_emails
  budget_usd         = var.budget_usd
  kms_key_arn        = module.data.kms_key_arn
  log_days           = var.log_days
  load_balancer      = module.edge.load_balancer
  target_group       = module.edge.target_group
  cluster            = aws_ecs_cluster.this.name
  services           = { for service, size in local.services : service => size.min }
  queues             = { for queue in ["build", "build-events"] : queue => module.messaging.queue_names[queue] }
  dead_letter_queues = { for queue in ["build", "build-events"] : queue => module.messaging.queue_names["${queue}-dead"] }
  clients = {
    for id, client in module.client : id => {
      table    = client.table
      projects = { for site, one in client.sites : site => one.project if one.project != null }
    }
  }
}

resource "aws_service_discovery_http_namespace" "this" {
  name        = local.name
  description = "How the services of ${local.name} find one another"
}

resource "aws_ecs_cluster" "this" {
  name = local.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  service_connect_defaults {
    namespace = aws_service_discovery_http_namespace.this.arn
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

module "service" {
  source   = "../ecs-service"
  for_each = local.services

  name               = local.name
  service            = each.key
  cluster_arn        = aws_ecs_cluster.this.arn
  cluster_name       = aws_ecs_cluster_capacity_providers.this.cluster_name
  image              = "${module.registry.urls[each.key]}:${var.image_tag}"
  repository_arn     = module.registry.arns[each.key]
  cpu                = each.value.cpu
  memory             = each.value.memory
  min                = each.value.min
  max                = each.value.max
  spot               = var.spot
  environment        = local.environment[each.key]
  policy             = local.policies[each.key]
  port               = each.key == "ingress" ? 8080 : 8081
  discovery          = each.key == "ingress" ? null : { name = each.key, protocol = var.tls ? null : "grpc" }
  namespace_arn      = aws_service_discovery_http_namespace.this.arn
  subnet_ids         = module.network.task_subnet_ids
  security_group_ids = [module.network.task_security_group_id]
  public_ip          = module.network.task_public_ip
  target_group_arn   = each.key == "ingress" ? module.edge.target_group_arn : lookup(module.edge.grpc_target_group_arns, each.key, null)
  stop_seconds       = local.stop_seconds
  queue              = each.key == "build" ? { name = module.messaging.queue_names["build"], seconds = 60 } : null
  collector          = var.collector ? module.observability.collector : null
  kms_key_arn        = module.data.kms_key_arn
  log_days           = var.log_days
}
