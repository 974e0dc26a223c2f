output "target_group_arn" {
  description = "ARN of the ingress's target group."
  value       = aws_lb_target_group.ingress.arn

  # A service cannot register with a group that no listener has.
  depends_on = [aws_lb_listener.https]
}

output "grpc_target_group_arns" {
  description = "ARNs of the target groups of the gRPC services, where operators reach them."
  value       = { for service, group in aws_lb_target_group.grpc : service => group.arn }

  depends_on = [aws_lb_listener_rule.grpc]
}

output "load_balancer" {
  description = "The balancer in metrics: `app/{name}/{id}`."
  value       = aws_lb.this.arn_suffix
}

output "target_group" {
  description = "The ingress's target group in metrics: `targetgroup/{name}/{id}`."
  value       = aws_lb_target_group.ingress.arn_suffix
}

output "dns_name" {
  description = "AWS's own name of the balancer: what a record made elsewhere points to."
  value       = aws_lb.this.dns_name
}

output "address" {
  description = "Where providers send webhooks: `{address}/webhook/{provider}/{source}`."
  value       = "https://${var.domain}"
}
