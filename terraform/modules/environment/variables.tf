variable "environment" {
  description = "Name of the environment; `freshet-{environment}-` begins every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "An environment is named with 2 to 12 characters of a-z and 0-9, a letter first: names of buckets, which have at most 63 characters, are made from it."
  }
}

variable "clients" {
  description = "Clients with their sources and sites, by id: who sends content, and what is built from it. docs/operations/aws.md explains every field."
  type = map(object({
    title              = optional(string)
    content_ttl        = optional(string, "48h")
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
      command           = optional(list(string), [])
      output            = optional(string, "")
      env               = optional(map(string), {})
      secret_env        = optional(map(string), {})
      timeout_minutes   = optional(number, 15)
      compute           = optional(string, "BUILD_GENERAL1_SMALL")
      quiet_period      = optional(string)
      max_wait          = optional(string)
      max_changes       = optional(number)
      supersede         = optional(string)
      max_attempts      = optional(number)
      retry_backoff     = optional(string)
      retry_backoff_max = optional(string)
      code = optional(object({
        type           = string
        location       = string
        branch         = optional(string)
        directory      = optional(string, ".")
        connection_arn = optional(string)
      }))
      domains         = optional(list(string), [])
      certificate_arn = optional(string)
      web_acl_arn     = optional(string)
    })), {})
  }))

  validation {
    condition     = alltrue([for id in keys(var.clients) : can(regex("^[a-z0-9-]{1,40}$", id))])
    error_message = "A client is named with 1 to 40 characters of a-z, 0-9 and -: its name is part of table, bucket and secret names."
  }

  validation {
    # A table of one and a table of the other could otherwise have the same project or bucket.
    condition = length(distinct(flatten([for id, client in var.clients : [for site in keys(client.sites) : "${id}-${site}"]]))) == length(
      flatten([for id, client in var.clients : keys(client.sites)])
    )
    error_message = "Two sites would have the same name `{client}-{site}` on AWS, and so share a project and a bucket: rename one."
  }
}

variable "keys" {
  description = "API keys by name, as SHA-256 hashes. `services` is the key that the services use among themselves; its text is put into the secret `freshet-{environment}/services`, key `rpc_key`."
  type = map(object({
    sha256  = string
    clients = list(string)
    scopes  = list(string)
    source  = optional(string)
  }))

  validation {
    condition     = contains(keys(var.keys), "services") ? var.keys["services"].clients == tolist(["*"]) : false
    error_message = "`keys` must have the key `services` for all clients (`[\"*\"]`): without it the services refuse one another."
  }
}

variable "max_running_builds" {
  description = "Builds that may run at the same time, over all clients."
  type        = number
  default     = 4
}

variable "image_tag" {
  description = "Tag of the five images in the registry. Set by whoever deploys; tags are never moved."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "A tag names one build for ever. `latest` would make a rollback impossible."
  }
}

variable "zones" {
  description = "Availability zones."
  type        = number

  validation {
    condition     = var.zones >= 1 && var.zones <= 3
    error_message = "1 zone is for trials, 2 survive the loss of one, 3 keep two thirds when one is lost; more only cost."
  }
}

variable "cidr" {
  description = "Addresses of the VPC, a /16. Two regions of one environment need different ones."
  type        = string
  default     = "10.40.0.0/16"
}

variable "spot" {
  description = "Run tasks on Fargate Spot: 70 % cheaper, and stopped with two minutes' notice whenever AWS likes."
  type        = bool
  default     = false
}

variable "private_endpoints" {
  description = "Reach the APIs of AWS through endpoints in the VPC. False: tasks have public addresses instead, which costs nothing and lets nothing in."
  type        = bool
}

variable "services" {
  description = "Size of each service: CPU units (1024 is one core), MiB, and how many tasks at least and at most."
  type = map(object({
    cpu    = optional(number, 256)
    memory = optional(number, 512)
    min    = optional(number, 1)
    max    = optional(number, 4)
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.services), ["ingress", "validation", "content", "build", "control"])) == 0
    error_message = "The services are ingress, validation, content, build and control."
  }
}

variable "builds" {
  description = "Builds are led by this region. False in the region that only stands by: its build service has no task."
  type        = bool
  default     = true
}

variable "running" {
  description = "Run tasks. False for the very first apply, before images and secrets are there."
  type        = bool
  default     = true
}

variable "tls" {
  description = "TLS between the services, with the certificate in the secret `freshet-{environment}/services` (keys ca, cert, cert_key)."
  type        = bool
  default     = true
}

variable "log" {
  description = "What is logged: `info`, or directives such as `info,freshet_build=debug`."
  type        = string
  default     = "info"
}

variable "log_days" {
  description = "Days that logs stay. checkov asks for a year."
  type        = number
  default     = 365
}

variable "sample_ratio" {
  description = "Share of traces that are kept, 0 to 1."
  type        = number
  default     = 1

  validation {
    condition     = var.sample_ratio >= 0 && var.sample_ratio <= 1
    error_message = "A share is from 0 to 1: the services refuse any other."
  }
}

variable "collector" {
  description = "Run an OpenTelemetry collector beside each task, for traces and metrics. Costs a quarter of a core for each task."
  type        = bool
  default     = true
}

variable "domain" {
  description = "Name under which webhooks arrive, such as hooks.example.com."
  type        = string
}

variable "zone_id" {
  description = "Route 53 zone of the domain. Null: the certificate comes from `certificate_arn` and the record is made elsewhere."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "Certificate for the domain, where `zone_id` is null."
  type        = string
  default     = null
}

variable "failover" {
  description = "PRIMARY or SECONDARY where two regions answer under the domain; null where there is one."
  type        = string
  default     = null
}

variable "operator_cidrs" {
  description = "Addresses from which operators and teams call the gRPC APIs, at port 8443 of the domain. Empty: nobody from outside the VPC."
  type        = list(string)
  default     = []
}

variable "alarm_emails" {
  description = "Who is told about alarms."
  type        = list(string)
  default     = []
}

variable "budget_usd" {
  description = "Dollars a month after which an alarm goes off. 0: none."
  type        = number
  default     = 0
}

variable "deletion_protection" {
  description = "Refuse to delete tables, buckets that are not empty, and the load balancer."
  type        = bool
  default     = true
}

variable "primary" {
  description = "Make what exists once: tables, secrets, distributions. False in a second region."
  type        = bool
  default     = true
}

variable "replicas" {
  description = "Other regions that get replicas of tables and secrets, with the ARN of the KMS key there."
  type        = map(string)
  default     = {}
}

variable "origin_regions" {
  description = "Regions that keep the sites' files, the one that builds first. Empty: this region alone."
  type        = list(string)
  default     = []
}

variable "distribution_arns" {
  description = "In a second region: the distributions that read its buckets, by client and site."
  type        = map(map(string))
  default     = {}
}

variable "distribution_ids" {
  description = "In a second region: ids of the distributions that are told about new files, by client and site."
  type        = map(map(string))
  default     = {}
}
