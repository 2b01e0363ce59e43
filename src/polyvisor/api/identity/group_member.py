"""Members of groups."""

from polyvisor.api.identity.common import ADMIN, READ, domain_read, limit_of, page
from polyvisor.api.identity.group import look as look_group
from polyvisor.api.identity.user import view as user_view
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.errors import NotFound
from polyvisor.model.user import UserFilter

members = Resource("/groups/{id}/users")
_BOTH = "domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s"
_MANAGE = f"{ADMIN} or (role:manager and {_BOTH})"
RULES = [
    Rule(
        name="identity:list_users_in_group",
        check=domain_read("target.group.domain_id"),
        description="List a group's members.",
    ),
    Rule(
        name="identity:check_user_in_group",
        check=f"{READ} or (role:reader and {_BOTH})",
        description="See whether a user is in a group.",
    ),
    Rule(name="identity:add_user_to_group", check=_MANAGE, description="Make a user a member of a group."),
    Rule(name="identity:remove_user_from_group", check=_MANAGE, description="End a user's membership in a group."),
]


class MemberQuery(Page, frozen=True, kw_only=True):
    """What a list of members is narrowed to."""

    name: str | None = None
    enabled: bool | None = None


@members.route("GET", policy="identity:list_users_in_group", query=MemberQuery, checked_by_handler=True)
def index(call: Call) -> Reply:
    """The members of a group."""
    query: MemberQuery = call.query
    group = look_group(call, "identity:list_users_in_group", call.path["id"])
    limit = limit_of(call, query.limit)
    by = UserFilter(group_id=group.id, name=query.name, enabled=query.enabled)
    found = call.store.user.list(by, limit=limit, marker=query.marker)
    return page(call, "users", [user_view(call, record) for record in found], found, limit)


def _pair(call: Call, rule: str) -> tuple[str, str]:
    user = call.store.user.find(call.path["user"])
    target = {} if user is None else {"target.user.id": user.id, "target.user.domain_id": user.domain_id}
    group = look_group(call, rule, call.path["id"], **target)
    if user is None:
        raise NotFound(f"Could not find user: {call.path['user']}.")
    return group.id, user.id


@members.route("GET", "/{user}", policy="identity:check_user_in_group", checked_by_handler=True)
def check(call: Call) -> Reply:
    """Whether a user is in a group."""
    group_id, user_id = _pair(call, "identity:check_user_in_group")
    if not call.store.group.has(group_id, user_id):
        raise NotFound(f"User {user_id} is not in group {group_id}.")
    return Reply(204)


@members.route("PUT", "/{user}", policy="identity:add_user_to_group", checked_by_handler=True)
def join(call: Call) -> Reply:
    """Make a user a member."""
    call.store.group.join(*_pair(call, "identity:add_user_to_group"))
    return Reply(204)


@members.route("DELETE", "/{user}", policy="identity:remove_user_from_group", checked_by_handler=True)
def leave(call: Call) -> Reply:
    """End a membership."""
    call.store.group.leave(*_pair(call, "identity:remove_user_from_group"))
    return Reply(204)
