"""Lists of servers: what they may be narrowed to, sorted by, and who may ask for what."""

import msgspec

from polyvisor.api.compute.server_view import detail, host_status_of, shown_to_host_status_readers, summary
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.api.kit.paging import limit_of, next_links, sort_pairs
from polyvisor.api.kit.times import parse
from polyvisor.model.errors import Invalid
from polyvisor.model.power import Power
from polyvisor.model.server import Server, ServerFilter, TaskState, VmState
from polyvisor.store.server import SORT_KEYS

server_list = Resource("/servers")

RULES = [
    Rule(
        name="os_compute_api:servers:index",
        check="rule:project_reader_or_admin",
        description="List servers.",
    ),
    Rule(
        name="os_compute_api:servers:detail",
        check="rule:project_reader_or_admin",
        description="List servers in full.",
    ),
    Rule(
        name="os_compute_api:servers:index:get_all_tenants",
        check="rule:context_is_admin",
        description="List the servers of all projects.",
    ),
    Rule(
        name="os_compute_api:servers:allow_all_filters",
        check="rule:context_is_admin",
        description="Filter lists of servers by what only administrators see, deleted ones included.",
    ),
]

_STATES: dict[str, tuple[VmState, ...]] = {
    "ACTIVE": (VmState.ACTIVE,),
    "BUILD": (VmState.BUILDING,),
    "DELETED": (VmState.DELETED,),
    "ERROR": (VmState.ERROR,),
    "PAUSED": (VmState.PAUSED,),
    "SHUTOFF": (VmState.STOPPED,),
    "SUSPENDED": (VmState.SUSPENDED,),
    "REBOOT": (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR, VmState.PAUSED, VmState.SUSPENDED),
    "HARD_REBOOT": (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR, VmState.PAUSED, VmState.SUSPENDED),
    "REBUILD": (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR),
    "MIGRATING": (VmState.ACTIVE, VmState.STOPPED),
}
_TASKS = {
    "REBOOT": TaskState.REBOOTING,
    "HARD_REBOOT": TaskState.REBOOTING_HARD,
    "REBUILD": TaskState.REBUILDING,
    "MIGRATING": TaskState.MIGRATING,
}
_POWERS = {power.number: power for power in Power}
_ADMIN_FILTERS = ("host", "node", "user_id", "project_id", "tenant_id", "reservation_id", "task_state", "vm_state",
                  "power_state", "availability_zone", "config_drive", "key_name", "deleted")  # fmt: skip


class ServerQuery(Page, frozen=True, kw_only=True):
    """What lists of servers may be narrowed to and sorted by."""

    sort_key: list[str] = []
    sort_dir: list[str] = []
    all_tenants: bool = False
    name: str | None = None
    status: list[str] = []
    image: str | None = None
    flavor: str | None = None
    uuid: list[str] = []
    changes_since: str | None = msgspec.field(default=None, name="changes-since")
    changes_before: str | None = msgspec.field(default=None, name="changes-before")
    locked: bool | None = None
    hostname: str | None = None
    host: str | None = None
    node: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    tenant_id: str | None = None
    reservation_id: str | None = None
    key_name: str | None = None
    availability_zone: str | None = None
    config_drive: bool | None = None
    vm_state: list[str] = []
    task_state: list[str] = []
    power_state: int | None = None
    deleted: bool | None = None
    description: str | None = None
    ip: str | None = None
    ip6: str | None = None
    tags: str | None = None


@server_list.route("GET", policy="os_compute_api:servers:index", query=ServerQuery, ignore_unknown_query=True)
def index(call: Call) -> Reply:
    """Ids and names."""
    found, limit = _list(call)
    shown = [summary(call, server) for server in found]
    return Reply(200, {"servers": shown, **next_links(call, "servers", [server.id for server in found], limit)})


@server_list.route(
    "GET", "/detail", policy="os_compute_api:servers:detail", query=ServerQuery, ignore_unknown_query=True
)
def detailed(call: Call) -> Reply:
    """All of each."""
    found, limit = _list(call)
    states = _host_states(call)
    ports = call.store.server_port.shown(found)
    shown = [detail(call, server, _status_of_host(server, states), ports[server.id]) for server in found]
    return Reply(200, {"servers": shown, **next_links(call, "servers", [server.id for server in found], limit)})


