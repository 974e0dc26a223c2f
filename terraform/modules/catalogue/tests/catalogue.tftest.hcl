mock_provider "aws" {
  source = "../../testing"
}

variables {
  name        = "freshet-test"
  bucket      = "freshet-test-catalogue-00000000"
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"

  clients = {
    tidewater = {
      title       = "Tide \"water\""
      content_ttl = "7d"
      rate_limit  = { per_second = 10 }
      sources = {
        journal = {
          provider    = "strapi"
          secret_keys = ["webhook", "webhook_next"]
          settings    = { header = "authorization" }
        }
        pages = {
          provider      = "decap"
          secret_keys   = []
          require_key   = true
          rate_limit    = { per_second = 5, burst = 20 }
          setting_lists = { content = ["posts", "pages"] }
        }
      }
      sites = {
        www = {
          title        = "Tidewater"
          sources      = ["journal", "pages"]
          preset       = "eleventy"
          env          = { SITE_URL = "https://example.com" }
          secret_env   = { STRAPI_TOKEN = "journal#token" }
          quiet_period = "2s"
          max_wait     = "10s"
          max_changes  = 100
        }
        plain = { sources = ["journal"] }
      }
    }
  }

  keys = {
    services = { sha256 = "0000000000000000000000000000000000000000000000000000000000000001", clients = ["*"], scopes = ["content:read"] }
    journal  = { sha256 = "0000000000000000000000000000000000000000000000000000000000000002", clients = ["tidewater"], scopes = ["webhook"], source = "journal" }
  }

  sites = {
    tidewater = {
      www   = { project = "freshet-test-tidewater-www", bucket = "freshet-test-tidewater-www-site-00000000", distribution = "E2EXAMPLE" }
      plain = { bucket = "freshet-test-tidewater-plain-site-00000000", distribution = "E3EXAMPLE" }
    }
  }
}

run "the_document_is_what_the_services_read" {
  command = apply

  assert {
    condition     = output.document == file("tests/expected.toml")
    error_message = "The document differs from tests/expected.toml:\n${output.document}"
  }
  assert {
    condition     = output.location == "s3://freshet-test-catalogue-00000000/catalogue.toml"
    error_message = "The services look elsewhere."
  }
}

run "a_source_of_another_client_is_refused" {
  command = plan

  variables {
    clients = {
      tidewater = {
        sources = { journal = { provider = "strapi" } }
        sites   = { www = { sources = ["shop"] } }
      }
    }
  }

  expect_failures = [var.clients]
}

run "a_source_that_anybody_could_use_is_refused" {
  command = plan

  variables {
    clients = { tidewater = { sources = { journal = { provider = "strapi", secret_keys = [] } }, sites = {} } }
  }

  expect_failures = [var.clients]
}

run "an_unknown_provider_is_refused" {
  command = plan

  variables {
    clients = { tidewater = { sources = { journal = { provider = "wordpress" } }, sites = {} } }
  }

  expect_failures = [var.clients]
}

run "a_key_in_place_of_its_hash_is_refused" {
  command = plan

  variables {
    keys = { services = { sha256 = "fk_abcdef", clients = ["*"], scopes = ["content:read"] } }
  }

  expect_failures = [var.keys]
}

run "an_unknown_scope_is_refused" {
  command = plan

  variables {
    keys = { services = { sha256 = "0000000000000000000000000000000000000000000000000000000000000001", clients = ["*"], scopes = ["everything"] } }
  }

  expect_failures = [var.keys]
}

run "a_key_for_a_client_that_is_not_there_is_refused" {
  command = plan

  variables {
    keys = { other = { sha256 = "0000000000000000000000000000000000000000000000000000000000000001", clients = ["other"], scopes = ["webhook"] } }
  }

  expect_failures = [aws_s3_object.catalogue]
}
