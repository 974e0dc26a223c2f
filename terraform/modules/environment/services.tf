# What each of the five tasks is told. The settings are those of the programs themselves: `freshet-content settings`
# prints them, and tests/terraform compares.
locals {
  name_of_services = "secretsmanager:${local.name}/services"
  scheme           = var.tls ? "https" : "http"

  grpc = { "grpc.address" = "0.0.0.0:8081" }

  caller = { "rpc.key" = "${local.name_of_services}#rpc_key" }

  common = merge(
    {
      "service.log"            = var.log
      "service.log_format"     = "json"
      "service.drain_delay"    = "${local.drain_delay_seconds}s"
      "service.drain_deadline" = "${local.drain_deadline_seconds}s"
      "catalogue.location"     = module.catalogue.location
      "catalogue.poll"         = "10s"
      "secrets.refresh"        = "60s"
      "telemetry.environment"  = var.environment
      "telemetry.sample_ratio" = tostring(var.sample_ratio)
    },
    var.collector ? { "telemetry.otlp_endpoint" = "http://127.0.0.1:4317" } : {},
    var.tls ? {
      "rpc.ca"       = "${local.name_of_services}#ca"
      "rpc.cert"     = "${local.name_of_services}#cert"
      "rpc.cert_key" = "${local.name_of_services}#cert_key"
    } : {},
  )

  settings = {
    ingress = merge(local.common, local.caller, {
      "ingress.http_address" = "0.0.0.0:8080"
      "rpc.validation"       = "${local.scheme}://validation:8081"
      "rpc.content"          = "${local.scheme}://content:8081"
      "spool.bucket"         = module.data.buckets["spool"]
      "spool.prefix"         = "spool/"
    })

    validation = merge(local.common, local.grpc)

    content = merge(local.common, local.grpc, {
      "content.table_prefix"     = "${local.name}-"
      "content.deliveries_table" = module.data.deliveries_table
      "content.bodies_bucket"    = module.data.buckets["bodies"]
      "bus.topic_arn"            = module.messaging.topic_arn
    })

    build = merge(local.common, local.grpc, local.caller, {
      "rpc.content"                 = "${local.scheme}://content:8081"
      "build.table"                 = module.data.builds_table
      "build.bucket"                = module.data.buckets["builds"]
      "bus.build_queue"             = module.messaging.queue_urls["build"]
      "bus.build_dead_letter_queue" = module.messaging.queue_urls["build-dead"]
      "bus.build_events_queue"      = module.messaging.queue_urls["build-events"]
      "bus.visibility"              = module.messaging.visibility
    })

    control = merge(local.common, local.grpc, local.caller, {
      "rpc.validation" = "${local.scheme}://validation:8081"
      "rpc.content"    = "${local.scheme}://content:8081"
      "rpc.build"      = "${local.scheme}://build:8081"
    })
  }

  # `section.key` is the variable FRESHET_SECTION__KEY.
  environment = {
    for service, settings in local.settings : service => {
      for key, value in settings : "FRESHET_${upper(replace(key, ".", "__"))}" => value
    }
  }

  # After SIGTERM a task serves on while the balancer takes it out, then stops; ECS kills it a little later.
  drain_delay_seconds    = 5
  drain_deadline_seconds = 20
  # The last traces and metrics leave within five seconds.
  stop_seconds = local.drain_delay_seconds + local.drain_deadline_seconds + 10
}
