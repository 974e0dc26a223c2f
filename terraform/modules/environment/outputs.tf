output "environment" {
  description = "The environment of each of the five tasks, by service: what the programs read."
  value       = local.environment
}

output "policies" {
  description = "What the role of each of the five tasks allows, as JSON, by service."
  value       = local.policies
}

output "catalogue_location" {
  description = "`s3://bucket/key` of the catalogue."
  value       = module.catalogue.location
}

output "catalogue" {
  description = "The catalogue itself."
  value       = module.catalogue.document
}

output "tables" {
  description = "Names of the tables: deliveries, builds, and each client's content by client."
  value = {
    deliveries = module.data.deliveries_table
    builds     = module.data.builds_table
    content    = { for id, client in module.client : id => client.table }
  }
}

output "buckets" {
  description = "Names of the buckets: bodies, builds, spool, catalogue."
  value       = module.data.buckets
}

output "topic_arn" {
  description = "ARN of the topic content-updates."
  value       = module.messaging.topic_arn
}

output "queue_urls" {
  description = "URLs of the queues: build, build-dead, build-events, build-events-dead."
  value       = module.messaging.queue_urls
}

output "secrets" {
  description = "Names of the secrets that want values: of the services, and of each source by client."
  value = {
    services = "${local.name}/services"
    sources  = { for id, client in module.client : id => client.secret_names }
  }
}

output "sites" {
  description = "Each site by client: project, bucket, distribution, address."
  value       = { for id, client in module.client : id => client.sites }
}

output "kms_key_arn" {
  description = "ARN of the KMS key of this environment in this region."
  value       = module.data.kms_key_arn
}

output "distribution_arns" {
  description = "ARN of each distribution, by client and site: for a second region."
  value       = { for id, client in module.client : id => client.distribution_arns }
}

output "distribution_ids" {
  description = "Id of each distribution, by client and site: for a second region."
  value       = { for id, client in module.client : id => { for site, one in client.sites : site => one.distribution } }
}

output "address" {
  description = "Where providers send webhooks: `{address}/webhook/{provider}/{source}`."
  value       = module.edge.address
}

output "dns_name" {
  description = "AWS's own name of the load balancer: what a record made elsewhere points to."
  value       = module.edge.dns_name
}

output "repositories" {
  description = "Where images are pushed, by service."
  value       = module.registry.urls
}

output "cluster" {
  description = "Name of the ECS cluster; its services are named as in `environment`."
  value       = aws_ecs_cluster.this.name
}

output "dashboards" {
  description = "Names of the CloudWatch dashboards."
  value       = module.observability.dashboards
}
