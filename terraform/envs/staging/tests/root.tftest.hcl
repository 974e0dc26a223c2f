mock_provider "aws" {
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
      deliveries = "freshet-staging-deliveries"
      builds     = "freshet-staging-builds"
      content    = { tidewater = "freshet-staging-tidewater-content-cache" }
    }
    error_message = "A table has another name than the services look for: ${jsonencode(output.freshet.tables)}"
  }
  assert {
    condition     = output.freshet.sites.tidewater.www.project == "freshet-staging-tidewater-www" && output.freshet.sites.tidewater.plain.project == null
    error_message = "The site with a generator has a project, the built-in one has none."
  }
  assert {
    condition     = alltrue([for environment in values(output.freshet.environment) : environment["FRESHET_TELEMETRY__ENVIRONMENT"] == "staging"])
    error_message = "A task says it is of another environment."
  }
  assert {
    condition     = output.freshet.environment.control["FRESHET_RPC__BUILD"] == "https://build:8081"
    error_message = "The services speak to one another otherwise than meant for staging."
  }
}
