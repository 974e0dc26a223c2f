locals {
  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })
}

# What ECS does for the task before it runs: pull the image, open the log.
resource "aws_iam_role" "execution" {
  name_prefix        = substr("${local.full}-execution-", 0, 38)
  description        = "ECS starts ${local.full} in ${local.region}"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "execution" {
  #checkov:skip=CKV_AWS_355:ecr:GetAuthorizationToken is about the account, AWS takes no resource for it
  name = "execution"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      }],
      [for arn in compact([var.repository_arn]) : {
        Sid      = "Pull"
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = arn
      }],
      [for arn in compact([var.repository_arn]) : {
        # AWS takes no resource for it: the token is the account's.
        Sid      = "LogInToPull"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      }],
    )
  })
}

# What the program itself may do.
resource "aws_iam_role" "task" {
  name_prefix        = substr("${local.full}-task-", 0, 38)
  description        = "${local.full} in ${local.region}"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "task" {
  name   = "task"
  role   = aws_iam_role.task.id
  policy = var.policy
}

resource "aws_iam_role_policy" "collector" {
  #checkov:skip=CKV_AWS_355:AWS takes no resource for X-Ray
  #checkov:skip=CKV_AWS_290:AWS takes no resource for X-Ray
  count = var.collector == null ? 0 : 1

  name = "collector"
  role = aws_iam_role.task.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # AWS takes no resource for X-Ray.
        Sid      = "Traces"
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"]
        Resource = "*"
      },
      {
        # Metrics are log lines that CloudWatch reads (EMF).
        Sid      = "Metrics"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
        Resource = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/freshet/${var.name}/metrics:*"
      },
    ]
  })
}
