"""Instance actions: what was asked of a server, and step by step how it went. Each is one durable operation."""

from typing import Any

import msgspec

from polyvisor.api.compute.server_view import host_id
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.api.kit.paging import limit_of, next_links
from polyvisor.api.kit.times import parse, plain_micros
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.operation import CONTROL, UNFINISHED, Entry, Operation, OperationState

instance_actions = Resource("/servers/{server_id}/os-instance-actions")

RULES = [
    Rule(
        name="os_compute_api:os-instance-actions:list",
        check="rule:project_reader_or_admin",
        description="List what was asked of a server.",
    ),
    Rule(
        name="os_compute_api:os-instance-actions:show",
        check="rule:project_reader_or_admin",
        description="Show one action on a server.",
    ),
    Rule(
        name="os_compute_api:os-instance-actions:events",
        check="rule:context_is_admin",
        description="See the events of an action before microversion 2.51, and the tracebacks of failed ones.",
    ),
    Rule(
        name="os_compute_api:os-instance-actions:events:details",
        check="rule:context_is_admin",
        description="See why an event failed, from microversion 2.84 on.",
    ),
]


class ActionQuery(Page, frozen=True, kw_only=True):
    """Paging and times, from 2.58 on."""

    changes_since: str | None = msgspec.field(default=None, name="changes-since")
    changes_before: str | None = msgspec.field(default=None, name="changes-before")


@instance_actions.route(
    "GET", policy="os_compute_api:os-instance-actions:list", query=ActionQuery, ignore_unknown_query=True
)
def index(call: Call) -> Reply:
    """The newest first."""
    query: ActionQuery = call.query if call.version >= (2, 58) else ActionQuery()
    rows = _rows(call)
    if query.changes_since:
        since = parse(query.changes_since, "changes-since")
        rows = [row for row in rows if row.updated_at >= since]
    if query.changes_before and call.version >= (2, 66):
        before = parse(query.changes_before, "changes-before")
        rows = [row for row in rows if row.updated_at <= before]
    if query.marker is not None:
        at = [index for index, row in enumerate(rows) if row.request_id == query.marker]
        if not at:
            raise Invalid(f"The marker {query.marker} was not found: give the request id of the last action before.")
        rows = rows[at[-1] + 1 :]
    limit = limit_of(call, query.limit)
    rows = rows[:limit]
    linked = next_links(call, "links", [row.request_id for row in rows], limit) if call.version >= (2, 58) else {}
    shown: dict[str, Any] = {"instanceActions": [_view(call, row) for row in rows]}
    if linked:
        shown["links"] = linked["links_links"]
    return Reply(200, shown)


@instance_actions.route("GET", "/{request_id}", policy="os_compute_api:os-instance-actions:show")
def show(call: Call) -> Reply:
    """One action, with its events."""
    wanted = call.path["request_id"]
    for row in _rows(call):
        if row.request_id == wanted:
            shown = _view(call, row)
            if call.version >= (2, 51) or call.allows("os_compute_api:os-instance-actions:events"):
                shown["events"] = [_event(call, row, entry) for entry in row.journal]
            return Reply(200, {"instanceAction": shown})
    raise NotFound(f"Action for request_id {wanted} on instance {call.path['server_id']} not found.")


_NOVAS = {"server.move": "migrate"}
"""Kinds that Nova has another word for."""


def _rows(call: Call) -> list[Operation]:
    deleted_too = call.version >= (2, 21)
    server = call.store.server.get(call.path["server_id"], project_id=call.owner, deleted=deleted_too)
    return call.store.operation.of_target(server.id)


def _view(call: Call, row: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "action": _NOVAS.get(row.kind, row.kind.removeprefix("server.")),
        "instance_uuid": row.target_id,
        "request_id": row.request_id,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "start_time": plain_micros(row.created_at),
        "message": None if row.state in (*UNFINISHED, OperationState.DONE) else "Error",
    }
    if call.version >= (2, 58):
        shown["updated_at"] = plain_micros(row.updated_at)
    return shown


def _event(call: Call, row: Operation, entry: Entry) -> dict[str, Any]:
    failed = entry.outcome in ("failed", "undo failed")
    name = entry.step if entry.outcome in ("done", "failed") else f"undo_{entry.step}"
    shown: dict[str, Any] = {
        "event": name,
        "start_time": plain_micros(entry.started_at),
        "finish_time": plain_micros(entry.finished_at),
        "result": "Error" if failed else "Success",
    }
    if call.version < (2, 51) or call.allows("os_compute_api:os-instance-actions:events"):
        shown["traceback"] = entry.error if failed else None
    if call.version >= (2, 62):
        shown["hostId"] = host_id(row.project_id, None if entry.place == CONTROL else entry.place)
        if call.is_admin:
            shown["host"] = None if entry.place == CONTROL else entry.place
    if call.version >= (2, 84) and call.allows("os_compute_api:os-instance-actions:events:details"):
        shown["details"] = entry.error or None
    return shown
