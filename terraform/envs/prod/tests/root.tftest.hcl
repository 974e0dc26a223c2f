mock_provider "aws" {
  source = "../../testing"
}

mock_provider "aws" {
  alias  = "secondary"
  source = "../../testing"
}
variables {
  region    = "us-east-1"
  domain    = "hooks.example.com"
  zone_id   = "Z0123456789EXAMPLE"
  image_tag = "1"

  clients = {
    tidewater = {
      sources = { journal = { provider = "strapi" }, shop = { provider = "shopify_basic" } }
      sites = {
        www = {
          sources    = ["journal"]
          preset     = "hugo"
          code       = { type = "GITHUB", location = "https://github.com/example/site.git" }
          secret_env = { TOKEN = "journal#token" }
        }
        plain = { sources = ["journal", "shop"] }
      }
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

run "names_carry_the_environment" {
  command = apply

  assert {
    condition = output.freshet.tables == {
      deliveries = "freshet-prod-deliveries"
      builds     = "freshet-prod-builds"
      content    = { tidewater = "freshet-prod-tidewater-content-cache" }
    }
    error_message = "A table has another name than the services look for: ${jsonencode(output.freshet.tables)}"
  }
  assert {
    condition     = output.freshet.sites.tidewater.www.project == "freshet-prod-tidewater-www" && output.freshet.sites.tidewater.plain.project == null
    error_message = "The site with a generator has a project, the built-in one has none."
  }
  assert {
    condition     = alltrue([for environment in values(output.freshet.environment) : environment["FRESHET_TELEMETRY__ENVIRONMENT"] == "prod"])
    error_message = "A task says it is of another environment."
  }
  assert {
    condition     = output.freshet.environment.control["FRESHET_RPC__BUILD"] == "https://build:8081"
    error_message = "The services speak to one another otherwise than meant for prod."
  }
}

run "a_second_region_stands_by" {
  command = apply

  variables {
    secondary_region = "eu-west-1"
  }

  assert {
    condition     = output.secondary.tables == output.freshet.tables && output.secondary.secrets == output.freshet.secrets
    error_message = "The second region reads other tables or secrets than the replicas of the first."
  }
  assert {
    condition     = output.secondary.sites.tidewater.www.distribution == null && strcontains(output.secondary.catalogue, "distribution = \"E2EXAMPLE\"")
    error_message = "There is one distribution for both regions, and both tell it what changed."
  }
}

run "one_region_has_no_second" {
  command = apply

  assert {
    condition     = output.secondary == null
    error_message = "A second region was made without being asked for."
  }
}

run "the_second_region_is_another_one" {
  command = plan

  variables {
    secondary_region = "us-east-1"
  }

  expect_failures = [var.secondary_region]
}

run "two_regions_need_a_zone" {
  command = plan

  variables {
    secondary_region = "eu-west-1"
    zone_id          = null
    certificate_arn  = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  }

  expect_failures = [var.secondary_region]
}

run "builds_are_led_where_there_is_a_build_service" {
  command = plan

  variables {
    build_region = "eu-west-1"
  }

  expect_failures = [var.build_region]
}
