# What each task may do. Nothing else is allowed; the service `control` asks the others and needs no table or queue.
#
# Where a list would grow with every client, names are patterns that begin with the environment's own: an inline policy
# has at most 10,240 characters, and a new client must not need a new deploy of the services.
locals {
  arn = {
    dynamodb  = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table"
    secrets   = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret"
    codebuild = "arn:${local.partition}:codebuild:${local.region}:${local.account}:project"
    s3        = "arn:${local.partition}:s3:::"
  }
  suffix = substr(sha256("${local.account}/${local.region}"), 0, 8)

  # Transactions ask for the same leave as the writes in them. No Scan: nothing in Freshet reads a whole table.
  items = [
    "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem",
    "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
  ]
  objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]

  kms = {
    for service in ["s3", "dynamodb", "secretsmanager", "sqs", "sns"] : service => {
      Sid       = "KeyOf${title(service)}"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = module.data.kms_key_arn
      Condition = { StringEquals = { "kms:ViaService" = "${service}.${local.region}.amazonaws.com" } }
    }
  }

  catalogue = [
    {
      Sid      = "ReadCatalogue"
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = module.catalogue.object_arn
    },
    {
      # Without it S3 says 403 instead of 404, and a missing catalogue would look like a missing leave.
      Sid       = "FindCatalogue"
      Effect    = "Allow"
      Action    = "s3:ListBucket"
      Resource  = module.data.bucket_arns["catalogue"]
      Condition = { StringEquals = { "s3:prefix" = "catalogue.toml" } }
    },
    local.kms["s3"],
    {
      # The secrets of sources have two slashes in their names, those of the services one. AWS puts six characters behind.
      Sid      = "ReadSecretsOfSources"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = "${local.arn.secrets}:${local.name}/*/*-??????"
    },
    {
      Sid      = "ReadSecretsOfServices"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = "${local.arn.secrets}:${local.name}/services-??????"
    },
    local.kms["secretsmanager"],
  ]

  statements = {
    ingress = concat(local.catalogue, [
      {
        Sid      = "Spool"
        Effect   = "Allow"
        Action   = local.objects
        Resource = "${module.data.bucket_arns["spool"]}/spool/*"
      },
      {
        Sid      = "ListSpool"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = module.data.bucket_arns["spool"]
      },
    ])

    validation = local.catalogue

    content = concat(local.catalogue, [
      {
        Sid    = "Content"
        Effect = "Allow"
        Action = local.items
        Resource = [
          "${local.arn.dynamodb}/${local.name}-*-content-cache",
          "${local.arn.dynamodb}/${local.name}-*-content-cache/index/*",
          module.data.table_arns["deliveries"],
          "${module.data.table_arns["deliveries"]}/index/*",
        ]
      },
      local.kms["dynamodb"],
      {
        Sid      = "Bodies"
        Effect   = "Allow"
        Action   = local.objects
        Resource = "${module.data.bucket_arns["bodies"]}/*"
      },
      {
        Sid      = "ListBodies"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = module.data.bucket_arns["bodies"]
      },
      {
        Sid      = "Publish"
        Effect   = "Allow"
        Action   = ["sns:Publish", "sns:GetTopicAttributes"]
        Resource = module.messaging.topic_arn
      },
      local.kms["sns"],
    ])

    build = concat(local.catalogue, [
      {
        Sid      = "Builds"
        Effect   = "Allow"
        Action   = local.items
        Resource = [module.data.table_arns["builds"], "${module.data.table_arns["builds"]}/index/*"]
      },
      local.kms["dynamodb"],
      {
        Sid      = "Snapshots"
        Effect   = "Allow"
        Action   = local.objects
        Resource = "${module.data.bucket_arns["builds"]}/*"
      },
      {
        Sid      = "Publish"
        Effect   = "Allow"
        Action   = local.objects
        Resource = "${local.arn.s3}${local.name}-*-site-${local.suffix}/*"
      },
      {
        Sid      = "ListReleases"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = [module.data.bucket_arns["builds"], "${local.arn.s3}${local.name}-*-site-${local.suffix}"]
      },
      {
        Sid    = "Queues"
        Effect = "Allow"
        Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
        Resource = [
          module.messaging.queue_arns["build"], module.messaging.queue_arns["build-dead"],
          module.messaging.queue_arns["build-events"],
        ]
      },
      {
        # What cannot be read goes to the dead-letter queue with the reason, and back when an operator says so.
        Sid      = "Redrive"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = [module.messaging.queue_arns["build"], module.messaging.queue_arns["build-dead"]]
      },
      local.kms["sqs"],
      {
        Sid      = "Run"
        Effect   = "Allow"
        Action   = ["codebuild:StartBuild", "codebuild:StopBuild", "codebuild:BatchGetBuilds", "codebuild:ListBuildsForProject"]
        Resource = "${local.arn.codebuild}/${local.name}-*"
      },
      ], [for arns in [local.distribution_arns] : {
        Sid      = "Invalidate"
        Effect   = "Allow"
        Action   = ["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"]
        Resource = arns
    } if length(arns) > 0])

    control = local.catalogue
  }

  distribution_arns = sort(flatten(
    var.primary ? [for client in module.client : values(client.distribution_arns)] : [for sites in values(var.distribution_arns) : values(sites)]
  ))

  policies = { for service, statements in local.statements : service => jsonencode({ Version = "2012-10-17", Statement = statements }) }
}
