# Cheap, and gone without a trace when it is destroyed: one zone, Fargate Spot, no NAT and no endpoints, one task each.
provider "aws" {
  region = var.region

  default_tags {
    tags = { application = "freshet", environment = "dev", managed-by = "terraform" }
  }
}

module "freshet" {
  source = "../../modules/environment"

  environment = "dev"
  clients     = var.clients
  keys        = var.keys
  image_tag   = var.image_tag
  running     = var.running

  zones             = 1
  spot              = true
  private_endpoints = false
  tls               = false
  services          = { for service in ["ingress", "validation", "content", "build", "control"] : service => { max = 2 } }

  domain          = var.domain
  zone_id         = var.zone_id
  certificate_arn = var.certificate_arn

  deletion_protection = false
  log                 = "info,freshet=debug"
  log_days            = 30
  operator_cidrs      = var.operator_cidrs
  alarm_emails        = var.alarm_emails
  budget_usd          = 150
}
