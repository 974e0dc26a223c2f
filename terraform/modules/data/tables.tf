# The keys are those of services/content/src/store/dynamodb/keys.rs and services/build/src/store/dynamodb/keys.rs.
locals {
  names = { deliveries = "${var.name}-deliveries", builds = "${var.name}-builds" }

  tables = {
    deliveries = {
      hash    = "pk", range = "sk"
      indexes = { received = { hash = "received_pk", range = "received_sk", projection = "KEYS_ONLY" } }
    }
    builds = {
      hash = "pk", range = "sk"
      # All sparse; lists read whole items from them.
      indexes = {
        list   = { hash = "list_pk", range = "list_sk", projection = "ALL" }
        list2  = { hash = "list2_pk", range = "list2_sk", projection = "ALL" }
        list3  = { hash = "list3_pk", range = "list3_sk", projection = "ALL" }
        client = { hash = "client_pk", range = "client_sk", projection = "ALL" }
        site   = { hash = "site_pk", range = "site_sk", projection = "ALL" }
      }
    }
  }

  # Attributes of keys that are no texts.
  types = {}

  # Every attribute that is part of a key, once.
  attributes = {
    for key, table in local.tables : key => toset(concat(
      [table.hash, table.range], flatten([for index in table.indexes : [index.hash, index.range]])
    ))
  }
}

resource "aws_dynamodb_table" "this" {
  for_each = { for key, table in local.tables : key => table if var.tables }

  name                        = local.names[each.key]
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = each.value.hash
  range_key                   = each.value.range
  deletion_protection_enabled = var.deletion_protection
  # Replicas need it.
  stream_enabled   = length(var.replicas) > 0
  stream_view_type = length(var.replicas) > 0 ? "NEW_AND_OLD_IMAGES" : null

  dynamic "attribute" {
    for_each = local.attributes[each.key]

    content {
      name = attribute.value
      type = lookup(local.types, attribute.value, "S")
    }
  }

  dynamic "global_secondary_index" {
    for_each = each.value.indexes

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
    kms_key_arn = aws_kms_key.this.arn
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
}
