terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }

  # The bucket and its region are the account's own: `terraform init -backend-config=bucket=... -backend-config=region=...`
  backend "s3" {
    key          = "freshet/prod/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
