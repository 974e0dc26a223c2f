variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts topic and queues. Its policy must let SNS and EventBridge use it."
  type        = string
}

variable "visibility_seconds" {
  description = "How long a received message stays hidden; the same number is the setting `bus.visibility` of the build service."
  type        = number
  default     = 30

  validation {
    condition     = var.visibility_seconds >= 10 && var.visibility_seconds <= 600
    error_message = "Below 10 s a message comes again while it is being handled; above 600 s a crash holds up builds for too long."
  }
}

variable "max_receives" {
  description = "A message that was received so often and never deleted goes to the dead-letter queue."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receives >= 3
    error_message = "A deploy or a crash costs a receive: fewer than 3 would give up sound messages."
  }
}
