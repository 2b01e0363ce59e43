"""Makes a server's power state what its hypervisor says, whoever changed it."""

import logging
from datetime import datetime

from polyvisor.model.guest import GuestReport
from polyvisor.model.power import Power
from polyvisor.model.server import Server, VmState
from polyvisor.operate.reconcile.unchanged import unchanged
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

_STATE_OF = {
    Power.ON: VmState.ACTIVE,
    Power.OFF: VmState.STOPPED,
    Power.CRASHED: VmState.STOPPED,
    Power.PAUSED: VmState.PAUSED,
    Power.SUSPENDED: VmState.SUSPENDED,
}
_FOLLOWING = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED)


def note(store: Store, server: Server, guest: GuestReport, now: datetime) -> None:
    """Take in what the hypervisor says of a server that no operation works on."""
    state = server.vm_state
    if state in _FOLLOWING and guest.power is not Power.UNKNOWN:
        state = _STATE_OF[guest.power]
    if (server.power, server.member, server.vm_state) == (guest.power, guest.member, state):
        return
    if not unchanged(store, server):
        return
    if state is not server.vm_state:
        log.info("server %s is now %s: its hypervisor says %s", server.id, state, guest.power)
    store.server.change(server.id, power=guest.power, member=guest.member, vm_state=state, updated_at=now)