def _list(call: Call) -> tuple[list[Server], int]:
    query: ServerQuery = call.query
    limit = limit_of(call, query.limit)
    sort = sort_pairs(query.sort_key, query.sort_dir, tuple(SORT_KEYS), ())
    filter = _filter(call, query)
    if filter is None:
        return [], limit
    return call.store.server.list(filter=filter, sort=sort, marker=query.marker, limit=limit), limit


def _filter(call: Call, query: ServerQuery) -> ServerFilter | None:
    """None where nothing can match."""
    _check_admin_filters(call, query)
    everybody = query.all_tenants
    if everybody:
        call.require("os_compute_api:servers:index:get_all_tenants")
    states, busy, idle = _by_status(query.status)
    if query.vm_state:
        states = tuple(query.vm_state)
    if states == ():
        return None
    since = parse(query.changes_since, "changes-since") if query.changes_since else None
    asked_project = query.project_id or query.tenant_id
    wants_deleted = query.deleted if query.deleted is not None else (None if since is not None else False)
    if query.status and "DELETED" in [status.upper() for status in query.status]:
        call.require("os_compute_api:servers:allow_all_filters")
        wants_deleted = None
    if query.power_state is not None and query.power_state not in _POWERS:
        return None
    return ServerFilter(
        deleted=wants_deleted,
        project_id=asked_project if everybody else call.project_id,
        user_id=query.user_id,
        ids=tuple(query.uuid) or None,
        host=query.host or query.node,
        image_id=query.image.rsplit("/", 1)[-1] if query.image else None,
        flavor_id=query.flavor,
        key_name=query.key_name,
        reservation_id=query.reservation_id,
        zone=query.availability_zone,
        locked=query.locked if call.version >= (2, 73) else None,
        config_drive=query.config_drive,
        power=None if query.power_state is None else _POWERS[query.power_state],
        vm_states=states,
        task_states=tuple(query.task_state) or busy,
        not_task_states=idle,
        name_like=query.name,
        hostname_like=query.hostname,
        ip_like=query.ip,
        ip6_like=query.ip6,
        tags=tuple(query.tags.split(",")) if query.tags else (),
        changed_since=since,
        changed_before=parse(query.changes_before, "changes-before") if query.changes_before else None,
    )


def _check_admin_filters(call: Call, query: ServerQuery) -> None:
    if query.changes_before is not None and call.version < (2, 66):
        raise Invalid("The query parameter 'changes-before' begins at microversion 2.66.")
    restricted = [name for name in _ADMIN_FILTERS if getattr(query, name) not in (None, [])]
    if query.deleted is False:
        restricted.remove("deleted")  # what everybody sees anyway; openstackclient asks for it in so many words
    if restricted and not call.allows("os_compute_api:servers:allow_all_filters"):
        own = set() if query.project_id not in (None, call.project_id) else {"project_id", "tenant_id"}
        shared = {"key_name", "availability_zone", "config_drive", "user_id"} if call.version >= (2, 83) else set()
        refused = [name for name in restricted if name not in own | shared]
        if "deleted" in refused:
            raise Invalid("Only administrators may list deleted servers: leave out 'deleted'.")
        if refused:
            raise Invalid(f"Only administrators may filter servers by {', '.join(refused)}.")


def _by_status(asked: list[str]) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, tuple[str, ...] | None]:
    """What statuses mean: VM states; task states that must be; task states that must not be."""
    if not asked:
        return None, None, None
    statuses = [status.upper() for status in asked]
    states = tuple(dict.fromkeys(state.value for status in statuses for state in _STATES.get(status, ())))
    reboots = tuple(_TASKS[status].value for status in statuses if status in _TASKS)
    if reboots and len(reboots) == len(statuses):
        return states, reboots, None
    if reboots:
        return states, None, None
    settled = [status for status in statuses if status not in ("BUILD", "DELETED")]
    return states, None, tuple(task.value for task in _TASKS.values()) if settled else None


def _host_states(call: Call) -> dict[str, str] | None:
    if not shown_to_host_status_readers(call):
        return None
    return {host.name: host_status_of(host.state, host.enabled) for host in call.store.host.list()}


def _status_of_host(server: Server, states: dict[str, str] | None) -> str | None:
    if states is None:
        return None
    return states.get(server.host, "UNKNOWN") if server.host else ""
