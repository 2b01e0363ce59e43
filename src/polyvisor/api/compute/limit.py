"""Limits: what the project may have in all, and what it has."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call, NoQuery, Reply, Resource, Rule
from polyvisor.model.quota import Usage

limits = Resource("/limits")

_LIMITS = "os_compute_api:limits"
RULES = [
    Rule(name=_LIMITS, check="@", description="Show the limits of the caller's project."),
    Rule(name=f"{_LIMITS}:other_project", check="rule:context_is_admin", description="Show another project's limits."),
]

_NAMES = {
    "maxServerMeta": "metadata_items",
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalRAMSize": "ram",
    "maxTotalKeypairs": "key_pairs",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
}


class LimitQuery(NoQuery, frozen=True, kw_only=True):
    """Whose limits, for administrators."""

    tenant_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    reserved: str | None = None
    """Clients of old clouds send it; nothing is reserved here."""


@limits.route("GET", policy=_LIMITS, query=LimitQuery, ignore_unknown_query=True, last=(2, 74))
@limits.route("GET", policy=_LIMITS, query=LimitQuery, first=(2, 75))
def show(call: Call) -> Reply:
    """The absolute limits; there are no rate limits. Two statements."""
    project_id: str = call.query.tenant_id or call.project_id
    if project_id != call.caller.project_id:
        call.require(f"{_LIMITS}:other_project", {"project_id": project_id})
    most, used = call.store.quota.limits(project_id), call.store.quota.usage(project_id)
    return Reply(200, {"limits": {"rate": [], "absolute": _absolute(call.version, most, used)}})


def _absolute(version: tuple[int, int], most: dict[str, int], used: Usage) -> dict[str, Any]:
    shown = {name: most[resource] for name, resource in _NAMES.items()}
    shown |= {
        "totalInstancesUsed": used.instances,
        "totalCoresUsed": used.cores,
        "totalRAMUsed": used.ram,
        "totalServerGroupsUsed": 0,
    }
    if version < (2, 36):
        shown |= {"maxTotalFloatingIps": -1, "maxSecurityGroups": -1, "maxSecurityGroupRules": -1}
        shown |= {"totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}
    if version < (2, 39):
        shown["maxImageMeta"] = most["metadata_items"]
    if version < (2, 57):
        shown["maxPersonality"] = most["injected_files"]
        shown["maxPersonalitySize"] = most["injected_file_content_bytes"]
    return shown
