output "kms_key_arn" {
  description = "ARN of the key that encrypts everything of this environment in this region."
  value       = aws_kms_key.this.arn
}

output "deliveries_table" {
  description = "Name of the table of deliveries, also where it is a replica."
  value       = local.names.deliveries
}

output "builds_table" {
  description = "Name of the table of batches and builds, also where it is a replica."
  value       = local.names.builds
}

output "table_arns" {
  description = "ARNs in this region: `deliveries` and `builds`."
  value       = { for key, name in local.names : key => "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${name}" }
}

output "buckets" {
  description = "Names: `bodies`, `builds`, `spool` and `catalogue`."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.bucket }
}

output "bucket_arns" {
  description = "ARNs: `bodies`, `builds`, `spool` and `catalogue`."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.arn }
}
