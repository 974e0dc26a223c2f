mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                = "freshet-test"
  deletion_protection = true
}

run "everything_is_encrypted_private_and_kept" {
  command = apply

  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.server_side_encryption[0].kms_key_arn == aws_kms_key.this.arn])
    error_message = "A table is not encrypted with the environment's key."
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.deletion_protection_enabled && table.point_in_time_recovery[0].enabled && table.ttl[0].attribute_name == "ttl"])
    error_message = "A table can be deleted, or has no point in time to go back to, or expires nothing."
  }
  assert {
    condition = alltrue([for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "A bucket may become public."
  }
  assert {
    condition = alltrue([for name, policy in aws_s3_bucket_policy.this :
      jsondecode(policy.policy).Statement[0].Effect == "Deny" &&
      jsondecode(policy.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    ])
    error_message = "A bucket answers without TLS."
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : !bucket.force_destroy && length(bucket.bucket) <= 63])
    error_message = "A bucket that has something in it can be deleted, or its name is too long."
  }
  assert {
    condition     = alltrue([for rules in aws_s3_bucket_server_side_encryption_configuration.this : one(rules.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.this.arn])
    error_message = "A bucket is not encrypted with the environment's key."
  }
}

run "the_indexes_are_those_of_the_services" {
  command = apply

  assert {
    condition     = [for index in aws_dynamodb_table.this["deliveries"].global_secondary_index : "${index.name} ${index.hash_key} ${index.range_key} ${index.projection_type}"] == ["received received_pk received_sk KEYS_ONLY"]
    error_message = "The index is not that of services/content/src/store/dynamodb/keys.rs."
  }
}

run "the_builds_have_five_sparse_indexes" {
  command = apply

  assert {
    condition = { for index in aws_dynamodb_table.this["builds"].global_secondary_index : index.name => "${index.hash_key} ${index.range_key}" } == {
      list = "list_pk list_sk", list2 = "list2_pk list2_sk", list3 = "list3_pk list3_sk", client = "client_pk client_sk", site = "site_pk site_sk"
    }
    error_message = "The indexes are not those of services/build/src/store/dynamodb/keys.rs."
  }
}

run "content_never_expires_from_its_bucket" {
  command = apply

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.this["bodies"].rule : length(rule.expiration) == 0 || rule.filter[0].prefix == "bodies/"])
    error_message = "Entries that are too large for a table are kept as long as the table names them."
  }
}

run "nothing_that_waits_in_the_spool_expires" {
  command = apply

  assert {
    condition = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.this["spool"].rule :
      rule.filter[0].prefix == "spool/aside/" || length(rule.expiration) == 0
    ])
    error_message = "What waits in the spool was acknowledged and must not expire."
  }
  assert {
    condition     = !contains(keys(aws_s3_bucket_versioning.this), "spool")
    error_message = "Headers in the spool can hold secrets: no version of them may stay."
  }
}

run "a_second_region_has_buckets_but_no_tables_of_its_own" {
  command = apply

  variables {
    tables = false
  }

  assert {
    condition     = length(aws_dynamodb_table.this) == 0 && length(aws_s3_bucket.this) == 4
    error_message = "Replicas are made by the first region."
  }
  assert {
    condition     = output.deliveries_table == "freshet-test-deliveries" && output.builds_table == "freshet-test-builds"
    error_message = "A replica has the name of its table."
  }
}

run "replicas_have_the_key_of_their_region" {
  command = apply

  variables {
    replicas = { "eu-west-1" = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000001" }
  }

  assert {
    condition = alltrue([for table in aws_dynamodb_table.this :
      one(table.replica).region_name == "eu-west-1" && one(table.replica).point_in_time_recovery &&
      one(table.replica).kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000001"
    ])
    error_message = "A replica is missing or has another key."
  }
}

run "names_that_make_long_buckets_are_refused" {
  command = plan

  variables {
    name = "freshet-quite-a-long-name"
  }

  expect_failures = [var.name]
}

run "bodies_outlive_their_deliveries" {
  command = plan

  variables {
    body_days = 30
  }

  expect_failures = [var.body_days]
}

run "snapshots_outlive_a_second_attempt" {
  command = plan

  variables {
    snapshot_days = 1
  }

  expect_failures = [var.snapshot_days]
}

run "a_key_is_deleted_when_aws_allows" {
  command = plan

  variables {
    key_deletion_days = 1
  }

  expect_failures = [var.key_deletion_days]
}
