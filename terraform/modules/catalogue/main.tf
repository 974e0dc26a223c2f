data "aws_partition" "current" {}

# The document that services/shared/kit/src/catalogue/parse.rs reads. A JSON string is a TOML string too, and so is a
# list of them; only tables are written out here.
locals {
  clients = [
    for client_id, client in var.clients : join("\n", concat(
      [
        "[[client]]",
        "id = ${jsonencode(client_id)}",
      ],
      [for key in ["title", "content_ttl"] : "${key} = ${jsonencode(client[key])}" if client[key] != null],
      client.max_running_builds == null ? [] : ["max_running_builds = ${client.max_running_builds}"],
      client.rate_limit == null ? [] : [
        join("", ["rate_limit = { per_second = ${client.rate_limit.per_second}", client.rate_limit.burst == null ? " }" : ", burst = ${client.rate_limit.burst} }"])
      ],

      flatten([for id, source in client.sources : concat(
        [
          "",
          "[[client.source]]",
          "id = ${jsonencode(id)}",
          "provider = ${jsonencode(source.provider)}",
          "secrets = ${jsonencode([for key in source.secret_keys : "secretsmanager:${var.name}/${client_id}/${id}#${key}"])}",
        ],
        source.require_key == null ? [] : ["require_key = ${source.require_key}"],
        source.rate_limit == null ? [] : [
          join("", ["rate_limit = { per_second = ${source.rate_limit.per_second}", source.rate_limit.burst == null ? " }" : ", burst = ${source.rate_limit.burst} }"])
        ],
        [for key, value in source.settings : "${key} = ${jsonencode(value)}"],
        [for key, value in source.setting_lists : "${key} = ${jsonencode(value)}"],
      )]),

      flatten([for id, site in client.sites : concat(
        [
          "",
          "[[client.site]]",
          "id = ${jsonencode(id)}",
          "sources = ${jsonencode(site.sources)}",
          "preset = ${jsonencode(site.preset)}",
          "timeout = \"${site.timeout_minutes}m\"",
        ],
        [for key in ["title", "quiet_period", "max_wait", "supersede", "retry_backoff", "retry_backoff_max"] :
        "${key} = ${jsonencode(site[key])}" if site[key] != null],
        [for key in ["max_changes", "max_attempts"] : "${key} = ${site[key]}" if site[key] != null],
        length(site.env) == 0 ? [] : concat(
          ["[client.site.env]"], [for key, value in site.env : "${key} = ${jsonencode(value)}"]
        ),
        ["[client.site.aws]"],
        [for key in ["project", "bucket", "distribution"] :
          "${key} = ${jsonencode(var.sites[client_id][id][key])}" if var.sites[client_id][id][key] != null
        ],
        length(site.secret_env) == 0 ? [] : concat(
          ["[client.site.secret_env]"],
          [for variable, reference in site.secret_env :
            "${variable} = ${jsonencode("secretsmanager:${var.name}/${client_id}/${replace(reference, "/#.*/", "")}#${replace(reference, "/^[^#]*#/", "")}")}"
          ],
        ),
      )]),
    ))
  ]

  keys = [
    for name, key in var.keys : join("\n", concat(
      [
        "[[key]]",
        "name = ${jsonencode(name)}",
        "sha256 = ${jsonencode(key.sha256)}",
        "clients = ${jsonencode(key.clients)}",
        "scopes = ${jsonencode(key.scopes)}",
      ],
      key.source == null ? [] : ["source = ${jsonencode(key.source)}"],
    ))
  ]

  document = join("\n\n", concat(
    ["# Written by Terraform. Change the variable `clients` and apply.\nmax_running_builds = ${var.max_running_builds}"],
    local.clients, local.keys,
  ))
}

resource "aws_s3_object" "catalogue" {
  bucket       = var.bucket
  key          = "catalogue.toml"
  content      = "${local.document}\n"
  content_type = "application/toml"
  kms_key_id   = var.kms_key_arn

  lifecycle {
    precondition {
      condition     = alltrue([for key in var.keys : key.clients == tolist(["*"]) || length(setsubtract(key.clients, keys(var.clients))) == 0])
      error_message = "`keys` names a client that is not among `clients`."
    }
  }
}
