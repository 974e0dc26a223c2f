mock_provider "aws" {
  source = "../../testing"
}

variables {
  environment       = "test"
  image_tag         = "1"
  zones             = 2
  private_endpoints = true
  domain            = "hooks.example.com"
  zone_id           = "Z0123456789EXAMPLE"

  clients = {
    tidewater = {
      sources = { journal = { provider = "strapi" } }
      sites   = { www = { sources = ["journal"] } }
    }
  }
  keys = {
    services = {
      sha256  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
      clients = ["*"]
      scopes  = ["content:read", "content:write", "build:read", "build:write", "control:read", "control:write"]
    }
  }
}

# The mock gives one URL and one name to all queues and buckets: here they must differ.
override_resource {
  target = module.messaging.aws_sqs_queue.this["build"]
  values = { url = "https://sqs/build", arn = "arn:aws:sqs:us-east-1:123456789012:freshet-test-build" }
}
override_resource {
  target = module.messaging.aws_sqs_queue.this["build-events"]
  values = { url = "https://sqs/build-events", arn = "arn:aws:sqs:us-east-1:123456789012:freshet-test-build-events" }
}
override_resource {
  target = module.messaging.aws_sqs_queue.dead["build"]
  values = { url = "https://sqs/build-dead", arn = "arn:aws:sqs:us-east-1:123456789012:freshet-test-build-dead" }
}

