"""Turns round what takes a server from host to host when one of the two has fallen silent meanwhile.

Fell the new host silent, the server goes elsewhere; what may have been made there is removed when that host answers
again (`stray_guest`), for the journal says what was there. Fell the old one silent, nothing is undone at it, and the
server can be evacuated from it.
"""

import logging
from datetime import datetime, timedelta

from polyvisor.model.host import HostState
from polyvisor.model.operation import CONTROL, Operation, OperationState
from polyvisor.operate import progress
from polyvisor.operate.server_evacuate import server_evacuate
from polyvisor.operate.server_move import server_move
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=60)
"""How long a step waits for a host that is down before the server is taken elsewhere."""
_KINDS = {kind.kind: kind for kind in (server_evacuate, server_move)}
_LIVE = (OperationState.RUNNING, OperationState.UNWINDING)


def sweep(store: Store, now: datetime) -> list[str]:
    """Returns the ids of the operations that were turned round. One statement where none is under way."""
    turned = []
    for found in store.operation.under_way(_KINDS):
        if _is_lost(store, found, now):
            row = store.operation.get(found.id)
            if row.place != found.place or row.lease_epoch != found.lease_epoch or not _is_lost(store, row, now):
                continue
            store.operation.save([_turned(row, now)])
            store.wake(CONTROL)
            turned.append(row.id)
    return turned


def _is_lost(store: Store, row: Operation, now: datetime) -> bool:
    """Whether the due step is at a host that is down for good as far as anybody can wait."""
    if row.place in ("", CONTROL) or row.state not in _LIVE:
        return False
    if row.lease_until is not None and row.lease_until > now:
        return False
    place = store.place.find(row.place)
    silent = place is None or now - place.seen_at > PATIENCE
    hosts = store.host.list(place=row.place)
    return silent and all(host.state is HostState.DOWN for host in hosts)


def _turned(row: Operation, now: datetime) -> Operation:
    kind = _KINDS[row.kind]
    why = f"{row.place} fell silent while the server was on its way."
    log.warning("operation %s of server %s is turned round: %s", row.id, row.target_id, why)
    if row.state is OperationState.RUNNING:
        return progress.failed(row, kind, why, now)
    return progress.undone(row, kind, now)
