variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string

  validation {
    condition     = can(regex("^freshet-[a-z][a-z0-9]{1,11}$", var.name))
    error_message = "The name must be `freshet-` and 2 to 12 characters of a-z and 0-9: names of buckets, which have at most 63 characters, are made from it."
  }
}

variable "tables" {
  description = "Make the tables here. False in a second region: there they are replicas, made by the first region."
  type        = bool
  default     = true
}

variable "replicas" {
  description = "Other regions that get a replica of each table, with the ARN of the KMS key that encrypts it there."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Refuse to delete tables, and buckets that are not empty. True wherever the content is not only for trials."
  type        = bool
}

variable "key_deletion_days" {
  description = "Days between the deletion of the KMS key and its end. What it encrypted is lost then."
  type        = number
  default     = 30

  validation {
    condition     = var.key_deletion_days >= 7 && var.key_deletion_days <= 30
    error_message = "AWS waits 7 to 30 days before it deletes a key."
  }
}

variable "body_days" {
  description = "Days that the raw body of a delivery stays. At least the 30 days that deliveries themselves are kept."
  type        = number
  default     = 35

  validation {
    condition     = var.body_days > 30
    error_message = "A delivery is kept for up to 30 days and refers to its body: the body must stay longer."
  }
}

variable "snapshot_days" {
  description = "Days that snapshots, lists of changed keys and staged releases of builds stay. They are made anew by each build."
  type        = number
  default     = 14

  validation {
    condition     = var.snapshot_days >= 2
    error_message = "A build that is tried again reads its snapshot: it must stay for 2 days at least."
  }
}
