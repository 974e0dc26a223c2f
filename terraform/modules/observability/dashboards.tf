locals {
  # Of what the services tell themselves by way of the collector.
  environment = ["deployment.environment.name", var.environment]

  graph = { type = "metric", width = 12, height = 6 }

  widgets = [
    {
      title   = "Webhooks and answers"
      metrics = [for metric in ["RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count"] : ["AWS/ApplicationELB", metric, "LoadBalancer", var.load_balancer]]
      stat    = "Sum"
    },
    {
      title   = "Seconds to the answer, p99"
      metrics = [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", var.load_balancer]]
      stat    = "p99"
    },
    {
      title   = "Age of the oldest message, seconds"
      metrics = [for name in values(var.queues) : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name]]
      stat    = "Maximum"
    },
    {
      title   = "Dead letters"
      metrics = [for name in values(var.dead_letter_queues) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
      stat    = "Maximum"
    },
    {
      title   = "CPU of the tasks, percent"
      metrics = [for service in keys(var.services) : ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster, "ServiceName", service]]
      stat    = "Average"
    },
    {
      title   = "Tasks"
      metrics = [for service in keys(var.services) : ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", var.cluster, "ServiceName", service]]
      stat    = "Average"
    },
    {
      title   = "Seconds from a change to the live site, longest"
      metrics = [concat(["Freshet", "freshet.batch.live.duration"], local.environment)]
      stat    = "Maximum"
    },
    {
      title   = "Changes live without a build of their own, and builds"
      metrics = [for metric in ["freshet.builds.saved", "freshet.builds"] : concat(["Freshet", metric], local.environment)]
      stat    = "Sum"
    },
    {
      title   = "Deliveries in the spool"
      metrics = [for metric in ["freshet.spool.waiting", "freshet.spool.set_aside"] : concat(["Freshet", metric], local.environment)]
      stat    = "Maximum"
    },
  ]

  client_widgets = {
    for id, client in var.clients : id => [
      {
        title   = "Builds: failed and succeeded"
        metrics = [for pair in setproduct(["FailedBuilds", "SucceededBuilds"], values(client.projects)) : ["AWS/CodeBuild", pair[0], "ProjectName", pair[1]]]
        stat    = "Sum"
      },
      {
        title   = "Seconds from a change to the live site, longest"
        metrics = [concat(["Freshet", "freshet.batch.live.duration"], local.environment, ["client_id", id])]
        stat    = "Maximum"
      },
      {
        title   = "Changes live without a build of their own, and builds"
        metrics = [for metric in ["freshet.builds.saved", "freshet.builds"] : concat(["Freshet", metric], local.environment, ["client_id", id])]
        stat    = "Sum"
      },
      {
        title   = "Build seconds"
        metrics = [for project in values(client.projects) : ["AWS/CodeBuild", "Duration", "ProjectName", project]]
        stat    = "Average"
      },
      {
        title   = "Table: units"
        metrics = [for metric in ["ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits"] : ["AWS/DynamoDB", metric, "TableName", client.table]]
        stat    = "Sum"
      },
      {
        title   = "Table: throttled"
        metrics = [for metric in ["WriteThrottleEvents", "ReadThrottleEvents"] : ["AWS/DynamoDB", metric, "TableName", client.table]]
        stat    = "Sum"
      },
    ]
  }
}

resource "aws_cloudwatch_dashboard" "environment" {
  dashboard_name = local.board

  dashboard_body = jsonencode({
    widgets = [for index, widget in local.widgets : merge(local.graph, {
      x          = 12 * (index % 2)
      y          = 6 * floor(index / 2)
      properties = { title = widget.title, metrics = widget.metrics, stat = widget.stat, period = 60, region = local.region, view = "timeSeries" }
    })]
  })
}

resource "aws_cloudwatch_dashboard" "client" {
  for_each = var.clients

  dashboard_name = "${local.board}-${each.key}"

  dashboard_body = jsonencode({
    widgets = [for index, widget in [for one in local.client_widgets[each.key] : one if length(one.metrics) > 0] : merge(local.graph, {
      x          = 12 * (index % 2)
      y          = 6 * floor(index / 2)
      properties = { title = widget.title, metrics = widget.metrics, stat = widget.stat, period = 300, region = local.region, view = "timeSeries" }
    })]
  })
}
