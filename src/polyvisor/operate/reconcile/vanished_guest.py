"""Says so when a server's guest is not on its hypervisor any more."""

import logging
from datetime import datetime

from polyvisor.model.power import Power
from polyvisor.model.server import Fault, Server, VmState
from polyvisor.operate.reconcile.unchanged import unchanged
from polyvisor.store.store import Store

log = logging.getLogger(__name__)


def note(store: Store, server: Server, now: datetime) -> None:
    """A whole inventory of the server's place does not list its guest, and no operation works on it."""
    if server.vm_state in (VmState.BUILDING, VmState.ERROR):
        return
    if not unchanged(store, server):
        return
    message = (
        f"The guest of this server is no longer on {server.host}: somebody removed it there. "
        "Delete the server, or restore the guest under the same id."
    )
    log.warning("server %s: %s", server.id, message)
    fault = Fault(code=500, message=message, created_at=now)
    store.server.change(server.id, vm_state=VmState.ERROR, power=Power.UNKNOWN, fault=fault, updated_at=now)
