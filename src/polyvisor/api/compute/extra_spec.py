"""A flavor's extra specs: what it asks of hosts and guests beyond its size."""

from typing import Any

import msgspec

from polyvisor.api.compute.extra_spec_check import check
from polyvisor.api.compute.fields import MetadataKey, MetadataValue
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Invalid, NotFound

extra_specs = Resource("/flavors/{id}/os-extra_specs")

_SPECS = "os_compute_api:os-flavor-extra-specs"
INDEX = f"{_SPECS}:index"
RULES = [
    Rule(name=INDEX, check="rule:project_reader_or_admin", description="List a flavor's extra specs."),
    Rule(name=f"{_SPECS}:show", check="rule:project_reader_or_admin", description="Show one extra spec of a flavor."),
    Rule(name=f"{_SPECS}:create", check="rule:context_is_admin", description="Set extra specs of a flavor."),
    Rule(name=f"{_SPECS}:update", check="rule:context_is_admin", description="Set one extra spec of a flavor."),
    Rule(name=f"{_SPECS}:delete", check="rule:context_is_admin", description="Remove an extra spec from a flavor."),
]

Specs = dict[MetadataKey, MetadataValue | int | float]


@extra_specs.route("GET", policy=INDEX)
def index(call: Call) -> Reply:
    """All extra specs of a flavor."""
    return Reply(200, {"extra_specs": _of_flavor(call)})


@extra_specs.route("GET", "/{key}", policy=f"{_SPECS}:show")
def show(call: Call) -> Reply:
    """One extra spec."""
    value = _of_flavor(call).get(call.path["key"])
    if value is None:
        raise NotFound(f"Flavor {call.path['id']} has no extra spec {call.path['key']}.")
    return Reply(200, {call.path["key"]: value})


@extra_specs.route("POST", policy=f"{_SPECS}:create", body=Specs, key="extra_specs")
def create(call: Call) -> Reply:
    """Set extra specs beside those that there are."""
    given = _as_text(call.body)
    if call.version >= (2, 86):
        check(given)
    call.store.flavor.add_extra_specs(call.path["id"], given)
    return Reply(200, {"extra_specs": given})


@extra_specs.route("PUT", "/{key}", policy=f"{_SPECS}:update", body=Specs)
def update(call: Call) -> Reply:
    """Set one extra spec."""
    given = _as_text(call.body)
    if list(given) != [call.path["key"]]:
        raise Invalid(f'The body is to hold one key, the one in the address: {{"{call.path["key"]}": "value"}}.')
    if call.version >= (2, 86):
        check(given)
    call.store.flavor.add_extra_specs(call.path["id"], given)
    return Reply(200, given)


@extra_specs.route("DELETE", "/{key}", policy=f"{_SPECS}:delete")
def delete(call: Call) -> Reply:
    """Remove one extra spec."""
    call.store.flavor.remove_extra_spec(call.path["id"], call.path["key"])
    return Reply(200)


def _of_flavor(call: Call) -> dict[str, str]:
    project_id = None if call.is_admin else call.caller.project_id or ""
    return call.store.flavor.get(call.path["id"], project_id=project_id).extra_specs


def _as_text(given: dict[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in given.items()
    }
