"""Has hosts that filter by themselves told of what their ports let through, as soon as it is something else."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from polyvisor.model.host import HostState
from polyvisor.model.order import HostFilterPorts
from polyvisor.model.port_filter import PortFilter
from polyvisor.operate.unasked import begin_unasked
from polyvisor.store.port_permit import filters_at
from polyvisor.store.store import Store

AGAIN = timedelta(minutes=5)
"""How often a host is told what it was told before: somebody may have changed its ports, or it may have refused."""


class PortFilters:
    """What this process has had hosts told. Another process that takes over tells them once more."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[bytes, datetime]] = {}

    def sweep(self, store: Store, now: datetime, new_id: Callable[[], str]) -> list[str]:
        """Begin an operation for each host that answers and has to be told; returns the hosts. Five statements, but for
        the operations; one where no host filters."""
        hosts = [
            host.name for host in store.host.list() if host.state is HostState.UP and host.report.port_filter == "host"
        ]
        wanted = {name: filters for name, filters in filters_at(store, hosts).items() if filters}
        due = [name for name, filters in wanted.items() if self._is_due(name, filters, now)]
        busy = store.operation.busy_targets() if due else frozenset()
        begun = [name for name in due if _target(name) not in busy]
        for name in begun:
            id = new_id()
            begin_unasked(store, id, "host.filter_ports", _target(name), HostFilterPorts(host=name), now, alone=True)
            self._told[name] = _digest(wanted[name]), now
        return begun

    def _is_due(self, host: str, filters: Sequence[PortFilter], now: datetime) -> bool:
        digest, at = self._told.get(host, (b"", now))
        return digest != _digest(filters) or now - at >= AGAIN


def _digest(filters: Sequence[PortFilter]) -> bytes:
    return hashlib.sha256(msgspec.json.encode(filters)).digest()


def _target(host: str) -> str:
    return f"filters:{host}"[:64]
