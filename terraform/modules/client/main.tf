data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  table     = "${var.name}-${var.id}-content-cache"
}

# The keys are those of services/content/src/store/dynamodb/keys.rs.
locals {
  hash  = "pk"
  range = "sk"
  indexes = {
    newest = { hash = "newest_pk", range = "newest_sk", projection = "KEYS_ONLY" }
    slug   = { hash = "slug_pk", range = "slug_sk", projection = "KEYS_ONLY" }
  }
  # Attributes of keys that are no texts.
  types = {}
  attributes = toset(concat(
    [local.hash, local.range], flatten([for index in local.indexes : [index.hash, index.range]])
  ))
}

resource "aws_dynamodb_table" "content" {
  count = var.primary ? 1 : 0

  name                        = local.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = local.hash
  range_key                   = local.range
  deletion_protection_enabled = var.deletion_protection
  # Replicas need it.
  stream_enabled   = length(var.replicas) > 0
  stream_view_type = length(var.replicas) > 0 ? "NEW_AND_OLD_IMAGES" : null

  dynamic "attribute" {
    for_each = local.attributes

    content {
      name = attribute.value
      type = lookup(local.types, attribute.value, "S")
    }
  }

  dynamic "global_secondary_index" {
    for_each = local.indexes

    content {
      name            = global_secondary_index.key
      hash_key        = global_secondary_index.value.hash
      range_key       = global_secondary_index.value.range
      projection_type = global_secondary_index.value.projection
    }
  }

  ttl {
    attribute_name = "ttl"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  dynamic "replica" {
    for_each = var.replicas

    content {
      region_name            = replica.key
      kms_key_arn            = replica.value
      point_in_time_recovery = true
      propagate_tags         = true
    }
  }

  tags = { client = var.id }
}

# Containers only. Values are put in from outside (docs/operations/aws.md), so that no state has them: a JSON object
# whose keys the catalogue and `secret_env` name.
resource "aws_secretsmanager_secret" "source" {
  #checkov:skip=CKV2_AWS_57:the provider of the content makes the secret; only people can change it on both sides
  for_each = var.primary ? var.sources : []

  name                    = "${var.name}/${var.id}/${each.key}"
  description             = "Secrets of the source ${each.key} of ${var.id}: a JSON object"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0

  dynamic "replica" {
    for_each = var.replicas

    content {
      region     = replica.key
      kms_key_id = replica.value
    }
  }

  tags = { client = var.id }
}
