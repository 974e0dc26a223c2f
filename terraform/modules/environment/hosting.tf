# What all distributions share: AWS allows 20 policies, 100 functions and 100 access controls in an account, so that one
# of each for every site would end at 20 sites.
locals {
  hosting = [for control in aws_cloudfront_origin_access_control.sites : {
    origin_access_control_id   = control.id
    response_headers_policy_id = aws_cloudfront_response_headers_policy.sites[0].id
    function_arn               = aws_cloudfront_function.index[0].arn
  }]
}

resource "aws_cloudfront_origin_access_control" "sites" {
  count = var.primary ? 1 : 0

  name                              = "${local.name}-sites"
  description                       = "CloudFront signs what it asks of a site's bucket"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_response_headers_policy" "sites" {
  #checkov:skip=CKV_AWS_259:a site at example.com may not decide for every subdomain, which others run
  count = var.primary ? 1 : 0

  name    = "${local.name}-sites"
  comment = "Security headers of every site; what a site sends itself is kept"

  security_headers_config {
    content_type_options {
      override = true
    }

    frame_options {
      frame_option = "SAMEORIGIN"
      override     = false
    }

    referrer_policy {
      referrer_policy = "strict-origin-when-cross-origin"
      override        = false
    }

    strict_transport_security {
      access_control_max_age_sec = 31536000
      include_subdomains         = false
      override                   = true
    }
  }
}

# S3 knows keys, not folders: `/a/` is the file `/a/index.html`, and `/a` moves to `/a/` so that relative links hold.
resource "aws_cloudfront_function" "index" {
  count = var.primary ? 1 : 0

  name    = "${local.name}-index"
  comment = "Index documents of folders"
  runtime = "cloudfront-js-2.0"
  publish = true
  code    = file("${path.module}/index.js")
}
