"""Which role implies which."""

from typing import Any

from polyvisor.api.identity.common import ADMIN, READ, links, whole
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import NotFound
from polyvisor.model.role import Role

implied = Resource("/roles/{id}/implies")
inferences = Resource("/role_inferences")
RULES = [
    Rule(name="identity:list_implied_roles", check=READ, description="List what a role implies."),
    Rule(name="identity:get_implied_role", check=READ, description="See that a role implies another."),
    Rule(name="identity:check_implied_role", check=READ, description="See whether a role implies another."),
    Rule(name="identity:create_implied_role", check=ADMIN, description="Let a role imply another."),
    Rule(name="identity:delete_implied_role", check=ADMIN, description="End that a role implies another."),
    Rule(name="identity:list_role_inference_rules", check=READ, description="List all roles that imply others."),
]


def _short(call: Call, role: Role) -> dict[str, Any]:
    return {
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "links": links(call, f"/roles/{role.id}"),
    }


@implied.route("GET", policy="identity:list_implied_roles")
def index(call: Call) -> Reply:
    """What a role implies directly."""
    prior = call.store.role.get(call.path["id"])
    every = call.store.role.all()
    shown = [_short(call, every[one]) for one in call.store.role.implied().get(prior.id, ())]
    return Reply(200, {"role_inference": {"prior_role": _short(call, prior), "implies": shown},
                       "links": links(call, f"/roles/{prior.id}/implies")})  # fmt: skip


def _pair(call: Call) -> tuple[Role, Role]:
    return call.store.role.get(call.path["id"]), call.store.role.get(call.path["implied"])


def _view(call: Call, prior: Role, other: Role) -> dict[str, Any]:
    return {
        "role_inference": {"prior_role": _short(call, prior), "implies": _short(call, other)},
        "links": links(call, f"/roles/{prior.id}/implies/{other.id}"),
    }


@implied.route("PUT", "/{implied}", policy="identity:create_implied_role")
def create(call: Call) -> Reply:
    """Let a role imply another."""
    prior, other = _pair(call)
    call.store.role.imply(prior, other)
    return Reply(201, _view(call, prior, other))


def _existing(call: Call) -> tuple[Role, Role]:
    prior, other = _pair(call)
    if other.id not in call.store.role.implied().get(prior.id, ()):
        raise NotFound(f"Role {prior.id} does not imply role {other.id}.")
    return prior, other


@implied.route("GET", "/{implied}", policy="identity:get_implied_role")
def show(call: Call) -> Reply:
    """One implication."""
    return Reply(200, _view(call, *_existing(call)))


@implied.route("HEAD", "/{implied}", policy="identity:check_implied_role")
def check(call: Call) -> Reply:
    """Whether a role implies another."""
    _existing(call)
    return Reply(204)


@implied.route("DELETE", "/{implied}", policy="identity:delete_implied_role")
def delete(call: Call) -> Reply:
    """End an implication."""
    prior, other = _pair(call)
    call.store.role.imply_no_more(prior.id, other.id)
    return Reply(204)


@inferences.route("GET", policy="identity:list_role_inference_rules")
def index_inferences(call: Call) -> Reply:
    """All roles that imply others, with what they imply."""
    every = call.store.role.all()
    shown = [
        {"prior_role": _short(call, every[prior]), "implies": [_short(call, every[one]) for one in others]}
        for prior, others in call.store.role.implied().items()
    ]
    return whole(call, "role_inferences", shown)
