variable "region" {
  description = "Region of this environment."
  type        = string
  default     = "eu-central-1"
}

variable "domain" {
  description = "Name under which webhooks arrive, such as hooks.example.com."
  type        = string
}

variable "zone_id" {
  description = "Route 53 zone of the domain. Null: `certificate_arn` is given and the record is made elsewhere."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "Certificate for the domain, where `zone_id` is null."
  type        = string
  default     = null
}

variable "image_tag" {
  description = "Tag of the five images: the version that runs."
  type        = string
}

variable "running" {
  description = "Run tasks. False for the very first apply, before images and secrets are there."
  type        = bool
  default     = true
}

variable "clients" {
  description = "Clients with their sources and sites. The type and what is refused are in modules/environment/variables.tf; every field is explained in docs/operations/aws.md."
  type        = any
}

variable "keys" {
  description = "API keys by name, as SHA-256 hashes, `services` among them."
  type        = any
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

variable "secondary_region" {
  description = "A second region that stands by, with replicas of all tables and secrets and with warm services. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.secondary_region != var.region
    error_message = "The second region must be another one: it is there for the day on which the first is not."
  }

  validation {
    condition     = var.secondary_region == null || var.zone_id != null
    error_message = "Two regions answer under one name only by Route 53: `zone_id` is needed."
  }
}

variable "build_region" {
  description = "The region that leads builds: null is the first. Changed in a failover and back, see docs/operations/aws.md."
  type        = string
  default     = null

  validation {
    condition     = var.build_region == null || contains(compact([var.region, var.secondary_region]), coalesce(var.build_region, "-"))
    error_message = "Builds are led by `region` or by `secondary_region`: elsewhere there is no build service."
  }
}
