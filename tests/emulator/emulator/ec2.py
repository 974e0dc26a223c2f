"""EC2: the description of a security group's rule that names another group."""

from moto.ec2.models.security_groups import SecurityGroupRule

from .patching import existing

existing(SecurityGroupRule, "description")
SecurityGroupRule.description = property(
    lambda self: self.ip_range.get("Description") or self.source_group.get("Description"))
