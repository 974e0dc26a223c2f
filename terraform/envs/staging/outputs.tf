output "freshet" {
  description = "Everything that people and programs need to know: environment of each task, names of tables, queues, buckets, secrets and sites, the webhooks' address."
  value       = module.freshet
}
