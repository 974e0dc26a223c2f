variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "The VPC is a /16: subnets of a /20 are cut from it."
  }
}

variable "zones" {
  description = "Availability zones that have tasks. The load balancer has two at least, because AWS asks for that."
  type        = number

  validation {
    condition     = var.zones >= 1 && var.zones <= 3
    error_message = "1 zone is for trials, 2 survive the loss of one, 3 keep two thirds when one is lost."
  }
}

variable "private" {
  description = "Tasks have private addresses only, endpoints for the APIs of AWS, and a NAT gateway for the few that have none (CloudFront)."
  type        = bool
}

variable "endpoints" {
  description = "APIs with an interface endpoint, where tasks are private."
  type        = set(string)
  default     = ["sqs", "sns", "secretsmanager", "logs", "ecr.api", "ecr.dkr", "kms", "codebuild"]
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the flow log."
  type        = string
}

variable "log_days" {
  description = "Days that the flow log stays."
  type        = number
}
