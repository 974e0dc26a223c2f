locals {
  # The same name in every region is impossible, and each region must know the other's.
  bucket_regions = length(var.origin_regions) > 0 ? var.origin_regions : [local.region]
  # A bucket's name has at most 63 characters; a long one has a hash in the middle. All end alike, so that the build
  # service's role can name them: `{name}-*-site-{suffix}`.
  stems = {
    for id in keys(var.sites) : id =>
    length("${var.name}-${var.id}-${id}") <= 49 ? "${var.name}-${var.id}-${id}" :
    "${trimsuffix(substr("${var.name}-${var.id}-${id}", 0, 40), "-")}-${substr(sha256("${var.id}/${id}"), 0, 8)}"
  }
  buckets = {
    for region in distinct(concat(local.bucket_regions, [local.region])) : region => {
      for id, stem in local.stems : id => "${stem}-site-${substr(sha256("${local.account}/${region}"), 0, 8)}"
    }
  }

  distributions = var.primary ? { for id, one in aws_cloudfront_distribution.site : id => one.arn } : var.distribution_arns
}

resource "aws_s3_bucket" "site" {
  #checkov:skip=CKV_AWS_18:a site's visitors are seen by CloudFront, not here
  #checkov:skip=CKV_AWS_21:`releases/` has the earlier versions
  #checkov:skip=CKV_AWS_144:every region builds its own copy from the replicated content
  #checkov:skip=CKV_AWS_145:a site is public, and CloudFront reads it without leave for a key; S3 encrypts it with its own
  #checkov:skip=CKV2_AWS_62:nothing waits for events of this bucket
  for_each = var.sites

  bucket        = local.buckets[local.region][each.key]
  force_destroy = !var.deletion_protection

  tags = { client = var.id, site = each.key }
}

resource "aws_s3_bucket_public_access_block" "site" {
  for_each = var.sites

  bucket                  = aws_s3_bucket.site[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "site" {
  for_each = var.sites

  bucket = aws_s3_bucket.site[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "site" {
  for_each = var.sites

  bucket = aws_s3_bucket.site[each.key].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# The build service keeps the last few releases and removes the others itself: here nothing expires.
resource "aws_s3_bucket_lifecycle_configuration" "site" {
  for_each = var.sites

  bucket = aws_s3_bucket.site[each.key].id

  rule {
    id     = "unfinished"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

resource "aws_s3_bucket_policy" "site" {
  for_each = var.sites

  bucket = aws_s3_bucket.site[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "OnlyTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.site[each.key].arn, "${aws_s3_bucket.site[each.key].arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
      [for arn in [lookup(local.distributions, each.key, "")] : {
        Sid       = "ItsDistributionReadsWhatIsLive"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = "s3:GetObject"
        Resource  = "${aws_s3_bucket.site[each.key].arn}/live/*"
        Condition = { StringEquals = { "aws:SourceArn" = arn } }
      } if arn != ""],
    )
  })

  # Both change the same part of the bucket; AWS refuses the second of two at once.
  depends_on = [aws_s3_bucket_public_access_block.site]
}

resource "aws_cloudfront_distribution" "site" {
  #checkov:skip=CKV_AWS_68:public files with nothing behind them; `web_acl_arn` takes a firewall where a site wants one
  #checkov:skip=CKV2_AWS_47:as above: there is no Java behind the files
  #checkov:skip=CKV_AWS_86:logs of visitors are personal data that Freshet has no use for
  #checkov:skip=CKV_AWS_310:with a second region there is a group of two origins; one region has one bucket
  #checkov:skip=CKV_AWS_374:a site is for the world
  #checkov:skip=CKV2_AWS_42:a site without `domains` is seen at CloudFront's own name and with its certificate
  #checkov:skip=CKV_AWS_174:CloudFront's own name allows no choice; with a certificate TLSv1.2_2021 is set
  #checkov:skip=CKV2_AWS_32:the policy is made once for all sites and comes in by id
  for_each = var.primary ? var.sites : {}

  enabled             = true
  is_ipv6_enabled     = true
  http_version        = "http2and3"
  comment             = "${var.name} ${var.id} ${each.key}"
  aliases             = each.value.domains
  default_root_object = "index.html"
  price_class         = var.price_class
  web_acl_id          = each.value.web_acl_arn
  # Rolling out takes minutes, and nothing here waits for it.
  wait_for_deployment = false

  dynamic "origin" {
    for_each = local.bucket_regions

    content {
      origin_id                = origin.value
      domain_name              = "${local.buckets[origin.value][each.key]}.s3.${origin.value}.amazonaws.com"
      origin_path              = "/live"
      origin_access_control_id = var.hosting.origin_access_control_id
    }
  }

  dynamic "origin_group" {
    for_each = length(local.bucket_regions) > 1 ? [local.bucket_regions] : []

    content {
      origin_id = "regions"

      # 403 is what S3 says about a file that is not there: right after a switch the new region has not built yet.
      failover_criteria {
        status_codes = [403, 404, 500, 502, 503, 504]
      }

      dynamic "member" {
        for_each = origin_group.value

        content {
          origin_id = member.value
        }
      }
    }
  }

  default_cache_behavior {
    target_origin_id       = length(local.bucket_regions) > 1 ? "regions" : local.bucket_regions[0]
    viewer_protocol_policy = "redirect-to-https"
    allowed_methods        = ["GET", "HEAD"]
    cached_methods         = ["GET", "HEAD"]
    compress               = true
    # AWS's own policy CachingOptimized; its id is the same in every account.
    cache_policy_id            = "658327ea-f89d-4fab-a63d-7e88639e58f6"
    response_headers_policy_id = var.hosting.response_headers_policy_id

    function_association {
      event_type   = "viewer-request"
      function_arn = var.hosting.function_arn
    }
  }

  # S3 says 403 where it may not say that there is no such file.
  dynamic "custom_error_response" {
    for_each = [403, 404]

    content {
      error_code            = custom_error_response.value
      response_code         = 404
      response_page_path    = "/404.html"
      error_caching_min_ttl = 10
    }
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = each.value.certificate_arn == null
    acm_certificate_arn            = each.value.certificate_arn
    ssl_support_method             = each.value.certificate_arn == null ? null : "sni-only"
    minimum_protocol_version       = each.value.certificate_arn == null ? "TLSv1" : "TLSv1.2_2021"
  }

  tags = { client = var.id, site = each.key }

  lifecycle {
    precondition {
      condition     = alltrue([for reference in values(each.value.secret_env) : contains(var.sources, split("#", reference)[0])])
      error_message = "`secret_env` of the site ${each.key} names a source that ${var.id} does not have."
    }
  }
}
