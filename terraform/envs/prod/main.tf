# Three zones, nothing that can be deleted by mistake, and a second region where one is named.
locals {
  regions = compact([var.region, var.secondary_region])
  builder = coalesce(var.build_region, var.region)
  # CloudFront asks the region first whose files are the newest.
  origins = length(local.regions) == 1 ? [] : concat([local.builder], [for region in local.regions : region if region != local.builder])
  tags    = { application = "freshet", environment = "prod", managed-by = "terraform" }

  services = {
    ingress    = { cpu = 512, memory = 1024, min = 3, max = 12 }
    validation = { cpu = 512, memory = 1024, min = 3, max = 12 }
    content    = { cpu = 1024, memory = 2048, min = 3, max = 12 }
    build      = { cpu = 512, memory = 1024, min = 2, max = 4 }
    control    = { min = 2, max = 4 }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}

provider "aws" {
  alias  = "secondary"
  region = coalesce(var.secondary_region, var.region)

  default_tags {
    tags = local.tags
  }
}

module "freshet" {
  source = "../../modules/environment"

  environment = "prod"
  clients     = var.clients
  keys        = var.keys
  image_tag   = var.image_tag
  running     = var.running
  builds      = local.builder == var.region

  zones              = 3
  private_endpoints  = true
  services           = local.services
  max_running_builds = 20

  domain          = var.domain
  zone_id         = var.zone_id
  certificate_arn = var.certificate_arn
  failover        = var.secondary_region == null ? null : "PRIMARY"

  sample_ratio   = 0.1
  operator_cidrs = var.operator_cidrs
  alarm_emails   = var.alarm_emails
  budget_usd     = 2000

  # One output by name: the whole module would depend on this one.
  replicas       = var.secondary_region == null ? {} : { (var.secondary_region) = module.secondary[0].kms_key_arn }
  origin_regions = local.origins
}

# Warm: the same services with the same content, fewer of them, and no build before `build_region` says so.
module "secondary" {
  source = "../../modules/environment"
  count  = var.secondary_region == null ? 0 : 1

  providers = {
    aws = aws.secondary
  }

  environment = "prod"
  primary     = false
  clients     = var.clients
  keys        = var.keys
  image_tag   = var.image_tag
  running     = var.running
  builds      = local.builder == var.secondary_region

  zones              = 3
  cidr               = "10.41.0.0/16"
  private_endpoints  = true
  services           = { for service, size in local.services : service => merge(size, { min = 2 }) }
  max_running_builds = 20

  domain   = var.domain
  zone_id  = var.zone_id
  failover = "SECONDARY"

  sample_ratio   = 0.1
  operator_cidrs = var.operator_cidrs
  alarm_emails   = var.alarm_emails

  origin_regions    = local.origins
  distribution_arns = module.freshet.distribution_arns
  distribution_ids  = module.freshet.distribution_ids
}
