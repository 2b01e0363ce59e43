"""Grants: one role of one user or group on a project, a domain, or the system, by its path."""

from typing import Any

from polyvisor.api.identity.common import ADMIN, READ, whole
from polyvisor.api.identity.role import view as role_view
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.assignment import Assignment, AssignmentFilter
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.role import Role

grants = Resource("")
_IN_DOMAIN = "domain_id:%(target.actor.domain_id)s and domain_id:%(target.scope.domain_id)s"
_READ = f"{READ} or (role:reader and {_IN_DOMAIN})"
_MANAGE = f"{ADMIN} or (role:manager and {_IN_DOMAIN} and rule:domain_managed_target_role)"
RULES = [
    Rule(
        name="identity:list_grants",
        check=_READ,
        description="List the roles of a user or group on a project or domain.",
    ),
    Rule(name="identity:check_grant", check=_READ, description="See whether a user or group has a role there."),
    Rule(
        name="identity:create_grant",
        check=_MANAGE,
        description="Give a role: administrators any; managers of a domain the roles manager, member and reader in it.",
    ),
    Rule(name="identity:revoke_grant", check=_MANAGE, description="Take a role, as it is given."),
]
for _kind in ("user", "group"):
    for _name, _check, _what in (
        (f"identity:list_system_grants_for_{_kind}", READ, "List the roles of a %s on the system."),
        (f"identity:check_system_grant_for_{_kind}", READ, "See whether a %s has a role on the system."),
        (f"identity:create_system_grant_for_{_kind}", ADMIN, "Give a %s a role on the system."),
        (f"identity:revoke_system_grant_for_{_kind}", ADMIN, "Take a role on the system from a %s."),
    ):
        RULES.append(Rule(name=_name, check=_check, description=_what % _kind))


class _Grants:
    """The routes of one kind of target and one kind of actor."""

    def __init__(self, target: str, actor: str, *, inherited: bool) -> None:
        self.target = target
        self.actor = actor
        self.inherited = inherited
        self.system = target == "system"

    def register(self) -> None:
        where = "/system" if self.system else f"/{self.target}s/{{target}}"
        prefix = f"/OS-INHERIT{where}" if self.inherited else where
        end = "/inherited_to_projects" if self.inherited else ""
        all_of = f"{prefix}/{self.actor}s/{{actor}}/roles"
        one = f"{all_of}/{{role}}{end}"
        grants.route("GET", all_of + end, policy=self._rule("list"), checked_by_handler=True)(self.index)
        grants.route("GET", one, policy=self._rule("check"), checked_by_handler=True)(self.check)
        grants.route("PUT", one, policy=self._rule("create"), checked_by_handler=True)(self.give)
        grants.route("DELETE", one, policy=self._rule("revoke"), checked_by_handler=True)(self.take)

    def _rule(self, verb: str) -> str:
        if self.system:
            ending = f"s_for_{self.actor}" if verb == "list" else f"_for_{self.actor}"
            return f"identity:{verb}_system_grant{ending}"
        return "identity:list_grants" if verb == "list" else f"identity:{verb}_grant"

    def _look(self, call: Call, verb: str) -> tuple[AssignmentFilter, Role | None]:
        """The actor and target as a filter and the role, once policy allows `verb` on them; all of them exist."""
        actor_id, target_id, role_id = call.path["actor"], call.path.get("target", ""), call.path.get("role")
        actor = call.store.user.find(actor_id) if self.actor == "user" else call.store.group.find(actor_id)
        role = call.store.role.find(role_id) if role_id is not None else None
        home = None
        if self.target == "project":
            project = call.store.project.find(target_id)
            home = project.domain_id if project is not None else None
        elif self.target == "domain":
            domain = call.store.domain.find(target_id)
            home = domain.id if domain is not None else None
        target: dict[str, Any] = {
            "target.actor.domain_id": actor.domain_id if actor is not None else None,
            "target.scope.domain_id": home,
            "target.role.name": role.name if role is not None else None,
        }
        call.require(self._rule(verb), target)
        if actor is None and verb != "revoke":
            raise NotFound(f"Could not find {self.actor}: {actor_id}.")
        if home is None and not self.system:
            raise NotFound(f"Could not find {self.target}: {target_id}.")
        if role_id is not None and role is None:
            raise NotFound(f"Could not find role: {role_id}.")
        by = AssignmentFilter(
            user_id=actor_id if self.actor == "user" else None,
            group_ids=(actor_id,) if self.actor == "group" else None,
            role_id=role_id,
            project_ids=(target_id,) if self.target == "project" else None,
            domain_ids=(target_id,) if self.target == "domain" else None,
            system=True if self.system else None,
            inherited=self.inherited,
        )
        return by, role

    def index(self, call: Call) -> Reply:
        """The roles that the actor has on the target."""
        by, _ = self._look(call, "list")
        every = call.store.role.all()
        shown = [role_view(call, every[one.role_id]) for one in call.store.assignment.list(by)]
        return whole(call, "roles", shown)

    def check(self, call: Call) -> Reply:
        """Whether the actor has the role on the target."""
        by, _ = self._look(call, "check")
        if not call.store.assignment.list(by):
            raise NotFound(f"Could not find role assignment with role: {by.role_id}.")
        return Reply(204)

    def give(self, call: Call) -> Reply:
        """Give the role."""
        by, role = self._look(call, "create")
        if role is not None and role.domain_id is not None and role.domain_id != self._domain(call):
            raise Invalid("A domain's own role can be given on that domain and its projects only.")
        call.store.assignment.grant(self._assignment(by))
        return Reply(204)

    def take(self, call: Call) -> Reply:
        """Take the role."""
        by, _ = self._look(call, "revoke")
        call.store.assignment.revoke(self._assignment(by))
        return Reply(204)

    def _domain(self, call: Call) -> str | None:
        if self.target == "project":
            return call.store.project.get(call.path["target"]).domain_id
        return call.path.get("target")

    def _assignment(self, by: AssignmentFilter) -> Assignment:
        return Assignment(
            role_id=by.role_id or "",
            user_id=by.user_id,
            group_id=by.group_ids[0] if by.group_ids else None,
            project_id=by.project_ids[0] if by.project_ids else None,
            domain_id=by.domain_ids[0] if by.domain_ids else None,
            system=self.system,
            inherited=self.inherited,
        )


for _actor in ("user", "group"):
    _Grants("system", _actor, inherited=False).register()
    for _target in ("project", "domain"):
        _Grants(_target, _actor, inherited=False).register()
        _Grants(_target, _actor, inherited=True).register()
