output "location" {
  description = "`catalogue.location` of every service."
  value       = "s3://${aws_s3_object.catalogue.bucket}/${aws_s3_object.catalogue.key}"
}

output "object_arn" {
  description = "ARN of the object: what every service may read."
  value       = "arn:${data.aws_partition.current.partition}:s3:::${aws_s3_object.catalogue.bucket}/${aws_s3_object.catalogue.key}"
}

output "document" {
  description = "The catalogue itself: to be looked at, or checked with `freshet config check`."
  value       = aws_s3_object.catalogue.content
}

output "secret_names" {
  description = "Names of all secrets that the catalogue refers to for webhooks."
  value       = flatten([for client_id, client in var.clients : [for id in keys(client.sources) : "${var.name}/${client_id}/${id}"]])
}