run "each_task_is_told_exactly_this" {
  command = apply

  assert {
    condition = jsonencode(output.environment["ingress"]) == jsonencode({
      FRESHET_SERVICE__LOG             = "info"
      FRESHET_SERVICE__LOG_FORMAT      = "json"
      FRESHET_SERVICE__DRAIN_DELAY     = "5s"
      FRESHET_SERVICE__DRAIN_DEADLINE  = "20s"
      FRESHET_CATALOGUE__LOCATION      = "s3://freshet-test-catalogue-eb805c6c/catalogue.toml"
      FRESHET_CATALOGUE__POLL          = "10s"
      FRESHET_SECRETS__REFRESH         = "60s"
      FRESHET_TELEMETRY__ENVIRONMENT   = "test"
      FRESHET_TELEMETRY__SAMPLE_RATIO  = "1"
      FRESHET_TELEMETRY__OTLP_ENDPOINT = "http://127.0.0.1:4317"
      FRESHET_RPC__CA                  = "secretsmanager:freshet-test/services#ca"
      FRESHET_RPC__CERT                = "secretsmanager:freshet-test/services#cert"
      FRESHET_RPC__CERT_KEY            = "secretsmanager:freshet-test/services#cert_key"
      FRESHET_RPC__KEY                 = "secretsmanager:freshet-test/services#rpc_key"
      FRESHET_RPC__VALIDATION          = "https://validation:8081"
      FRESHET_RPC__CONTENT             = "https://content:8081"
      FRESHET_INGRESS__HTTP_ADDRESS    = "0.0.0.0:8080"
      FRESHET_SPOOL__BUCKET            = "freshet-test-spool-eb805c6c"
      FRESHET_SPOOL__PREFIX            = "spool/"
    })
    error_message = "The ingress is told something else: ${jsonencode(output.environment["ingress"])}"
  }

  assert {
    condition = jsonencode(output.environment["validation"]) == jsonencode({
      FRESHET_SERVICE__LOG             = "info"
      FRESHET_SERVICE__LOG_FORMAT      = "json"
      FRESHET_SERVICE__DRAIN_DELAY     = "5s"
      FRESHET_SERVICE__DRAIN_DEADLINE  = "20s"
      FRESHET_CATALOGUE__LOCATION      = "s3://freshet-test-catalogue-eb805c6c/catalogue.toml"
      FRESHET_CATALOGUE__POLL          = "10s"
      FRESHET_SECRETS__REFRESH         = "60s"
      FRESHET_TELEMETRY__ENVIRONMENT   = "test"
      FRESHET_TELEMETRY__SAMPLE_RATIO  = "1"
      FRESHET_TELEMETRY__OTLP_ENDPOINT = "http://127.0.0.1:4317"
      FRESHET_RPC__CA                  = "secretsmanager:freshet-test/services#ca"
      FRESHET_RPC__CERT                = "secretsmanager:freshet-test/services#cert"
      FRESHET_RPC__CERT_KEY            = "secretsmanager:freshet-test/services#cert_key"
      FRESHET_GRPC__ADDRESS            = "0.0.0.0:8081"
    })
    error_message = "The validation service is told something else: ${jsonencode(output.environment["validation"])}"
  }

  assert {
    condition = jsonencode(output.environment["content"]) == jsonencode(merge(output.environment["validation"], {
      FRESHET_CONTENT__TABLE_PREFIX     = "freshet-test-"
      FRESHET_CONTENT__DELIVERIES_TABLE = "freshet-test-deliveries"
      FRESHET_CONTENT__BODIES_BUCKET    = "freshet-test-bodies-eb805c6c"
      FRESHET_BUS__TOPIC_ARN            = "arn:aws:sns:us-east-1:123456789012:mock"
    }))
    error_message = "The content service is told something else: ${jsonencode(output.environment["content"])}"
  }

  assert {
    condition = jsonencode(output.environment["build"]) == jsonencode(merge(output.environment["validation"], {
      FRESHET_RPC__KEY                     = "secretsmanager:freshet-test/services#rpc_key"
      FRESHET_RPC__CONTENT                 = "https://content:8081"
      FRESHET_BUILD__TABLE                 = "freshet-test-builds"
      FRESHET_BUILD__BUCKET                = "freshet-test-builds-eb805c6c"
      FRESHET_BUS__BUILD_QUEUE             = "https://sqs/build"
      FRESHET_BUS__BUILD_DEAD_LETTER_QUEUE = "https://sqs/build-dead"
      FRESHET_BUS__BUILD_EVENTS_QUEUE      = "https://sqs/build-events"
      FRESHET_BUS__VISIBILITY              = "30s"
    }))
    error_message = "The build service is told something else: ${jsonencode(output.environment["build"])}"
  }

  assert {
    condition = jsonencode(output.environment["control"]) == jsonencode(merge(output.environment["validation"], {
      FRESHET_RPC__KEY        = "secretsmanager:freshet-test/services#rpc_key"
      FRESHET_RPC__VALIDATION = "https://validation:8081"
      FRESHET_RPC__CONTENT    = "https://content:8081"
      FRESHET_RPC__BUILD      = "https://build:8081"
    }))
    error_message = "The control service is told something else: ${jsonencode(output.environment["control"])}"
  }
}

run "without_tls_and_collector_nothing_is_said_about_them" {
  command = apply

  variables {
    tls       = false
    collector = false
  }

  assert {
    condition = alltrue([for service, environment in output.environment :
      length([for key in keys(environment) : key if can(regex("CERT|__CA$|OTLP", key))]) == 0
    ])
    error_message = "A task is told of certificates or of a collector that are not there."
  }
  assert {
    condition     = output.environment["control"]["FRESHET_RPC__BUILD"] == "http://build:8081"
    error_message = "A service without TLS would be called with it."
  }
}

