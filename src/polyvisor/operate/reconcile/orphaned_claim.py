"""Gives back claims that no server and no unfinished operation stand for."""

import logging

from polyvisor.store.store import Store

log = logging.getLogger(__name__)


def sweep(store: Store) -> list[str]:
    """Release every claim whose server is deleted or unknown; returns the servers' ids."""
    orphans = store.host.orphaned_claims()
    busy = store.operation.busy_targets() if orphans else frozenset()
    released = [server_id for server_id in orphans if server_id not in busy]
    for server_id in released:
        log.warning("releasing the claim of server %s, which is no more", server_id)
        store.host.release(server_id)
    return released
