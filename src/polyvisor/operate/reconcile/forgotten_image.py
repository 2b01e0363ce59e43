"""Has cached copies removed where their image was deleted."""

from collections.abc import Callable
from datetime import datetime

from polyvisor.model.host import HostState
from polyvisor.model.order import HostForgetImages
from polyvisor.operate.unasked import begin_unasked
from polyvisor.store.store import Store


def sweep(store: Store, now: datetime, new_id: Callable[[], str]) -> list[str]:
    """Begin an operation for each host that answers and holds copies of images that are no more; returns the hosts."""
    existing = store.image.ids()
    hosts = [
        host.name for host in store.host.list() if host.state is HostState.UP and host.report.cached_images - existing
    ]
    busy = store.operation.busy_targets() if hosts else frozenset()
    begun = [name for name in hosts if _target(name) not in busy]
    for name in begun:
        id = new_id()
        begin_unasked(store, id, "host.forget_images", _target(name), HostForgetImages(host=name), now, alone=True)
    return begun


def _target(host: str) -> str:
    return f"images:{host}"[:64]
