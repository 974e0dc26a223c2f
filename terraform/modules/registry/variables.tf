variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "images" {
  description = "Images that get a repository `{name}/{image}`."
  type        = set(string)
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the images."
  type        = string
}

variable "kept" {
  description = "Images kept in each repository: as many versions can be rolled back to."
  type        = number
  default     = 30

  validation {
    condition     = var.kept >= 5
    error_message = "Fewer than 5 versions would leave nothing to roll back to after a busy day."
  }
}

variable "force_delete" {
  description = "Delete repositories that have images."
  type        = bool
}
