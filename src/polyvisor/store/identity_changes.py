"""The one counter that every change of identity moves, so that what was remembered of callers is forgotten at once."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyvisor.store.store import Store

SUBJECT = "identity"


def changed(store: "Store") -> None:
    """Say that users, projects, roles, assignments, tokens or the catalogue are no longer as they were."""
    store.change.next(SUBJECT)
