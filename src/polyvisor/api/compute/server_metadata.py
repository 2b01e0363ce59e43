"""A server's metadata: items that its owner keeps with it."""

import msgspec

from polyvisor.api.compute.server_asked import Metadata
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.server import Server

server_metadata = Resource("/servers")

RULES = [
    Rule(
        name="os_compute_api:server-metadata:index",
        check="rule:project_reader_or_admin",
        description="Read a server's metadata.",
    ),
    Rule(
        name="os_compute_api:server-metadata:show",
        check="rule:project_reader_or_admin",
        description="Read one item of a server's metadata.",
    ),
    Rule(
        name="os_compute_api:server-metadata:create",
        check="rule:project_member_or_admin",
        description="Add to a server's metadata.",
    ),
    Rule(
        name="os_compute_api:server-metadata:update_all",
        check="rule:project_member_or_admin",
        description="Replace a server's metadata.",
    ),
    Rule(
        name="os_compute_api:server-metadata:update",
        check="rule:project_member_or_admin",
        description="Set one item of a server's metadata.",
    ),
    Rule(
        name="os_compute_api:server-metadata:delete",
        check="rule:project_member_or_admin",
        description="Remove one item of a server's metadata.",
    ),
]


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    metadata: Metadata


@server_metadata.route("GET", "/{id}/metadata", policy="os_compute_api:server-metadata:index")
def metadata(call: Call) -> Reply:
    """All items."""
    return Reply(200, {"metadata": _own(call).metadata})


@server_metadata.route("POST", "/{id}/metadata", policy="os_compute_api:server-metadata:create", body=_Metadata)
def add_metadata(call: Call) -> Reply:
    """Add items, replacing those of the same keys."""
    server = _own(call)
    return _set_metadata(call, server, {**server.metadata, **call.body.metadata})


@server_metadata.route("PUT", "/{id}/metadata", policy="os_compute_api:server-metadata:update_all", body=_Metadata)
def replace_metadata(call: Call) -> Reply:
    """Replace all items."""
    return _set_metadata(call, _own(call), call.body.metadata)


def _set_metadata(call: Call, server: Server, items: dict[str, str]) -> Reply:
    call.store.quota.check_items(server.project_id, metadata_items=len(items))
    call.store.server.change(server.id, metadata=items, updated_at=call.now)
    return Reply(200, {"metadata": items})


@server_metadata.route("GET", "/{id}/metadata/{key}", policy="os_compute_api:server-metadata:show")
def metadata_item(call: Call) -> Reply:
    """One item."""
    items, key = _own(call).metadata, call.path["key"]
    return Reply(200, {"meta": {key: _item(items, key)}})


class _Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    meta: Metadata


@server_metadata.route("PUT", "/{id}/metadata/{key}", policy="os_compute_api:server-metadata:update", body=_Meta)
def set_metadata_item(call: Call) -> Reply:
    """Set one item."""
    server, key = _own(call), call.path["key"]
    if set(call.body.meta) != {key}:
        raise Invalid("Request body and URI mismatch: 'meta' must hold the one key that the address names.")
    _set_metadata(call, server, {**server.metadata, **call.body.meta})
    return Reply(200, {"meta": call.body.meta})


@server_metadata.route("DELETE", "/{id}/metadata/{key}", policy="os_compute_api:server-metadata:delete")
def remove_metadata_item(call: Call) -> Reply:
    """Remove one item."""
    server, key = _own(call), call.path["key"]
    _item(server.metadata, key)
    rest = {name: value for name, value in server.metadata.items() if name != key}
    call.store.server.change(server.id, metadata=rest, updated_at=call.now)
    return Reply(204)


def _own(call: Call) -> Server:
    return call.store.server.get(call.path["id"], project_id=call.owner)


def _item(items: dict[str, str], key: str) -> str:
    if key not in items:
        raise NotFound(f"Metadata item was not found: the server has none with the key {key!r}.")
    return items[key]
