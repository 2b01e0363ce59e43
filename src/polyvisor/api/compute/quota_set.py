"""Quota sets: a project's limits, what it uses of them, and the defaults of all projects."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.compute.fields import MOST, Digits, Truth, truth
from polyvisor.api.compute.project import existing
from polyvisor.api.kit import Call, NoQuery, Reply, Resource, Rule
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.quota import UNLIMITED
from polyvisor.store.quota import DEFAULT_CLASS

quota_sets = Resource("/os-quota-sets")
quota_classes = Resource("/os-quota-class-sets")

_QUOTAS, _CLASSES = "os_compute_api:os-quota-sets", "os_compute_api:os-quota-class-sets"
RULES = [
    Rule(name=f"{_QUOTAS}:show", check="rule:project_reader_or_admin", description="Show a project's quotas."),
    Rule(
        name=f"{_QUOTAS}:detail", check="rule:project_reader_or_admin", description="Show a project's quotas and usage."
    ),
    Rule(name=f"{_QUOTAS}:defaults", check="@", description="Show the quotas of a project that has none of its own."),
    Rule(name=f"{_QUOTAS}:update", check="rule:context_is_admin", description="Set a project's quotas."),
    Rule(name=f"{_QUOTAS}:delete", check="rule:context_is_admin", description="Let the defaults hold for a project."),
    Rule(name=f"{_CLASSES}:show", check="rule:context_is_admin", description="Show the default quotas."),
    Rule(name=f"{_CLASSES}:update", check="rule:context_is_admin", description="Set the default quotas."),
]

_ALWAYS = ("instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups", "server_group_members")
_FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
_NETWORK = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
"""Another service's since long: kept for old clients until 2.35 (2.49 for classes), and nothing is counted by them."""

_ALL = (*_ALWAYS, *_FILES, *_NETWORK)

Limit = Annotated[int, msgspec.Meta(ge=-1, le=MOST)] | Digits


Fields = list[tuple[str, Any, Any]]


def _body(name: str, resources: tuple[str, ...], others: Fields) -> type[msgspec.Struct]:
    """A body that sets any of the limits of `resources`; -1 = unlimited."""
    limits: Fields = [(resource, Limit | None, None) for resource in resources]
    return msgspec.defstruct(name, [*limits, *others], forbid_unknown_fields=True, kw_only=True)


_OF_PROJECT: Fields = [("force", Truth, False), ("tenant_id", str | None, None)]
"""`force` sets a limit below what is in use."""
_OF_CLASS: Fields = [("class_name", str | None, None)]
CHANGES = {
    (2, 1): _body("ChangeTo235", (*_ALWAYS, *_FILES, *_NETWORK), _OF_PROJECT),
    (2, 36): _body("ChangeTo256", (*_ALWAYS, *_FILES), _OF_PROJECT),
    (2, 57): _body("Change", _ALWAYS, _OF_PROJECT),
}
CLASS_CHANGES = {
    (2, 1): _body("ClassChangeTo249", (*_ALWAYS, *_FILES, *_NETWORK), _OF_CLASS),
    (2, 50): _body("ClassChangeTo256", (*_ALWAYS, *_FILES), _OF_CLASS),
    (2, 57): _body("ClassChange", _ALWAYS, _OF_CLASS),
}


class QuotaQuery(NoQuery, frozen=True, kw_only=True):
    """What holds for one user of the project: what holds for the project."""

    user_id: str | None = None


@quota_sets.route("GET", "/{id}", policy=f"{_QUOTAS}:show", checked_by_handler=True, query=QuotaQuery,
                  ignore_unknown_query=True)  # fmt: skip
def show(call: Call) -> Reply:
    """A project's limits. One statement."""
    project_id = _project(call, "show")
    return Reply(200, {"quota_set": {"id": project_id, **_shown(call, call.store.quota.limits(project_id))}})


@quota_sets.route("GET", "/{id}/detail", policy=f"{_QUOTAS}:detail", checked_by_handler=True, query=QuotaQuery,
                  ignore_unknown_query=True)  # fmt: skip
def detail(call: Call) -> Reply:
    """A project's limits and what it uses. Two statements."""
    project_id = _project(call, "detail")
    used = call.store.quota.usage(project_id)
    shown = {
        name: {"limit": limit, "in_use": used.of(name), "reserved": 0}
        for name, limit in _shown(call, call.store.quota.limits(project_id)).items()
    }
    return Reply(200, {"quota_set": {"id": project_id, **shown}})


