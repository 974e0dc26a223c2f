locals {
  # What each preset runs and where it leaves the site: as services/build/src/runner/presets.rs has it.
  presets = {
    eleventy = { command = ["npx", "@11ty/eleventy"], output = "_site" }
    astro    = { command = ["npx", "astro", "build"], output = "dist" }
    hugo     = { command = ["hugo"], output = "public" }
    jekyll   = { command = ["bundle", "exec", "jekyll", "build"], output = "_site" }
    gatsby   = { command = ["npx", "gatsby", "build"], output = "public" }
    nextjs   = { command = ["npx", "next", "build"], output = "out" }
    nuxt     = { command = ["npx", "nuxt", "generate"], output = ".output/public" }
    custom   = { command = [], output = "" }
  }

  # Sites with a generator; the others are rendered by the build service itself.
  built = {
    for id, site in var.sites : id => merge(site, {
      project = "${var.name}-${var.id}-${id}"
      # Names of roles have at most 64 characters.
      role   = length("${var.name}-${var.id}-${id}-build") <= 64 ? "${var.name}-${var.id}-${id}-build" : "${substr("${var.name}-${var.id}-${id}", 0, 49)}-${substr(sha256("${var.id}/${id}"), 0, 8)}-build"
      folder = site.code.directory
      # Each word in quotes of its own: a command is a list of words, not a line for the shell.
      line = join(" ", [
        for word in(length(site.command) > 0 ? site.command : local.presets[site.preset].command) :
        "'${replace(word, "'", "'\\''")}'"
      ])
      result  = site.output != "" ? site.output : local.presets[site.preset].output
      secrets = distinct([for reference in values(site.secret_env) : split("#", reference)[0]])
    }) if site.preset != "builtin"
  }

  buildspecs = { for id, site in local.built : id => templatefile("${path.module}/buildspec.yaml.tftpl", {
    folder = jsonencode("cd \"$CODEBUILD_SRC_DIR/${site.folder}\"")
    # A JSON string is a YAML string too; a bare line that begins with a quote is not.
    command      = jsonencode(site.line)
    output       = jsonencode("export FRESHET_OUTPUT=\"$PWD/${site.result}\"")
    runtime      = site.preset == "jekyll" ? "ruby: 3.3" : "nodejs: 22"
    hugo_version = site.preset == "hugo" ? var.hugo_version : ""
  }) }
}

resource "aws_cloudwatch_log_group" "build" {
  #checkov:skip=CKV_AWS_338:an environment for trials keeps logs for a month; the others say a year
  for_each = local.built

  name              = "/freshet/${var.name}/builds/${var.id}/${each.key}"
  kms_key_id        = var.kms_key_arn
  retention_in_days = var.log_days

  tags = { client = var.id, site = each.key }
}

resource "aws_iam_role" "build" {
  for_each = local.built

  # Roles belong to the account: those of another region have another name.
  name        = var.primary ? each.value.role : null
  name_prefix = var.primary ? null : substr(each.value.role, 0, 38)
  description = "Builds of the site ${each.key} of ${var.id}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "codebuild.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        ArnEquals    = { "aws:SourceArn" = "arn:${local.partition}:codebuild:${local.region}:${local.account}:project/${each.value.project}" }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })

  tags = { client = var.id, site = each.key }
}

# The site's own snapshot, its own release, its own log, its own secrets; nothing of another site.
resource "aws_iam_role_policy" "build" {
  for_each = local.built

  name = "build"
  role = aws_iam_role.build[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.build[each.key].arn}:*"
        },
        {
          Sid      = "ReadSnapshot"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "arn:${local.partition}:s3:::${var.builds_bucket}/builds/${var.id}/${each.key}/*"
        },
        {
          # Files of a release, but not `releases/{build}.json`, which says that one is complete, and nothing that is live.
          Sid      = "LeaveRelease"
          Effect   = "Allow"
          Action   = ["s3:PutObject", "s3:DeleteObject"]
          Resource = "${aws_s3_bucket.site[each.key].arn}/releases/*/*"
        },
        {
          Sid       = "ListRelease"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = aws_s3_bucket.site[each.key].arn
          Condition = { StringLike = { "s3:prefix" = "releases/*" } }
        },
        {
          Sid       = "KeyOfTheBucket"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.kms_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" } }
        },
      ],
      [for names in [each.value.secrets] : {
        Sid    = "Secrets"
        Effect = "Allow"
        Action = "secretsmanager:GetSecretValue"
        # AWS puts six characters of its own behind a secret's name.
        Resource = [for name in names : "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.name}/${var.id}/${name}-??????"]
      } if length(names) > 0],
      [for names in [each.value.secrets] : {
        Sid       = "KeyOfTheSecrets"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
      } if length(names) > 0],
      [for code in [each.value.code] : {
        Sid      = "ReadCode"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "arn:${local.partition}:s3:::${code.location}"
      } if code.type == "S3"],
      [for code in [each.value.code] : {
        Sid      = "ReadCode"
        Effect   = "Allow"
        Action   = ["codeconnections:UseConnection", "codeconnections:GetConnectionToken", "codeconnections:GetConnection"]
        Resource = code.connection_arn
      } if code.connection_arn != null],
      [for code in [each.value.code] : {
        Sid      = "ReadCode"
        Effect   = "Allow"
        Action   = "codecommit:GitPull"
        Resource = "arn:${local.partition}:codecommit:${local.region}:${local.account}:${element(split("/", code.location), -1)}"
      } if code.type == "CODECOMMIT"],
    )
  })
}

resource "aws_codebuild_project" "site" {
  #checkov:skip=CKV_AWS_147:artifacts are written by the build itself, into a bucket with the environment's key
  for_each = local.built

  name           = each.value.project
  description    = "The site ${each.key} of ${var.id}; started by Freshet only"
  service_role   = aws_iam_role.build[each.key].arn
  build_timeout  = each.value.timeout_minutes
  queued_timeout = 60
  encryption_key = var.kms_key_arn
  # Freshet runs one build of a site at a time; this holds also where somebody starts one by hand.
  concurrent_build_limit = 1

  artifacts {
    type = "NO_ARTIFACTS"
  }

  cache {
    type  = "LOCAL"
    modes = ["LOCAL_CUSTOM_CACHE", "LOCAL_SOURCE_CACHE"]
  }

  environment {
    type            = "ARM_CONTAINER"
    compute_type    = each.value.compute
    image           = "aws/codebuild/amazonlinux-aarch64-standard:3.0"
    privileged_mode = false
  }

  source {
    type            = each.value.code.type
    location        = each.value.code.location
    buildspec       = local.buildspecs[each.key]
    git_clone_depth = each.value.code.type == "S3" ? null : 1

    dynamic "auth" {
      for_each = each.value.code.connection_arn == null ? [] : [each.value.code.connection_arn]

      content {
        type     = "CODECONNECTIONS"
        resource = auth.value
      }
    }
  }

  source_version = each.value.code.branch

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.build[each.key].name
    }
  }

  tags = { client = var.id, site = each.key }
}
