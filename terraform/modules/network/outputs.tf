output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets of the load balancer: two at least."
  value       = [for zone in keys(local.public) : aws_subnet.public[zone].id]
}

output "task_subnet_ids" {
  description = "Subnets of the tasks."
  value = var.private ? [for zone in keys(local.private) : aws_subnet.private[zone].id] : [
    for zone, index in local.public : aws_subnet.public[zone].id if index < var.zones
  ]
}

output "task_public_ip" {
  description = "Tasks need public addresses, because they have no other way out."
  value       = !var.private
}

output "task_security_group_id" {
  description = "Security group of all tasks: gRPC among themselves, HTTPS out."
  value       = aws_security_group.tasks.id
}
