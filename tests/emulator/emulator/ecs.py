"""ECS: moto takes Service Connect, the circuit breaker, zone rebalancing and capacity providers, and forgets them.
Echoed, not simulated."""

from moto.ecs.responses import EC2ContainerServiceResponse

from .patching import replaces

_ECHOED = (
    ("deploymentConfiguration", "deployment_configuration"),
    ("enableECSManagedTags", "enable_ecs_managed_tags"),
    ("enableExecuteCommand", "enable_execute_command"),
    ("healthCheckGracePeriodSeconds", "health_check_grace_period_seconds"),
)


def _echo(self, answer):
    service = (answer._result if hasattr(answer, "_result") else answer.result)["service"]
    kept = getattr(service, "availability_zone_rebalancing", "DISABLED")
    service.availability_zone_rebalancing = self._get_param("availabilityZoneRebalancing") or kept
    for parameter, attribute in _ECHOED:
        value = self._get_param(parameter)
        if value is not None:
            setattr(service, attribute, value)
    strategy = self._get_param("capacityProviderStrategy")
    if strategy:
        # It takes the place of a launch type, which moto invents.
        service.capacity_provider_strategy, service.launch_type = strategy, None
    connect = self._get_param("serviceConnectConfiguration")
    if connect is not None and service.deployments:
        service.deployments[0]["serviceConnectConfiguration"] = connect
    return answer


@replaces(EC2ContainerServiceResponse, "create_service")
def _create(before):
    return lambda self: _echo(self, before(self))


@replaces(EC2ContainerServiceResponse, "update_service")
def _update(before):
    return lambda self: _echo(self, before(self))