@quota_sets.route("GET", "/{id}/defaults", policy=f"{_QUOTAS}:defaults", query=QuotaQuery, ignore_unknown_query=True)
def defaults(call: Call) -> Reply:
    """The limits that hold where a project has none of its own."""
    return Reply(200, {"quota_set": {"id": call.path["id"], **_shown(call, call.store.quota.defaults())}})


@quota_sets.route(
    "PUT", "/{id}", policy=f"{_QUOTAS}:update", checked_by_handler=True, query=QuotaQuery, ignore_unknown_query=True,
    body=CHANGES, key="quota_set",
)  # fmt: skip
def update(call: Call) -> Reply:
    """Set limits of a project."""
    project_id = existing(call, _project(call, "update"))
    limits = _limits(call.body)
    if not truth(call.body.force, "quota_set.force"):
        _check_use(call, project_id, limits)
    call.store.quota.set(project_id, limits)
    return Reply(200, {"quota_set": _shown(call, call.store.quota.limits(project_id))})


@quota_sets.route("DELETE", "/{id}", policy=f"{_QUOTAS}:delete", checked_by_handler=True, query=QuotaQuery,
                  ignore_unknown_query=True)  # fmt: skip
def delete(call: Call) -> Reply:
    """Let the defaults hold for a project again."""
    call.store.quota.reset(_project(call, "delete"))
    return Reply(202)


@quota_classes.route("GET", "/{id}", policy=f"{_CLASSES}:show", ignore_unknown_query=True)
def show_class(call: Call) -> Reply:
    """The defaults, whatever class is asked for: there is one."""
    return Reply(200, {"quota_class_set": {"id": call.path["id"], **_shown_class(call)}})


@quota_classes.route(
    "PUT", "/{id}", policy=f"{_CLASSES}:update", key="quota_class_set",
    body=CLASS_CHANGES,
)  # fmt: skip
def update_class(call: Call) -> Reply:
    """Set the defaults."""
    if call.path["id"] != DEFAULT_CLASS:
        raise NotFound(f"There is no quota class {call.path['id']}: the one class is named {DEFAULT_CLASS}.")
    call.store.quota.set(DEFAULT_CLASS, _limits(call.body))
    return Reply(200, {"quota_class_set": _shown_class(call)})


def _project(call: Call, verb: str) -> str:
    """The project of the path, if policy allows `verb` on it. Raises Invalid where one user's quotas are to change."""
    project_id = call.path["id"]
    call.require(f"{_QUOTAS}:{verb}", {"project_id": project_id})
    if call.query.user_id is not None and verb in ("update", "delete"):
        raise Invalid("Quotas of single users are not offered: leave 'user_id' out, quotas hold for the whole project.")
    return project_id


def _limits(change: msgspec.Struct) -> dict[str, int]:
    given = {name: getattr(change, name) for name in _ALL if getattr(change, name, None) is not None}
    limits = {name: int(limit) for name, limit in given.items()}
    for name, limit in limits.items():
        if not UNLIMITED <= limit <= MOST:
            raise Invalid(f"The field '{name}' is invalid: a number from -1 (unlimited) to {MOST} is expected.")
    return limits


def _check_use(call: Call, project_id: str, limits: dict[str, int]) -> None:
    used = call.store.quota.usage(project_id)
    for name, limit in limits.items():
        if UNLIMITED < limit < used.of(name):
            raise Invalid(
                f"The quota of {name} cannot be {limit}: {used.of(name)} are in use. "
                f"Delete servers first, or set 'force' to true."
            )


def _shown(call: Call, limits: dict[str, int]) -> dict[str, Any]:
    shown = {name: limits[name] for name in _ALWAYS}
    if call.version < (2, 57):
        shown |= {name: limits[name] for name in _FILES}
    if call.version < (2, 36):
        shown |= {name: limits[name] for name in _NETWORK}
    return shown


def _shown_class(call: Call) -> dict[str, Any]:
    limits = call.store.quota.defaults()
    shown = {name: limits[name] for name in _ALWAYS[: 5 if call.version < (2, 50) else 7]}
    if call.version < (2, 57):
        shown |= {name: limits[name] for name in _FILES}
    if call.version < (2, 50):
        shown |= {name: limits[name] for name in _NETWORK}
    return shown
