locals {
  certificate_arn = var.certificate_arn != null ? var.certificate_arn : one([for one in aws_acm_certificate_validation.this : one.certificate_arn])
}

resource "aws_acm_certificate" "this" {
  for_each = local.zones

  domain_name       = var.domain
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  for_each = local.zones

  zone_id = each.key
  name    = one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_name
  type    = one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_type
  records = [one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_value]
  ttl     = 60
  # Certificates of two regions for one name are proved by the same record.
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  for_each = local.zones

  certificate_arn         = aws_acm_certificate.this[each.key].arn
  validation_record_fqdns = [aws_route53_record.validation[each.key].fqdn]
}

resource "aws_route53_record" "this" {
  for_each = local.zones

  zone_id        = each.key
  name           = var.domain
  type           = "A"
  set_identifier = var.failover == null ? null : local.region

  alias {
    name    = aws_lb.this.dns_name
    zone_id = aws_lb.this.zone_id
    # Without a healthy ingress Route 53 answers with the other region.
    evaluate_target_health = true
  }

  dynamic "failover_routing_policy" {
    for_each = compact([var.failover])

    content {
      type = failover_routing_policy.value
    }
  }
}
