"""Quotas: how many of each resource a project may have."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import given
from polyvisor.api.network.form import ADMIN, READER
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.network_quota import DEFAULTS
from polyvisor.model.quota import UNLIMITED

quotas = Resource("/quotas")

RULES = [
    Rule(name="get_quota", check=READER, description="Show a project's quotas in the Networking API, and their use."),
    Rule(name="update_quota", check=ADMIN, description="Set a project's quotas in the Networking API."),
    Rule(name="delete_quota", check=ADMIN, description="Let the defaults hold for a project in the Networking API."),
]
Limit = Annotated[int, msgspec.Meta(ge=-1, le=2_147_483_647)]
QuotaChange = msgspec.defstruct(
    "QuotaChange",
    [(name, Limit | UnsetType, UNSET) for name in DEFAULTS]
    + [(name, str | UnsetType, UNSET) for name in ("tenant_id", "project_id")]
    + [(name, bool | UnsetType | None, UNSET) for name in ("force", "check_limit")],
    forbid_unknown_fields=True,
)


def _project(call: Call, rule: str) -> str:
    project_id = call.path["project_id"]
    call.require(rule, {"project_id": project_id})
    return project_id


@quotas.route("GET", policy="update_quota")
def index(call: Call) -> Reply:
    """The projects with limits of their own. One statement."""
    found = call.store.network_quota.of_projects()
    return Reply(200, {"quotas": [{"tenant_id": id, "project_id": id, **limits} for id, limits in found.items()]})


@quotas.route("GET", "/tenant", policy="get_quota")
def tenant(call: Call) -> Reply:
    """The caller's project, as old clients ask for it."""
    return Reply(200, {"tenant": {"tenant_id": call.project_id, "project_id": call.project_id}})


@quotas.route("GET", "/project", policy="get_quota")
def project(call: Call) -> Reply:
    """The caller's project."""
    return Reply(200, {"project": {"tenant_id": call.project_id, "project_id": call.project_id}})


@quotas.route("GET", "/{project_id}", policy="get_quota", checked_by_handler=True)
def show(call: Call) -> Reply:
    """A project's limits. One statement."""
    return Reply(200, {"quota": call.store.network_quota.limits(_project(call, "get_quota"))})


@quotas.route("GET", "/{project_id}/default", policy="get_quota", checked_by_handler=True)
def default(call: Call) -> Reply:
    """The limits of a project that has none of its own."""
    _project(call, "get_quota")
    return Reply(200, {"quota": DEFAULTS})


def details(call: Call) -> Reply:
    """A project's limits, and what it has. Two statements."""
    project_id = _project(call, "get_quota")
    limits, used = call.store.network_quota.limits(project_id), call.store.network_quota.used(project_id)
    shown = {name: {"limit": limit, "used": used[name], "reserved": 0} for name, limit in limits.items()}
    return Reply(200, {"quota": shown})


for _path in ("/{project_id}/details", "/{project_id}/details.json"):
    quotas.route("GET", _path, policy="get_quota", checked_by_handler=True)(details)


@quotas.route("PUT", "/{project_id}", policy="update_quota", checked_by_handler=True, body=QuotaChange, key="quota")
def update(call: Call) -> Reply:
    """Set limits; -1 = as much as there is. Less than the project has needs `force`; `check_limit` is what is done."""
    project_id = _project(call, "update_quota")
    values = given(call.body)
    limits = {name: limit for name, limit in values.items() if name in DEFAULTS}
    if not values.get("force"):
        used = call.store.network_quota.used(project_id)
        for name, limit in limits.items():
            if limit != UNLIMITED and used[name] > limit:
                raise Invalid(
                    f"Quota limit {limit} for {name} must be greater than or equal to already used {used[name]}: give "
                    "force to set it nevertheless."
                )
    call.store.network_quota.set(project_id, limits)
    return Reply(200, {"quota": call.store.network_quota.limits(project_id)})


@quotas.route("DELETE", "/{project_id}", policy="delete_quota", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Let the defaults hold again."""
    project_id = _project(call, "delete_quota")
    if not call.store.network_quota.reset(project_id):
        raise NotFound(f"Quota for tenant {project_id} could not be found.", kind="TenantQuotaNotFound")
    return Reply(204)
