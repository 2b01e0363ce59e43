"""Service providers: kinds of a service that its users choose among; there is one of each here, and so no choice."""

from polyvisor.api.kit import Call, Reply, Resource, Rule

service_providers = Resource("/service-providers")

RULES = [Rule(name="get_service_provider", check="@", description="List kinds of services to choose among: none.")]


@service_providers.route("GET", policy="get_service_provider")
def index(_call: Call) -> Reply:
    """None."""
    return Reply(200, {"service_providers": []})
