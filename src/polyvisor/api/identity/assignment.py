"""The list of role assignments: as they were made, or as they take effect."""

from collections.abc import Iterable
from typing import Any

import msgspec

from polyvisor.api.identity.common import READ, whole
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.assignment import Assignment, AssignmentFilter
from polyvisor.model.domain import DomainFilter
from polyvisor.model.errors import Invalid
from polyvisor.model.group import GroupFilter
from polyvisor.model.project import ProjectFilter
from polyvisor.model.role import with_implied
from polyvisor.model.user import UserFilter

assignments = Resource("/role_assignments")
RULES = [
    Rule(
        name="identity:list_role_assignments",
        check=f"{READ} or (role:reader and domain_id:%(target.domain_id)s)",
        description="List role assignments; a token for a domain sees those on the domain and its projects.",
    ),
    Rule(
        name="identity:list_role_assignments_for_tree",
        check=f"{READ} or (role:admin and project_id:%(target.project.id)s)",
        description="List role assignments on a project and all below it.",
    ),
]


class AssignmentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the list is narrowed to."""

    user_id: str | None = msgspec.field(default=None, name="user.id")
    group_id: str | None = msgspec.field(default=None, name="group.id")
    role_id: str | None = msgspec.field(default=None, name="role.id")
    project_id: str | None = msgspec.field(default=None, name="scope.project.id")
    domain_id: str | None = msgspec.field(default=None, name="scope.domain.id")
    system: str | None = msgspec.field(default=None, name="scope.system")
    inherited_to: str | None = msgspec.field(default=None, name="scope.OS-INHERIT:inherited_to")
    effective: bool = False
    include_names: bool = False
    include_subtree: bool = False


@assignments.route("GET", policy="identity:list_role_assignments", query=AssignmentQuery, checked_by_handler=True)
def index(call: Call) -> Reply:
    """Role assignments."""
    query: AssignmentQuery = call.query
    own = call.caller.domain_id
    call.require("identity:list_role_assignments", {"target.domain_id": own})
    if query.include_subtree:
        call.require("identity:list_role_assignments_for_tree", {"target.project.id": query.project_id})
    _check(query)
    found = _effective(call, query) if query.effective else call.store.assignment.list(_filter(call, query))
    if own is not None:
        inside = {record.id for record in call.store.project.list(ProjectFilter(domain_id=own))}
        found = [one for one in found if one.domain_id == own or one.project_id in inside]
    names = _Names(call) if query.include_names else None
    return whole(call, "role_assignments", [_view(call, one, names) for one in found])


def _check(query: AssignmentQuery) -> None:
    scopes = [scope for scope in (query.project_id, query.domain_id, query.system) if scope is not None]
    if len(scopes) > 1:
        raise Invalid("Ask for one of scope.project.id, scope.domain.id and scope.system.")
    if query.user_id is not None and query.group_id is not None:
        raise Invalid("Ask for one of user.id and group.id.")
    if query.effective and query.group_id is not None:
        raise Invalid("Effective assignments are those of users: group.id cannot be asked for with effective.")
    if query.include_subtree and query.project_id is None:
        raise Invalid("include_subtree needs scope.project.id: the project at the top.")


def _projects(call: Call, query: AssignmentQuery) -> tuple[str, ...] | None:
    if query.project_id is None:
        return None
    below = call.store.project.below(query.project_id) if query.include_subtree else ()
    return (query.project_id, *(record.id for record in below))


def _filter(call: Call, query: AssignmentQuery) -> AssignmentFilter:
    return AssignmentFilter(
        user_id=query.user_id,
        group_ids=None if query.group_id is None else (query.group_id,),
        role_id=query.role_id,
        project_ids=_projects(call, query),
        domain_ids=None if query.domain_id is None else (query.domain_id,),
        system=None if query.system is None else True,
        inherited=None if query.inherited_to is None else True,
    )


def _effective(call: Call, query: AssignmentQuery) -> list[Assignment]:
    """What follows: groups become their members, inherited roles stand where they hold, implied roles are added."""
    groups = None if query.user_id is None else tuple(call.store.group.of_user(query.user_id))
    made = call.store.assignment.list(AssignmentFilter(user_id=query.user_id, group_ids=groups))
    on_users = [one for assignment in made for one in _members(call, assignment, query.user_id)]
    placed = [one for assignment in on_users for one in _places(call, assignment)]
    implied = call.store.role.implied()
    every = [
        msgspec.structs.replace(one, role_id=role_id)
        for one in placed
        for role_id in sorted(with_implied([one.role_id], implied))
    ]
    projects = _projects(call, query)
    wanted = [
        one
        for one in dict.fromkeys(every)
        if (query.role_id is None or one.role_id == query.role_id)
        and (projects is None or one.project_id in projects)
        and (query.domain_id is None or one.domain_id == query.domain_id)
        and (query.system is None or one.system)
    ]
    own_roles = {role.id for role in call.store.role.all().values() if role.domain_id is not None}
    return [one for one in wanted if one.role_id not in own_roles]


def _members(call: Call, assignment: Assignment, user_id: str | None) -> Iterable[Assignment]:
    if assignment.group_id is None:
        return [assignment]
    members = [user_id] if user_id is not None else [
        user.id for user in call.store.user.list(UserFilter(group_id=assignment.group_id))
    ]  # fmt: skip
    return [msgspec.structs.replace(assignment, group_id=None, user_id=member) for member in members]


def _places(call: Call, assignment: Assignment) -> Iterable[Assignment]:
    if not assignment.inherited:
        return [assignment]
    if assignment.domain_id is not None:
        below = [project.id for project in call.store.project.list(ProjectFilter(domain_id=assignment.domain_id))]
    else:
        below = [project.id for project in call.store.project.below(assignment.project_id or "")]
    return [
        msgspec.structs.replace(assignment, domain_id=None, project_id=project_id, inherited=False)
        for project_id in below
    ]


class _Names:
    """The names of everything, looked up once for a whole list."""

    def __init__(self, call: Call) -> None:
        store = call.store
        self.domains = {record.id: record.name for record in store.domain.list(DomainFilter())}
        self.projects = {record.id: record for record in store.project.list(ProjectFilter())}
        self.users = {record.id: record for record in store.user.list(UserFilter())}
        self.groups = {record.id: record for record in store.group.list(GroupFilter())}
        self.roles = store.role.all()

    def of(self, kind: str, thing_id: str) -> dict[str, Any]:
        """A thing with its name and that of its domain; one that is gone has empty names, as Keystone shows it."""
        record: Any = getattr(self, f"{kind}s").get(thing_id)
        if record is None:
            return {"id": thing_id, "name": ""}
        if kind == "domain":
            return {"id": thing_id, "name": record}
        shown: dict[str, Any] = {"id": thing_id, "name": record.name}
        if record.domain_id is not None:
            shown["domain"] = {"id": record.domain_id, "name": self.domains.get(record.domain_id, "")}
        return shown


def _view(call: Call, one: Assignment, names: _Names | None) -> dict[str, Any]:
    def shown(kind: str, thing_id: str) -> dict[str, Any]:
        return {"id": thing_id} if names is None else names.of(kind, thing_id)

    scope: dict[str, Any] = {}
    path = "/system"
    if one.project_id is not None:
        scope["project"] = shown("project", one.project_id)
        path = f"/projects/{one.project_id}"
    elif one.domain_id is not None:
        scope["domain"] = shown("domain", one.domain_id)
        path = f"/domains/{one.domain_id}"
    else:
        scope["system"] = {"all": True}
    entry: dict[str, Any] = {"role": shown("role", one.role_id), "scope": scope}
    if one.user_id is not None:
        entry["user"] = shown("user", one.user_id)
        path += f"/users/{one.user_id}"
    elif one.group_id is not None:
        entry["group"] = shown("group", one.group_id)
        path += f"/groups/{one.group_id}"
    path += f"/roles/{one.role_id}"
    if one.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
        path = f"/OS-INHERIT{path}/inherited_to_projects"
    return {**entry, "links": {"assignment": call.url(path)}}
