mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                = "freshet-test"
  id                  = "tidewater"
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  deletion_protection = true
  sources             = ["journal", "shop"]
  builds_bucket       = "freshet-test-builds-00000000"
  log_days            = 365
  hosting = {
    origin_access_control_id   = "E1CONTROL"
    response_headers_policy_id = "headers"
    function_arn               = "arn:aws:cloudfront::123456789012:function/freshet-test-index"
  }
  sites = {
    www = {
      preset     = "eleventy"
      code       = { type = "GITHUB", location = "https://github.com/example/site.git", branch = "main" }
      secret_env = { TOKEN = "journal#token" }
    }
    plain = {}
  }
}

run "the_table_is_the_clients_own_and_kept" {
  command = apply

  assert {
    condition     = aws_dynamodb_table.content[0].name == "freshet-test-tidewater-content-cache"
    error_message = "The content service looks for another name."
  }
  assert {
    condition = (
      aws_dynamodb_table.content[0].deletion_protection_enabled && aws_dynamodb_table.content[0].point_in_time_recovery[0].enabled &&
      aws_dynamodb_table.content[0].ttl[0].attribute_name == "ttl" && aws_dynamodb_table.content[0].server_side_encryption[0].kms_key_arn == var.kms_key_arn
    )
    error_message = "The table can be deleted, restored to no point in time, expires nothing, or is not encrypted with our key."
  }
  assert {
    condition = { for index in aws_dynamodb_table.content[0].global_secondary_index : index.name => "${index.hash_key} ${index.range_key} ${index.projection_type}" } == {
      newest = "newest_pk newest_sk KEYS_ONLY"
      slug   = "slug_pk slug_sk KEYS_ONLY"
    }
    error_message = "The indexes are not those of services/content/src/store/dynamodb/keys.rs."
  }
  assert {
    condition     = { for id, secret in aws_secretsmanager_secret.source : id => secret.name } == { journal = "freshet-test/tidewater/journal", shop = "freshet-test/tidewater/shop" }
    error_message = "The catalogue names the secrets otherwise."
  }
}

run "a_build_may_touch_its_own_site_only" {
  command = apply

  assert {
    condition     = keys(aws_codebuild_project.site) == ["www"]
    error_message = "A built-in site has no project."
  }
  assert {
    condition = alltrue(flatten([for statement in jsondecode(aws_iam_role_policy.build["www"].policy).Statement : [
      for action in flatten([statement.Action]) : !strcontains(action, "*")
    ]]))
    error_message = "No action may have a `*`."
  }
  assert {
    condition = alltrue(flatten([for statement in jsondecode(aws_iam_role_policy.build["www"].policy).Statement : [
      for resource in flatten([statement.Resource]) : resource != "*"
    ]]))
    error_message = "No statement may be about everything."
  }
  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.build["www"].policy).Statement : flatten([statement.Action]) if startswith(flatten([statement.Action])[0], "secretsmanager:")])) == toset(["secretsmanager:GetSecretValue"]) && contains(
      flatten([for statement in jsondecode(aws_iam_role_policy.build["www"].policy).Statement : flatten([statement.Resource])]),
      "arn:aws:secretsmanager:us-east-1:123456789012:secret:freshet-test/tidewater/journal-??????"
    )
    error_message = "A build reads the secrets that `secret_env` names."
  }
  assert {
    condition = !strcontains(aws_iam_role_policy.build["www"].policy, "tidewater/shop") && toset(flatten([
      for statement in jsondecode(aws_iam_role_policy.build["www"].policy).Statement : [
        for resource in flatten([statement.Resource]) : resource if strcontains(resource, ":s3:::")
      ]
      ])) == toset([
      "arn:aws:s3:::freshet-test-builds-00000000/builds/tidewater/www/*",
      "${aws_s3_bucket.site["www"].arn}/releases/*/*",
      aws_s3_bucket.site["www"].arn,
    ])
    error_message = "A build reads another source's secret or another site's files."
  }
  assert {
    condition     = jsondecode(aws_iam_role.build["www"].assume_role_policy).Statement[0].Condition.ArnEquals["aws:SourceArn"] == "arn:aws:codebuild:us-east-1:123456789012:project/freshet-test-tidewater-www"
    error_message = "Another project may take the role."
  }
}

run "a_buildspec_runs_the_presets_command" {
  command = apply

  assert {
    condition = (
      contains(yamldecode(aws_codebuild_project.site["www"].source[0].buildspec).phases.build.commands, "'npx' '@11ty/eleventy'") &&
      contains(yamldecode(aws_codebuild_project.site["www"].source[0].buildspec).phases.pre_build.commands, "export FRESHET_OUTPUT=\"$PWD/_site\"")
    )
    error_message = "The preset's command or output is not in the buildspec."
  }
  assert {
    condition     = alltrue([for phase in yamldecode(aws_codebuild_project.site["www"].source[0].buildspec).phases : alltrue([for command in phase.commands : can(tostring(command))])])
    error_message = "A command of the buildspec is not a text."
  }
}

run "a_command_with_quotes_stays_one_word_each" {
  command = apply

  variables {
    sites = {
      www = {
        preset  = "custom"
        command = ["make", "site; curl it's"]
        output  = "public"
        code    = { type = "S3", location = "sources/www.zip" }
      }
    }
  }

  assert {
    condition     = contains(yamldecode(aws_codebuild_project.site["www"].source[0].buildspec).phases.build.commands, "'make' 'site; curl it'\\''s'")
    error_message = "A word of the command would be read by the shell."
  }
}

