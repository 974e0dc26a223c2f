mock_provider "aws" {
  source = "../../testing"
}

variables {
  name         = "freshet-test"
  images       = ["ingress", "content"]
  kms_key_arn  = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  force_delete = false
}

run "tags_never_move_and_images_are_scanned" {
  command = apply

  assert {
    condition     = alltrue([for one in aws_ecr_repository.this : one.image_tag_mutability == "IMMUTABLE" && one.image_scanning_configuration[0].scan_on_push && one.encryption_configuration[0].kms_key == var.kms_key_arn && !one.force_delete])
    error_message = "A tag could be moved, an image is not scanned or encrypted, or a repository with images can be deleted."
  }
  assert {
    condition     = keys(output.urls) == ["content", "ingress"] && aws_ecr_repository.this["ingress"].name == "freshet-test/ingress"
    error_message = "Each image has a repository of its own."
  }
  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this["content"].policy).rules[0].selection.countNumber == 30
    error_message = "Old images are kept for ever, or too few."
  }
}

run "too_few_images_are_refused" {
  command = plan

  variables {
    kept = 1
  }

  expect_failures = [var.kept]
}
