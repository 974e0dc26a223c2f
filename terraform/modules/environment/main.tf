data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  name      = "freshet-${var.environment}"
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
}

module "data" {
  source = "../data"

  name                = local.name
  tables              = var.primary
  replicas            = var.replicas
  deletion_protection = var.deletion_protection
  key_deletion_days   = var.deletion_protection ? 30 : 7
}

module "messaging" {
  source = "../messaging"

  name        = local.name
  kms_key_arn = module.data.kms_key_arn
}

module "client" {
  source   = "../client"
  for_each = var.clients

  name                = local.name
  id                  = each.key
  primary             = var.primary
  kms_key_arn         = module.data.kms_key_arn
  replicas            = var.replicas
  deletion_protection = var.deletion_protection
  sources             = keys(each.value.sources)
  sites               = each.value.sites
  builds_bucket       = module.data.buckets["builds"]
  hosting             = one(local.hosting)
  origin_regions      = var.origin_regions
  distribution_arns   = lookup(var.distribution_arns, each.key, {})
  log_days            = var.log_days
}

module "catalogue" {
  source = "../catalogue"

  name               = local.name
  bucket             = module.data.buckets["catalogue"]
  kms_key_arn        = module.data.kms_key_arn
  max_running_builds = var.max_running_builds
  clients            = var.clients
  keys               = var.keys

  sites = {
    for client_id, client in module.client : client_id => {
      for id, site in client.sites : id => {
        project      = site.project
        bucket       = site.bucket
        distribution = var.primary ? site.distribution : try(var.distribution_ids[client_id][id], null)
      }
    }
  }
}

# The services' own secrets: a JSON object with `rpc_key` and, with TLS, `ca`, `cert` and `cert_key`.
resource "aws_secretsmanager_secret" "services" {
  #checkov:skip=CKV2_AWS_57:docs/operations/aws.md has the steps: the hash of a key is in the variable `keys` as well
  count = var.primary ? 1 : 0

  name                    = "${local.name}/services"
  description             = "What the services of ${local.name} show one another"
  kms_key_id              = module.data.kms_key_arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0

  dynamic "replica" {
    for_each = var.replicas

    content {
      region     = replica.key
      kms_key_id = replica.value
    }
  }
}
