"""Begins evacuations that no request of the API asks for: by policy, and of a whole host by the operator."""

from collections.abc import Callable
from datetime import datetime

from polyvisor.model.errors import Conflict
from polyvisor.model.host import Host, HostState
from polyvisor.model.order import ServerEvacuate
from polyvisor.model.record import Record
from polyvisor.model.server import Server, TaskState, VmState
from polyvisor.operate import relocate
from polyvisor.operate.unasked import begin_unasked
from polyvisor.store.store import Store

_STATES = (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR)
OPERATOR = "operator"
"""The user id of what is begun by a command on a server; of what the cloud begins by itself it is empty."""


class Refused(Record):
    """A server of a host that is not evacuated."""

    server_id: str
    name: str
    why: str


def begin(
    store: Store,
    server: Server,
    new_id: Callable[[], str],
    now: datetime,
    *,
    user_id: str = "",
    may_rebuild: bool,
    waits: bool,
) -> str:
    """Begin to evacuate a server, to wherever there is room; returns the operation's id."""
    project = store.project.find(server.project_id)
    # What the failed host was doing to it is over; it may never answer for it.
    store.operation.cancel(server.id, now)
    order = ServerEvacuate(
        server=server, project_name=project.name if project else "", may_rebuild=may_rebuild, waits=waits
    )
    id = new_id()
    begin_unasked(store, id, "server.evacuate", server.id, order, now, project_id=server.project_id, user_id=user_id)
    store.server.change(server.id, task_state=TaskState.REBUILDING, updated_at=now)
    return id


def refusal(store: Store, server: Server, *, shared: bool) -> str:
    """Why a server of a host that is down cannot be evacuated; "" where it can. `shared`: others reach its disks."""
    under_way = {row.kind for row in store.operation.unfinished(server.id)}
    if server.task_state is TaskState.DELETING or "server.delete" in under_way:
        return "It is being deleted."
    if server.task_state is TaskState.REBUILDING:
        return "It is being evacuated already."
    if server.vm_state not in _STATES:
        return f"It is {server.vm_state}: only what is active, stopped or in error can be evacuated."
    if not shared and not relocate.image_is_there(store, server):
        return "Its disks are on that host alone, and the image it was made from is no more."
    return ""


def of_host(
    store: Store, host: Host, new_id: Callable[[], str], now: datetime, *, waits: bool
) -> tuple[list[str], list[Refused]]:
    """Evacuate all servers of a host; returns the operations' ids, and the servers that cannot be.

    Raises Conflict where the host is up: its servers may run.
    """
    if host.state is HostState.UP:
        raise Conflict(
            f"Compute service of {host.name} is still in use: its servers may run. To empty a host that is up, drain "
            f"it; when you are sure that it is off, force it down first (openstack compute service set --down)."
        )
    shared = bool(relocate.sharing_hosts(host, store.host.list()))
    begun, refused = [], []
    for server in store.server.on_host(host.name):
        why = refusal(store, server, shared=shared)
        if why:
            refused.append(Refused(server_id=server.id, name=server.name, why=why))
        else:
            begun.append(begin(store, server, new_id, now, user_id=OPERATOR, may_rebuild=True, waits=waits))
    return begun, refused
