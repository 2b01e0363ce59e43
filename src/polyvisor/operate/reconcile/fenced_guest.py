"""Starts again what an agent's fence has turned off, where the cloud has not brought it up elsewhere meanwhile."""

import logging
from datetime import datetime

from polyvisor.model.guest import GuestReport
from polyvisor.model.order import ServerTarget
from polyvisor.model.server import Server, TaskState, VmState
from polyvisor.operate.reconcile import power_state
from polyvisor.operate.reconcile.unchanged import unchanged
from polyvisor.operate.tools import ControlTools
from polyvisor.operate.unasked import begin_unasked
from polyvisor.store.store import Store

log = logging.getLogger(__name__)


def note(store: Store, tools: ControlTools, server: Server, guest: GuestReport, now: datetime) -> None:
    """A server that is still recorded here, and that no operation works on: it ran, and is to run again."""
    if server.vm_state is not VmState.ACTIVE or server.task_state is not None:
        power_state.note(store, server, guest, now)
        return
    if not unchanged(store, server):
        return
    log.warning("server %s was turned off while its agent was cut off: it is started again", server.id)
    store.server.change(server.id, power=guest.power, task_state=TaskState.POWERING_ON, updated_at=now)
    id = tools.new_id()
    begin_unasked(
        store, id, "server.start", server.id, ServerTarget(server_id=server.id), now, project_id=server.project_id
    )
