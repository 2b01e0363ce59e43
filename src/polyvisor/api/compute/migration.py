"""Migrations: the ways that servers went from host to host, of the whole cloud and of one server."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call, NoQuery, Page, Reply, Resource, Rule
from polyvisor.api.kit.paging import limit_of, next_links
from polyvisor.api.kit.times import parse, plain_micros
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.migration import IN_PROGRESS, Migration, MigrationFilter, MigrationStatus, MigrationType

migrations = Resource("/os-migrations")
server_migrations = Resource("/servers/{server_id}/migrations")

_POLICY = "os_compute_api:os-migrations:index"
_OF_SERVER = "os_compute_api:servers:migrations"
RULES = [
    Rule(name=_POLICY, check="rule:context_is_admin", description="List migrations, evacuations among them."),
    Rule(
        name=f"{_OF_SERVER}:index",
        check="rule:context_is_admin",
        description="List the migrations of a server that are in progress.",
    ),
    Rule(
        name=f"{_OF_SERVER}:show",
        check="rule:context_is_admin",
        description="Show a migration of a server that is in progress.",
    ),
]
_STATUSES = frozenset(status.value for status in MigrationStatus)
_TYPES = frozenset(kind.value for kind in MigrationType)
_Text = Annotated[str, msgspec.Meta(max_length=255)]


class MigrationQuery(NoQuery, frozen=True, kw_only=True):
    """What the list is narrowed to."""

    host: _Text | None = None
    source_compute: _Text | None = None
    instance_uuid: _Text | None = None
    status: _Text | None = None
    migration_type: _Text | None = None
    hidden: _Text | None = None


class MigrationQueryFrom259(Page, frozen=True, kw_only=True):
    """From 2.59 in pages, and by time."""

    host: _Text | None = None
    source_compute: _Text | None = None
    instance_uuid: _Text | None = None
    status: _Text | None = None
    migration_type: _Text | None = None
    hidden: _Text | None = None
    changes_since: str | None = msgspec.field(default=None, name="changes-since")


class MigrationQueryFrom266(MigrationQueryFrom259, frozen=True, kw_only=True):
    """From 2.66 by the other end of time as well."""

    changes_before: str | None = msgspec.field(default=None, name="changes-before")


class MigrationQueryFrom280(MigrationQueryFrom266, frozen=True, kw_only=True):
    """From 2.80 by who asked for it, and whose server it is."""

    user_id: _Text | None = None
    project_id: _Text | None = None


@migrations.route("GET", policy=_POLICY, query=MigrationQuery, ignore_unknown_query=True, last=(2, 58))
@migrations.route("GET", policy=_POLICY, query=MigrationQueryFrom259, first=(2, 59), last=(2, 65))
@migrations.route("GET", policy=_POLICY, query=MigrationQueryFrom266, first=(2, 66), last=(2, 79))
@migrations.route("GET", policy=_POLICY, query=MigrationQueryFrom280, first=(2, 80))
def index(call: Call) -> Reply:
    """The newest first. One statement (two with a marker)."""
    query = call.query
    wanted = _filter(query)
    marker = getattr(query, "marker", None)
    limit = limit_of(call, getattr(query, "limit", None))
    found = [] if wanted is None else call.store.migration.list(wanted, marker=marker, limit=limit)
    shown: dict[str, Any] = {"migrations": [_view(call, each) for each in found]}
    if call.version >= (2, 59):
        shown |= next_links(call, "migrations", [each.uuid for each in found], limit)
    return Reply(200, shown)


def _filter(query: Any) -> MigrationFilter | None:
    """None where nothing can match."""
    since, before = getattr(query, "changes_since", None), getattr(query, "changes_before", None)
    changed_since = parse(since, "changes-since") if since else None
    changed_before = parse(before, "changes-before") if before else None
    if changed_since is not None and changed_before is not None and changed_before < changed_since:
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")
    if query.status not in (None, *_STATUSES) or query.migration_type not in (None, *_TYPES):
        return None
    if (query.hidden or "").lower() in ("1", "true"):
        return None  # Nova hides what was deleted; here nothing is
    return MigrationFilter(
        server_id=query.instance_uuid,
        host=query.host,
        source_host=query.source_compute,
        type=query.migration_type,
        statuses=None if query.status is None else (query.status,),
        user_id=getattr(query, "user_id", None),
        project_id=getattr(query, "project_id", None),
        changed_since=changed_since,
        changed_before=changed_before,
    )


@server_migrations.route("GET", policy=f"{_OF_SERVER}:index", first=(2, 23))
def index_of_server(call: Call) -> Reply:
    """Those of one server that are in progress."""
    return Reply(200, {"migrations": [_view_of_server(call, each) for each in _in_progress(call)]})


@server_migrations.route("GET", "/{id}", policy=f"{_OF_SERVER}:show", first=(2, 23))
def show_of_server(call: Call) -> Reply:
    """One of them."""
    for each in _in_progress(call):
        if str(each.id) == call.path["id"]:
            return Reply(200, {"migration": _view_of_server(call, each)})
    raise NotFound(f"Migration {call.path['id']} of server {call.path['server_id']} is not in progress, or not there.")


def _in_progress(call: Call) -> list[Migration]:
    server = call.store.server.get(call.path["server_id"], project_id=call.owner)
    statuses = tuple(status.value for status in IN_PROGRESS)
    return call.store.migration.list(MigrationFilter(server_id=server.id, statuses=statuses))


def _view(call: Call, migration: Migration) -> dict[str, Any]:
    shown = {
        "id": migration.id,
        "instance_uuid": migration.server_id,
        "old_instance_type_id": migration.flavor_number,
        "new_instance_type_id": migration.flavor_number,
        **_ends(migration),
    }
    if call.version >= (2, 23):
        shown["migration_type"] = migration.type
    return shown | _later(call, migration)


def _view_of_server(call: Call, migration: Migration) -> dict[str, Any]:
    amounts = [f"{what}_{how}_bytes" for what in ("disk", "memory") for how in ("processed", "remaining", "total")]
    shown = {"id": migration.id, "server_uuid": migration.server_id, **dict.fromkeys(amounts), **_ends(migration)}
    return shown | _later(call, migration)


def _ends(migration: Migration) -> dict[str, Any]:
    return {
        "status": migration.status,
        "source_compute": migration.source_host,
        "source_node": migration.source_host,
        "dest_compute": migration.target_host or None,
        "dest_node": migration.target_host or None,
        "dest_host": migration.target_address or None,
        "created_at": plain_micros(migration.created_at),
        "updated_at": plain_micros(migration.updated_at),
    }


def _later(call: Call, migration: Migration) -> dict[str, Any]:
    """What later microversions added."""
    shown: dict[str, Any] = {}
    if call.version >= (2, 59):
        shown["uuid"] = migration.uuid
    if call.version >= (2, 80):
        shown["user_id"] = migration.user_id
        shown["project_id"] = migration.project_id
    return shown
