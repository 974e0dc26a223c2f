# As prod is made, but smaller: two zones, private endpoints, TLS between the services.
provider "aws" {
  region = var.region

  default_tags {
    tags = { application = "freshet", environment = "staging", managed-by = "terraform" }
  }
}

module "freshet" {
  source = "../../modules/environment"

  environment = "staging"
  clients     = var.clients
  keys        = var.keys
  image_tag   = var.image_tag
  running     = var.running

  zones             = 2
  private_endpoints = true
  services = {
    ingress = { min = 2, max = 4 }
  }

  domain          = var.domain
  zone_id         = var.zone_id
  certificate_arn = var.certificate_arn

  log_days       = 365
  operator_cidrs = var.operator_cidrs
  alarm_emails   = var.alarm_emails
  budget_usd     = 400
}
