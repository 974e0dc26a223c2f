variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets, two at least."
  type        = list(string)
}

variable "task_security_group_id" {
  description = "Security group of the tasks, which the balancer may reach."
  type        = string
}

variable "domain" {
  description = "Name under which webhooks arrive."
  type        = string
}

variable "zone_id" {
  description = "Route 53 zone of the domain. Null: the certificate is given and the record is made elsewhere."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "Certificate for the domain, where `zone_id` is null."
  type        = string
  default     = null

  validation {
    condition     = (var.zone_id == null) != (var.certificate_arn == null)
    error_message = "Exactly one of `zone_id` and `certificate_arn`: either the certificate is made here or it is given."
  }
}

variable "failover" {
  description = "PRIMARY or SECONDARY where two regions answer under the domain."
  type        = string
  default     = null

  validation {
    condition     = var.failover == null ? true : contains(["PRIMARY", "SECONDARY"], var.failover)
    error_message = "Route 53 knows PRIMARY and SECONDARY."
  }
}

variable "requests_per_five_minutes" {
  description = "Requests from one address in five minutes above which the firewall refuses it. Providers send from few addresses: this stops floods, not bursts."
  type        = number
  default     = 20000

  validation {
    condition     = var.requests_per_five_minutes >= 1000
    error_message = "A shop's import comes from one address: below 1000 in five minutes its webhooks would be refused and lost."
  }
}

variable "grpc" {
  description = "Services whose gRPC operators and teams reach at port 8443, by service name in the API (`freshet.control.v1`), for `operator_cidrs` only."
  type        = map(string)
  default     = { control = "freshet.control.v1", content = "freshet.content.v1", build = "freshet.build.v1" }
}

variable "operator_cidrs" {
  description = "Addresses from which operators and teams call the gRPC APIs. Empty: nobody from outside the VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.operator_cidrs : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "Name the addresses of an office or a VPN: the APIs are for teams, not for the world."
  }
}

variable "tls" {
  description = "The services themselves speak TLS."
  type        = bool
}

variable "deletion_protection" {
  description = "Refuse to delete the balancer, and its log while it is not empty."
  type        = bool
}

variable "log_days" {
  description = "Days that the balancer's and the firewall's logs stay."
  type        = number
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the firewall's log."
  type        = string
}
