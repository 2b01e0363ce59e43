"""Which projects may use a private flavor."""

from typing import Annotated

import msgspec

from polyvisor.api.compute.project import existing
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.flavor import Flavor

flavor_access = Resource("/flavors")

ACCESS = "os_compute_api:os-flavor-access"
RULES = [
    Rule(name=ACCESS, check="rule:context_is_admin", description="List the projects that may use a private flavor."),
    Rule(name=f"{ACCESS}:add_tenant_access", check="rule:context_is_admin", description="Let a project use a flavor."),
    Rule(
        name=f"{ACCESS}:remove_tenant_access",
        check="rule:context_is_admin",
        description="Take a flavor from a project.",
    ),
]


class Tenant(msgspec.Struct, forbid_unknown_fields=True):
    """The project that access is given to or taken from."""

    tenant: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


@flavor_access.route("GET", "/{id}/os-flavor-access", policy=ACCESS)
def index(call: Call) -> Reply:
    """The projects of a private flavor."""
    flavor = call.store.flavor.get(call.path["id"])
    if flavor.public:
        raise NotFound(f"Flavor {flavor.id} is public: everybody may use it, and it has no access list.")
    return _shown(call, flavor)


@flavor_access.action("addTenantAccess", policy=f"{ACCESS}:add_tenant_access", body=Tenant)
def add(call: Call) -> Reply:
    """Let a project use a flavor."""
    flavor = call.store.flavor.get(call.path["id"])
    if flavor.public and call.version >= (2, 7):
        raise Conflict(f"Flavor {flavor.id} is public: access can be given to private flavors only.")
    call.store.flavor.allow(flavor.id, existing(call, call.body.tenant))
    return _shown(call, flavor)


@flavor_access.action("removeTenantAccess", policy=f"{ACCESS}:remove_tenant_access", body=Tenant)
def remove(call: Call) -> Reply:
    """Take a flavor from a project."""
    flavor = call.store.flavor.get(call.path["id"])
    call.store.flavor.refuse(flavor.id, call.body.tenant)
    return _shown(call, flavor)


def _shown(call: Call, flavor: Flavor) -> Reply:
    projects = call.store.flavor.projects(flavor.id)
    return Reply(200, {"flavor_access": [{"flavor_id": flavor.id, "tenant_id": project} for project in projects]})
