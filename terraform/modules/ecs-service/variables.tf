variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "service" {
  description = "The service: ingress, validation, content, build or control. Its program is /app/freshet-{service}."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "image" {
  description = "Image with its tag. Tags are never moved."
  type        = string

  validation {
    condition     = can(regex(":[^:/]+$", var.image)) && !endswith(var.image, ":latest")
    error_message = "An image is named with a tag, and not with `latest`: a rollback is the tag before."
  }
}

variable "repository_arn" {
  description = "ARN of the image's repository, the only one that the task may pull from. Null: an image from elsewhere, which everybody may pull."
  type        = string
  default     = null
}

variable "cpu" {
  description = "CPU units: 1024 is one core."
  type        = number

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "Fargate has 256, 512, 1024, 2048 or 4096 CPU units."
  }
}

variable "memory" {
  description = "Memory in MiB."
  type        = number

  validation {
    condition     = var.memory >= 2 * var.cpu && var.memory <= 8 * var.cpu
    error_message = "Fargate gives 2 to 8 MiB for each CPU unit."
  }
}

variable "min" {
  description = "Tasks at least. 0 where the service is off."
  type        = number
}

variable "max" {
  description = "Tasks at most."
  type        = number

  validation {
    condition     = var.max >= var.min
    error_message = "`max` is below `min`."
  }
}

variable "spot" {
  description = "Run on Fargate Spot."
  type        = bool
  default     = false
}

variable "environment" {
  description = "Environment variables. No secret is among them: the program reads secrets itself, by reference."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.environment) : startswith(name, "FRESHET_")])
    error_message = "The programs read variables that begin with FRESHET_ only: another one is a mistake."
  }
}

variable "policy" {
  description = "What the task may do, as JSON."
  type        = string

  validation {
    condition = alltrue(flatten([for statement in jsondecode(var.policy).Statement : [
      for action in flatten([statement.Action]) : !strcontains(action, "*")
    ]]))
    error_message = "A task's policy names every action: a `*` would allow what nobody thought of."
  }
}

variable "port" {
  description = "Port of the program."
  type        = number
}

variable "discovery" {
  description = "Name and port under which other services call this one by Service Connect; null where none does. `protocol` is grpc, or null where the program itself speaks TLS."
  type        = object({ name = string, protocol = optional(string) })
  default     = null
}

variable "namespace_arn" {
  description = "ARN of the Service Connect namespace."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the tasks."
  type        = list(string)
}

variable "public_ip" {
  description = "Give tasks public addresses: their way out where they are not private."
  type        = bool
  default     = false
}

variable "target_group_arn" {
  description = "Target group of the load balancer; null where it does not call this service."
  type        = string
  default     = null
}

variable "stop_seconds" {
  description = "Seconds between SIGTERM and SIGKILL. Longer than the program's own drain."
  type        = number

  validation {
    condition     = var.stop_seconds >= 10 && var.stop_seconds <= 120
    error_message = "ECS waits 120 s at most; below 10 s a task cannot drain."
  }
}

variable "queue" {
  description = "Scale on the age of the oldest message of this queue: its name, and the seconds it may be old."
  type        = object({ name = string, seconds = number })
  default     = null
}

variable "collector" {
  description = "Configuration of an OpenTelemetry collector that runs beside the program. Null: none."
  type        = string
  default     = null
}

variable "collector_image" {
  description = "Image of the collector, AWS's own distribution."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the log."
  type        = string
}

variable "log_days" {
  description = "Days that the log stays."
  type        = number
}
