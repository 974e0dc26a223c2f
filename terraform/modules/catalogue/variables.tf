variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "bucket" {
  description = "Private bucket that keeps the catalogue."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts it."
  type        = string
}

variable "max_running_builds" {
  description = "Builds that may run at the same time, over all clients."
  type        = number
  default     = 4

  validation {
    condition     = var.max_running_builds >= 1 && var.max_running_builds <= 1000 && floor(var.max_running_builds) == var.max_running_builds
    error_message = "`max_running_builds` is a whole number from 1 to 1000: the services refuse any other."
  }
}

variable "clients" {
  description = "Clients with their sources and sites, by id. The names are those of the catalogue; what is not given is left to the services."
  type = map(object({
    title              = optional(string)
    content_ttl        = optional(string)
    max_running_builds = optional(number)
    rate_limit         = optional(object({ per_second = number, burst = optional(number) }))
    sources = map(object({
      provider      = string
      secret_keys   = optional(list(string), ["webhook"])
      require_key   = optional(bool)
      rate_limit    = optional(object({ per_second = number, burst = optional(number) }))
      settings      = optional(map(string), {})
      setting_lists = optional(map(list(string)), {})
    }))
    sites = optional(map(object({
      title             = optional(string)
      sources           = list(string)
      preset            = optional(string, "builtin")
      env               = optional(map(string), {})
      secret_env        = optional(map(string), {})
      timeout_minutes   = optional(number, 15)
      quiet_period      = optional(string)
      max_wait          = optional(string)
      max_changes       = optional(number)
      supersede         = optional(string)
      max_attempts      = optional(number)
      retry_backoff     = optional(string)
      retry_backoff_max = optional(string)
    })), {})
  }))

  validation {
    condition     = length(var.clients) > 0
    error_message = "The services refuse a catalogue without a client."
  }

  validation {
    condition     = alltrue(flatten([for client in var.clients : [for id in keys(client.sources) : can(regex("^[a-z0-9-]{1,40}$", id))]]))
    error_message = "A source is named with 1 to 40 characters of a-z, 0-9 and -: its name is part of the webhook's address."
  }

  validation {
    condition = alltrue(flatten([for client in var.clients : [for source in client.sources : contains(
      ["decap", "sanity", "shopify_advanced", "shopify_basic", "standard_webhooks", "strapi", "tina", "woocommerce"], source.provider
    )]]))
    error_message = "A provider is decap, sanity, shopify_advanced, shopify_basic, standard_webhooks, strapi, tina or woocommerce: there is no adapter for another."
  }

  validation {
    condition     = alltrue(flatten([for client in var.clients : [for source in client.sources : length(source.secret_keys) > 0 || source.require_key == true]]))
    error_message = "A source without `secret_keys` must have `require_key = true`: otherwise anybody could send its webhooks."
  }

  validation {
    condition = alltrue(flatten([for client in var.clients : [for source in client.sources : [
      for key in source.secret_keys : can(regex("^[A-Za-z0-9_.-]{1,100}$", key))
    ]]]))
    error_message = "`secret_keys` are names of keys in the source's secret, never the secrets themselves."
  }

  validation {
    condition = alltrue(flatten([for client in var.clients : [for site in client.sites :
      length(site.sources) > 0 && length(setsubtract(site.sources, keys(client.sources))) == 0
    ]]))
    error_message = "A site shows at least one source, and only sources of its own client."
  }

  validation {
    condition = alltrue(flatten([for client in var.clients : concat(
      [client.content_ttl == null || can(regex("^[0-9]+(h|d)$", client.content_ttl))],
      [for site in client.sites : [for time in compact([site.quiet_period, site.max_wait, site.retry_backoff, site.retry_backoff_max]) :
        can(regex("^[0-9]+(ms|s|m|h|d)$", time))
      ]],
    )]))
    error_message = "A time is a number with its unit, like 500ms, 5s, 10m, 48h or 30d; `content_ttl` is given in h or d."
  }
}

variable "keys" {
  description = "API keys by name: only the SHA-256 of each, as `freshet keys new` prints it. `clients` is a list of clients, or `[\"*\"]`."
  type = map(object({
    sha256  = string
    clients = list(string)
    scopes  = list(string)
    source  = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for key in var.keys : can(regex("^[0-9a-f]{64}$", key.sha256))])
    error_message = "`sha256` is 64 hexadecimal digits, the hash of the key. If this is the key itself, it has been shown now: make a new one."
  }

  validation {
    condition     = length(distinct([for key in var.keys : key.sha256])) == length(var.keys)
    error_message = "Two keys have the same `sha256`: then nobody could tell who called."
  }

  validation {
    condition = alltrue(flatten([for key in var.keys : [for scope in key.scopes : contains(
      ["webhook", "content:read", "content:write", "build:read", "build:write", "control:read", "control:write"], scope
    )]]))
    error_message = "A scope is webhook, content:read, content:write, build:read, build:write, control:read or control:write."
  }

  validation {
    condition     = alltrue([for key in var.keys : length(key.scopes) > 0 && length(key.clients) > 0])
    error_message = "A key has at least one scope and one client: without them it could do nothing."
  }
}

variable "sites" {
  description = "Where each site is on AWS, by client and site: project (null if built in), bucket, distribution."
  type = map(map(object({
    project      = optional(string)
    bucket       = string
    distribution = optional(string)
  })))
}