run "a_task_may_do_what_it_needs_and_nothing_else" {
  command = apply

  assert {
    condition = alltrue(flatten([for service, policy in output.policies : [
      for statement in jsondecode(policy).Statement : [
        for action in flatten([statement.Action]) : statement.Effect == "Allow" && !strcontains(action, "*") && action != "dynamodb:Scan"
      ]
    ]]))
    error_message = "No action may have a `*`, and nobody reads whole tables."
  }
  assert {
    condition = alltrue(flatten([for service, policy in output.policies : [
      for statement in jsondecode(policy).Statement : [
        for resource in flatten([statement.Resource]) : startswith(resource, "arn:") && !endswith(resource, ":*")
      ]
    ]]))
    error_message = "No statement may be about everything."
  }
  assert {
    condition     = alltrue([for policy in output.policies : length(policy) < 10240])
    error_message = "An inline policy has at most 10,240 characters."
  }
  assert {
    condition = jsonencode({
      for service, policy in output.policies : service => sort(distinct([
        for action in flatten([for statement in jsondecode(policy).Statement : flatten([statement.Action])]) : split(":", action)[0]
      ]))
      }) == jsonencode({
      ingress    = ["kms", "s3", "secretsmanager"]
      validation = ["kms", "s3", "secretsmanager"]
      content    = ["dynamodb", "kms", "s3", "secretsmanager", "sns"]
      build      = ["cloudfront", "codebuild", "dynamodb", "kms", "s3", "secretsmanager", "sqs"]
      control    = ["kms", "s3", "secretsmanager"]
    })
    error_message = "A task reaches another API than it needs: ${jsonencode({ for service, policy in output.policies : service => distinct([for action in flatten([for statement in jsondecode(policy).Statement : flatten([statement.Action])]) : split(":", action)[0]]) })}"
  }
  assert {
    condition = [for statement in jsondecode(output.policies["content"]).Statement : statement.Resource if statement.Sid == "Content"] == [[
      "arn:aws:dynamodb:us-east-1:123456789012:table/freshet-test-*-content-cache",
      "arn:aws:dynamodb:us-east-1:123456789012:table/freshet-test-*-content-cache/index/*",
      "arn:aws:dynamodb:us-east-1:123456789012:table/freshet-test-deliveries",
      "arn:aws:dynamodb:us-east-1:123456789012:table/freshet-test-deliveries/index/*",
    ]]
    error_message = "The content service reaches other tables, or not its own."
  }
  assert {
    condition = [for statement in jsondecode(output.policies["build"]).Statement : statement.Resource if statement.Sid == "Run"] == [
      "arn:aws:codebuild:us-east-1:123456789012:project/freshet-test-*"
    ]
    error_message = "The build service starts other projects than its own."
  }
  assert {
    condition = length([for service in ["validation", "control"] : 1 if alltrue([
      for statement in jsondecode(output.policies[service]).Statement : !contains(flatten([statement.Action]), "s3:PutObject")
    ])]) == 2
    error_message = "Validation and control write nothing."
  }
}

run "every_site_is_known_to_the_catalogue" {
  command = apply

  assert {
    condition     = strcontains(output.catalogue, "bucket = \"freshet-test-tidewater-www-site-eb805c6c\"") && strcontains(output.catalogue, "distribution = \"E2EXAMPLE\"")
    error_message = "The catalogue does not say where the site is: ${output.catalogue}"
  }
  assert {
    condition     = output.secrets == { services = "freshet-test/services", sources = { tidewater = { journal = "freshet-test/tidewater/journal" } } }
    error_message = "An operator is not told which secrets want values."
  }
}

run "latest_is_no_version" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}

run "the_services_own_key_is_required" {
  command = plan

  variables {
    keys = {}
  }

  expect_failures = [var.keys]
}

run "two_sites_with_one_name_on_aws_are_refused" {
  command = plan

  variables {
    clients = {
      a   = { sources = { s = { provider = "strapi" } }, sites = { b-c = { sources = ["s"] } } }
      a-b = { sources = { s = { provider = "strapi" } }, sites = { c = { sources = ["s"] } } }
    }
  }

  expect_failures = [var.clients]
}

run "unknown_services_are_refused" {
  command = plan

  variables {
    services = { contents = { cpu = 512 } }
  }

  expect_failures = [var.services]
}

run "four_zones_are_refused" {
  command = plan

  variables {
    zones = 4
  }

  expect_failures = [var.zones]
}
