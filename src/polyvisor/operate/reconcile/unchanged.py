"""Whether a server is still as a reconciler has read it, before it writes what follows."""

from polyvisor.model.server import Server
from polyvisor.store.store import Store


def unchanged(store: Store, server: Server) -> bool:
    """Hold the server for this transaction, if it is as it was; whoever is changing it knows better, and the next
    inventory tells again."""
    now = store.server.find_unless_busy(server.id)
    return now is not None and now.updated_at == server.updated_at and now.place == server.place
