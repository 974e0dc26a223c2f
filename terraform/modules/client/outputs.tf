output "table" {
  description = "Name of the client's table, also where it is a replica."
  value       = local.table
}

output "table_arn" {
  description = "ARN of the client's table in this region."
  value       = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${local.table}"
}

output "secret_names" {
  description = "Name of the secret of each source: where values are put in."
  value       = { for id in var.sources : id => "${var.name}/${var.id}/${id}" }
}

output "sites" {
  description = "Each site on AWS: project (null if built in), bucket, distribution (null in a second region), address."
  value = {
    for id in keys(var.sites) : id => {
      project      = try(aws_codebuild_project.site[id].name, null)
      bucket       = aws_s3_bucket.site[id].bucket
      distribution = try(aws_cloudfront_distribution.site[id].id, null)
      address      = !var.primary ? null : "https://${length(var.sites[id].domains) > 0 ? var.sites[id].domains[0] : aws_cloudfront_distribution.site[id].domain_name}/"
    }
  }
}

output "distribution_arns" {
  description = "ARN of each site's distribution: what a second region's buckets let in."
  value       = { for id, distribution in aws_cloudfront_distribution.site : id => distribution.arn }
}

output "project_arns" {
  description = "ARN of each CodeBuild project: what the build service may start."
  value       = [for project in aws_codebuild_project.site : project.arn]
}

output "bucket_arns" {
  description = "ARN of each site's bucket: what the build service publishes to."
  value       = [for bucket in aws_s3_bucket.site : bucket.arn]
}