run "every_preset_has_a_buildspec" {
  command = apply

  variables {
    sites = {
      for preset in ["eleventy", "astro", "hugo", "jekyll", "gatsby", "nextjs", "nuxt"] :
      preset => { preset = preset, code = { type = "GITHUB", location = "https://github.com/example/site.git" } }
    }
  }

  assert {
    condition     = length([for project in aws_codebuild_project.site : yamldecode(project.source[0].buildspec)]) == 7
    error_message = "A buildspec is no YAML."
  }
  assert {
    condition     = yamldecode(aws_codebuild_project.site["jekyll"].source[0].buildspec).phases.install.runtime-versions == { ruby = 3.3 } && yamldecode(aws_codebuild_project.site["astro"].source[0].buildspec).phases.install.runtime-versions == { nodejs = 22 }
    error_message = "A generator runs on another language, or on any version of it."
  }
  assert {
    condition     = length([for command in yamldecode(aws_codebuild_project.site["hugo"].source[0].buildspec).phases.install.commands : command if strcontains(command, "sha256sum")]) == 1
    error_message = "Hugo is installed without its checksum."
  }
}

run "only_its_distribution_reads_a_site_and_only_what_is_live" {
  command = apply

  assert {
    condition = jsondecode(aws_s3_bucket_policy.site["www"].policy).Statement[1] == {
      Sid       = "ItsDistributionReadsWhatIsLive"
      Effect    = "Allow"
      Principal = { Service = "cloudfront.amazonaws.com" }
      Action    = "s3:GetObject"
      Resource  = "${aws_s3_bucket.site["www"].arn}/live/*"
      Condition = { StringEquals = { "aws:SourceArn" = aws_cloudfront_distribution.site["www"].arn } }
    }
    error_message = "Somebody else reads the bucket."
  }
  assert {
    condition = (
      one(aws_cloudfront_distribution.site["www"].origin).origin_path == "/live" &&
      one(aws_cloudfront_distribution.site["www"].origin).origin_access_control_id == "E1CONTROL" &&
      aws_cloudfront_distribution.site["www"].default_cache_behavior[0].viewer_protocol_policy == "redirect-to-https"
    )
    error_message = "The distribution shows something else than what is live, or without TLS."
  }
}

run "long_names_fit" {
  command = apply

  variables {
    id    = "a234567890123456789012345678901234567890"
    sites = { b234567890123456789012345678901234567890 = { preset = "hugo", code = { type = "GITHUB", location = "https://github.com/example/site.git" } } }
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.site : length(bucket.bucket) <= 63 && can(regex("-site-[0-9a-f]{8}$", bucket.bucket))])
    error_message = "A bucket's name has at most 63 characters, and the build service's role knows its end."
  }
  assert {
    condition     = alltrue([for role in aws_iam_role.build : length(role.name) <= 64])
    error_message = "A role's name has at most 64 characters."
  }
}

run "two_regions_are_two_origins_the_builder_first" {
  command = apply

  variables {
    origin_regions = ["eu-west-1", "us-east-1"]
    replicas       = { "eu-west-1" = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000001" }
  }

  assert {
    condition     = [for member in one(aws_cloudfront_distribution.site["www"].origin_group).member : member.origin_id] == ["eu-west-1", "us-east-1"]
    error_message = "The region that builds is asked first."
  }
  assert {
    condition     = one(aws_dynamodb_table.content[0].replica).region_name == "eu-west-1" && one(aws_secretsmanager_secret.source["journal"].replica).region == "eu-west-1"
    error_message = "The second region lacks content or secrets."
  }
}

run "a_second_region_has_buckets_and_projects_only" {
  command = apply

  variables {
    primary           = false
    hosting           = null
    distribution_arns = { www = "arn:aws:cloudfront::123456789012:distribution/E9", plain = "arn:aws:cloudfront::123456789012:distribution/E8" }
  }

  assert {
    condition     = length(aws_dynamodb_table.content) + length(aws_secretsmanager_secret.source) + length(aws_cloudfront_distribution.site) == 0 && length(aws_s3_bucket.site) == 2
    error_message = "What exists once belongs to the first region."
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.site["www"].policy).Statement[1].Condition.StringEquals["aws:SourceArn"] == "arn:aws:cloudfront::123456789012:distribution/E9"
    error_message = "The first region's distribution must read this bucket too."
  }
}

run "a_generator_needs_the_sites_files" {
  command = plan

  variables {
    sites = { www = { preset = "hugo" } }
  }

  expect_failures = [var.sites]
}

run "a_secret_in_place_of_its_name_is_refused" {
  command = plan

  variables {
    sites = { www = { preset = "hugo", code = { type = "S3", location = "sources/www.zip" }, secret_env = { TOKEN = "hunter2" } } }
  }

  expect_failures = [var.sites]
}

run "a_secret_of_no_source_is_refused" {
  command = plan

  variables {
    sites = { www = { preset = "hugo", code = { type = "S3", location = "sources/www.zip" }, secret_env = { TOKEN = "other#token" } } }
  }

  expect_failures = [aws_cloudfront_distribution.site["www"]]
}

run "a_variable_of_freshet_is_refused" {
  command = plan

  variables {
    sites = { www = { preset = "hugo", code = { type = "S3", location = "sources/www.zip" }, secret_env = { FRESHET_SITE = "journal#token" } } }
  }

  expect_failures = [var.sites]
}

run "an_output_outside_is_refused" {
  command = plan

  variables {
    sites = { www = { preset = "hugo", code = { type = "S3", location = "sources/www.zip" }, output = "../.." } }
  }

  expect_failures = [var.sites]
}

run "a_domain_needs_its_certificate" {
  command = plan

  variables {
    sites = { www = { domains = ["www.example.com"] } }
  }

  expect_failures = [var.sites]
}

run "a_client_with_another_name_is_refused" {
  command = plan

  variables {
    id = "Tide_water"
  }

  expect_failures = [var.id]
}
