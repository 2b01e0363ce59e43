"""Migrations: each time a server went, or was to go, from one host to another."""

from datetime import datetime
from enum import StrEnum

from polyvisor.model.record import Record


class MigrationStatus(StrEnum):
    """How far it is, in Nova's words."""

    ACCEPTED = "accepted"
    """Asked for; no host has been chosen yet."""
    PREPARING = "pre-migrating"
    """A host has been chosen; the guest is made or started there."""
    DONE = "done"
    """The server is there; the host that it left still has its old guest, or has not said yet."""
    COMPLETED = "completed"
    """The host that it left has nothing of it any more."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Not needed any more: the host came back, or the server was deleted."""


IN_PROGRESS = (MigrationStatus.ACCEPTED, MigrationStatus.PREPARING)


class MigrationType(StrEnum):
    """What kind it is, in Nova's words."""

    EVACUATION = "evacuation"
    MIGRATION = "migration"
    """A cold one."""


class Migration(Record):
    """A migration as the store has it."""

    id: int
    uuid: str
    """The id of the operation that carries it out."""
    server_id: str
    project_id: str
    """The server's."""
    user_id: str
    """Who asked for it; empty = the cloud itself."""
    type: MigrationType
    status: MigrationStatus
    source_host: str
    source_place: str
    target_host: str = ""
    target_place: str = ""
    target_address: str = ""
    disks_kept: bool = False
    """Started on the disks that it had; else they were made anew from its image."""
    flavor_number: int = 0
    """`old_instance_type_id`: the flavor does not change, so the new one is the same."""
    created_at: datetime
    updated_at: datetime


class MigrationFilter(Record):
    """What a list of migrations is narrowed to; None = not by this."""

    server_id: str | None = None
    host: str | None = None
    """On either end."""
    source_host: str | None = None
    type: str | None = None
    statuses: tuple[str, ...] | None = None
    user_id: str | None = None
    project_id: str | None = None
    changed_since: datetime | None = None
    changed_before: datetime | None = None
