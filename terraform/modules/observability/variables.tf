variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "emails" {
  description = "Who is told about alarms."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "An address of `emails` is none: its alarms would reach nobody."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the topic of alarms and the metrics' log. Its policy must let CloudWatch use it."
  type        = string
}

variable "log_days" {
  description = "Days that the metrics' log stays."
  type        = number
}

variable "load_balancer" {
  description = "The balancer in metrics: `app/{name}/{id}`."
  type        = string
}

variable "target_group" {
  description = "The ingress's target group in metrics."
  type        = string
}

variable "cluster" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "services" {
  description = "The services, with the number of tasks that each should have at least."
  type        = map(number)
}

variable "queues" {
  description = "Queues whose age is watched, by what they are for: name of each."
  type        = map(string)
}

variable "dead_letter_queues" {
  description = "Dead-letter queues, by what they are for: name of each."
  type        = map(string)
}

variable "clients" {
  description = "Each client's table and CodeBuild projects by site, for its dashboard and for the alarms of its builds."
  type = map(object({
    table    = string
    projects = map(string)
  }))
}

variable "queue_age_seconds" {
  description = "Seconds that a message may wait before an alarm goes off."
  type        = number
  default     = 300

  validation {
    condition     = var.queue_age_seconds >= 60
    error_message = "Below a minute every deploy would be an alarm."
  }
}

variable "p99_seconds" {
  description = "Seconds in which 99 of 100 webhooks are answered."
  type        = number
  default     = 1

  validation {
    condition     = var.p99_seconds <= 2
    error_message = "The least patient provider waits 2 s: a later alarm would come after the loss."
  }
}

variable "budget_usd" {
  description = "Dollars a month for everything with this environment's tag. 0: no budget."
  type        = number
  default     = 0
}

variable "environment" {
  description = "Value of the tag `environment`, which the budget counts."
  type        = string
}
