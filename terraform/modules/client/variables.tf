variable "name" {
  description = "Prefix of every name, `freshet-{environment}`."
  type        = string
}

variable "id" {
  description = "The client: `client_id` everywhere in Freshet."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,40}$", var.id))
    error_message = "A client is named with 1 to 40 characters of a-z, 0-9 and -: its name is part of table, bucket and secret names."
  }
}

variable "primary" {
  description = "Make what exists once: table, secrets and distributions. False in a second region."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "ARN of the environment's KMS key in this region."
  type        = string
}

variable "replicas" {
  description = "Other regions that get a replica of the table and of the secrets, with the ARN of the KMS key there."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Refuse to delete the table and a site's bucket that is not empty, and keep deleted secrets for 30 days."
  type        = bool
}

variable "sources" {
  description = "Names of the client's sources; each gets a container for its secrets, without a value."
  type        = set(string)
}

variable "sites" {
  description = "The client's sites: how each is built, and the names under which it is seen."
  type = map(object({
    preset          = optional(string, "builtin")
    command         = optional(list(string), [])
    output          = optional(string, "")
    env             = optional(map(string), {})
    secret_env      = optional(map(string), {})
    timeout_minutes = optional(number, 15)
    compute         = optional(string, "BUILD_GENERAL1_SMALL")
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
  }))
  default = {}

  validation {
    condition     = alltrue([for id in keys(var.sites) : can(regex("^[a-z0-9-]{1,40}$", id))])
    error_message = "A site is named with 1 to 40 characters of a-z, 0-9 and -: its name is part of bucket and project names."
  }

  validation {
    condition = alltrue([for site in var.sites : contains(
      ["builtin", "eleventy", "astro", "hugo", "jekyll", "gatsby", "nextjs", "nuxt", "custom"], site.preset
    )])
    error_message = "A preset is builtin, eleventy, astro, hugo, jekyll, gatsby, nextjs, nuxt or custom: the services know no other."
  }

  validation {
    condition     = alltrue([for site in var.sites : site.preset == "builtin" || site.code != null])
    error_message = "A site with a generator needs `code`: CodeBuild must know where the site's own files are."
  }

  validation {
    condition = alltrue([for site in var.sites :
      site.preset != "builtin" || (site.code == null && length(site.command) == 0 && site.output == "" && length(site.secret_env) == 0)
    ])
    error_message = "A built-in site runs no command: `code`, `command`, `output` and `secret_env` need another preset."
  }

  validation {
    condition     = alltrue([for site in var.sites : site.preset != "custom" || (length(site.command) > 0 && site.output != "")])
    error_message = "The preset custom has no command and no output folder of its own: name both."
  }

  validation {
    condition     = alltrue([for site in var.sites : !startswith(site.output, "/") && !strcontains(site.output, "..")])
    error_message = "`output` must be a folder below the site's own files: a build must not publish anything else."
  }

  validation {
    condition = alltrue([for site in var.sites :
      site.code == null ? true : contains(["GITHUB", "GITHUB_ENTERPRISE", "GITLAB", "BITBUCKET", "CODECOMMIT", "S3"], site.code.type)
    ])
    error_message = "`code.type` is GITHUB, GITHUB_ENTERPRISE, GITLAB, BITBUCKET, CODECOMMIT or S3: what CodeBuild can read."
  }

  validation {
    condition     = alltrue([for site in var.sites : site.timeout_minutes >= 5 && site.timeout_minutes <= 480])
    error_message = "CodeBuild takes time limits from 5 minutes on; more than 8 hours is a build that hangs."
  }

  validation {
    condition     = alltrue([for site in var.sites : length(site.domains) == 0 || site.certificate_arn != null])
    error_message = "A site with `domains` needs `certificate_arn`, of a certificate in us-east-1: CloudFront shows no other."
  }

  validation {
    condition = alltrue(flatten([for site in var.sites : [
      for variable, reference in site.secret_env :
      can(regex("^[A-Za-z_][A-Za-z0-9_]*$", variable)) && !can(regex("^(FRESHET_|CODEBUILD_|TRACEPARENT$)", variable)) && !contains(keys(site.env), variable)
    ]]))
    error_message = "A variable of `secret_env` is a word that is neither in `env` nor begins with FRESHET_ or CODEBUILD_: those have a meaning already."
  }

  validation {
    condition = alltrue(flatten([for site in var.sites : [
      for reference in values(site.secret_env) : can(regex("^[a-z0-9-]{1,40}#[A-Za-z0-9_.-]+$", reference))
    ]]))
    error_message = "`secret_env` names a value as `source#key`, the key of the JSON in that source's secret. Never the value itself."
  }
}

variable "builds_bucket" {
  description = "Bucket of snapshots and staged releases in this region."
  type        = string
}

variable "hosting" {
  description = "What all distributions of the environment share: ids of the origin access control and the headers policy, ARN of the function that finds index documents."
  type = object({
    origin_access_control_id   = string
    response_headers_policy_id = string
    function_arn               = string
  })
  default = null
}

variable "origin_regions" {
  description = "Regions that keep the sites' files, the one that builds first: CloudFront asks the second where the first fails. Empty: this region."
  type        = list(string)
  default     = []
}

variable "distribution_arns" {
  description = "In a second region: the distributions that may read the buckets, by site."
  type        = map(string)
  default     = {}
}

variable "price_class" {
  description = "Where CloudFront answers: PriceClass_100 is North America, Europe and Israel."
  type        = string
  default     = "PriceClass_100"
}

variable "log_days" {
  description = "Days that build logs stay."
  type        = number
}

variable "hugo_version" {
  description = "Hugo for the preset hugo; its checksum is taken from the release itself."
  type        = string
  default     = "0.148.2"
}
