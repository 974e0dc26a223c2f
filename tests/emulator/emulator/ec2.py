"""EC2: the description of a security group's rule that names another group."""

from moto.ec2.models.security_groups import SecurityRule

from .patching import existing

existing(SecurityRule, "description")
SecurityRule.description = property(
    lambda self: self.ip_range.get("Description") or self.source_group.get("Description"))
