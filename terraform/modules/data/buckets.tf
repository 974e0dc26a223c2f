locals {
  # A rule without `days` expires nothing.
  buckets = {
    # `bodies/`: raw bodies of deliveries, of which the service removes what it should; this removes what it left behind.
    # `entries/`: content too large for a table, for as long as the table names it; the service's sweep alone removes it.
    bodies = { versions = true, expire = [{ id = "bodies", prefix = "bodies/", days = var.body_days }] }
    # Snapshots and changed keys: every build makes its own.
    builds = { versions = false, expire = [{ id = "builds", prefix = "builds/", days = var.snapshot_days }] }
    # Deliveries that wait for the services behind the ingress. Nothing that waits may expire: it was acknowledged. Not
    # versioned, because headers can hold secrets, which should be gone when the delivery is.
    spool = { versions = false, expire = [{ id = "aside", prefix = "spool/aside/", days = 90 }] }
    # The catalogue; earlier editions are its versions.
    catalogue = { versions = true, expire = [] }
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:a second region has buckets of its own; docs/operations/aws.md lists what only they hold
  #checkov:skip=CKV_AWS_18:a log of each access would hold names of clients; CloudTrail records them where an account wants it
  #checkov:skip=CKV2_AWS_62:nothing waits for events of these buckets
  #checkov:skip=CKV_AWS_21:see `versions` above: builds can be made again, and the spool must not keep what was removed
  for_each = local.buckets

  bucket        = "${var.name}-${each.key}-${local.suffix}"
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    # One call to KMS for many objects.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = { for name, bucket in local.buckets : name => bucket if bucket.versions }

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "unfinished"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  dynamic "rule" {
    for_each = each.value.expire

    content {
      id     = rule.value.id
      status = "Enabled"

      filter {
        prefix = rule.value.prefix
      }

      expiration {
        days = rule.value.days
      }
    }
  }

  dynamic "rule" {
    for_each = each.value.versions ? [1] : []

    content {
      id     = "replaced"
      status = "Enabled"

      filter {}

      # Bodies: as long as a restored table may refer to one; what a client redacts is gone after this, not at once.
      noncurrent_version_expiration {
        noncurrent_days = each.key == "bodies" ? 7 : 90
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # Both change the same part of the bucket; AWS refuses the second of two at once.
  depends_on = [aws_s3_bucket_public_access_block.this]
}
