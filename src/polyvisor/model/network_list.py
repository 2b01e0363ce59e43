"""What a list of the Networking API is asked for."""

from datetime import datetime

from polyvisor.model.record import Record


class NetworkList(Record):
    """A page of a list: what it is narrowed to, its order, and from where."""

    viewer: str | None
    """The project whose view it is; None = everything."""
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """By field: each must have one of its values."""
    changed_since: datetime | None = None
    sort: tuple[tuple[str, str], ...] = ()
    """(Field, "asc" or "desc"); by id in the end."""
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False
    """The page that ends before the marker, in the same order."""


def everything(viewer: str | None = None, **filters: str) -> NetworkList:
    """All that a project sees (None = all), narrowed to fields' values."""
    return NetworkList(viewer=viewer, filters=tuple((name, (value,)) for name, value in filters.items()))
