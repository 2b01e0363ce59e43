"""Images in the store: what is known of them, who sees them, and which upload holds them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    Row,
    String,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    type_coerce,
    update,
)

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.image import Image, ImageFilter, ImageStatus, MemberStatus, Visibility
from polyvisor.store.compare import COMPARE
from polyvisor.store.image_member import image_member
from polyvisor.store.keyset import Key, after, ordered
from polyvisor.store.tables import Json, Moment, Word, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

image = Table(
    "image",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255)),
    Column("owner", String(255), index=True),
    Column("status", Word(ImageStatus), nullable=False),
    Column("visibility", Word(Visibility), nullable=False),
    Column("disk_format", String(32)),
    Column("container_format", String(32)),
    Column("subformat", String(32)),
    Column("size_bytes", BigInteger),
    Column("virtual_size_bytes", BigInteger),
    Column("checksum", String(32)),
    Column("hash_algorithm", String(32)),
    Column("hash_value", String(128)),
    Column("min_disk_gib", Integer, nullable=False),
    Column("min_ram_mib", Integer, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("properties", Json(dict[str, str]), nullable=False),
    Column("tags", Json(tuple[str, ...]), nullable=False),
    Column("created_at", Moment, nullable=False, index=True),
    Column("updated_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Column("upload_id", String(36)),
    Column("upload_until", Moment),
)
"""A deleted image leaves its id behind, so that nobody can pass another image off under it. `upload_id` and
`upload_until` say which upload holds an image in `saving`, and until when it counts as alive."""

_FIELDS = Image.__struct_fields__
_COLUMNS = [image.c[name] for name in _FIELDS]
_alive = image.c.deleted_at.is_(None)
_get = select(*_COLUMNS).where(image.c.id == bindparam("of"), _alive)
_member = exists().where(image_member.c.image_id == image.c.id, image_member.c.member_id == bindparam("project"))
_own = image.c.owner == bindparam("project")
_shared = image.c.visibility == Visibility.SHARED
_open = image.c.visibility.in_([Visibility.PUBLIC, Visibility.COMMUNITY])
_get_as = _get.where(or_(_open, _own, and_(_shared, _member)))
_insert = insert(image)

SORT_KEYS: dict[str, ColumnElement[Any]] = {
    "id": image.c.id,
    "name": func.coalesce(image.c.name, ""),
    "status": image.c.status,
    "container_format": func.coalesce(image.c.container_format, ""),
    "disk_format": func.coalesce(image.c.disk_format, ""),
    "size": func.coalesce(image.c.size_bytes, -1),
    "min_disk": image.c.min_disk_gib,
    "min_ram": image.c.min_ram_mib,
    "created_at": image.c.created_at,
    "updated_at": image.c.updated_at,
}
"""The Image API's words for what a list can be sorted by."""


def _record(row: Row[Any]) -> Image:
    return Image(**dict(zip(_FIELDS, row, strict=False)))


class Images:
    """The statements on images."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def get(self, image_id: str, *, project_id: str | None = None, to_change: bool = False) -> Image:
        """One image; with `project_id`, only if that project sees it: its own, public, community, or shared with it
        (None = any). `to_change`: whoever else wants to change it waits for this transaction. Raises NotFound."""
        statement = _get if project_id is None else _get_as
        if to_change:
            # SQLite has one writer at a time, and nothing to lock.
            statement = statement.with_for_update(of=image)
        row = self._sql.execute(statement, {"of": image_id, "project": project_id}).first()
        if row is None:
            raise NotFound(f"Image {image_id} could not be found.")
        return _record(row)

    def list(
        self,
        by: ImageFilter,
        *,
        sort: Sequence[tuple[str, str]] = (),
        marker: str | None = None,
        limit: int | None = None,
    ) -> list[Image]:
        """Images in order, after `marker`; `sort` is (key of SORT_KEYS, "asc" or "desc") pairs.

        One statement (two with a marker). Raises Invalid for a marker that this list does not hold.
        """
        last = sort[-1][1] if sort else "desc"
        keys: list[Key] = [(SORT_KEYS[key], way) for key, way in (*sort, ("created_at", last), ("id", last))]
        statement = select(*_COLUMNS).where(*_conditions(by))
        if marker is not None:
            where = (image.c.id == marker, _alive, _visible(by.project_id))
            at = self._sql.execute(select(*(column for column, _ in keys)).where(*where)).first()
            if at is None:
                raise Invalid(f"The marker {marker} was not found: give the id of the last image of the page before.")
            statement = statement.where(after(keys, at))
        return [_record(row) for row in self._sql.execute(statement.order_by(*ordered(keys)).limit(limit))]

    def create(self, record: Image) -> None:
        """Record a new image. Raises Conflict where the id is taken, be it by an image that is deleted."""
        if self._sql.execute(select(image.c.id).where(image.c.id == record.id)).first() is not None:
            raise Conflict(f"The image id {record.id} is taken: leave it out, or choose another one.")
        self._sql.execute(_insert, msgspec.structs.asdict(record))

    def update(self, record: Image, changes: dict[str, Any], now: datetime) -> Image:
        """The image with other fields."""
        changed = msgspec.structs.replace(record, **{**changes, "updated_at": now})
        values = {name: getattr(changed, name) for name in (*changes, "updated_at")}
        self._sql.execute(update(image).where(image.c.id == record.id, _alive).values(**values))
        return changed

    def delete(self, image_id: str, now: datetime) -> None:
        """Remove all but the id of an image. Its bytes are the caller's to remove, after the commit."""
        self._sql.execute(delete(image_member).where(image_member.c.image_id == image_id))
        gone: dict[str, Any] = dict.fromkeys(("name", "owner", "checksum", "hash_value", "upload_id", "upload_until"))
        gone |= {"status": ImageStatus.DELETED, "properties": {}, "tags": (), "deleted_at": now, "updated_at": now}
        self._sql.execute(update(image).where(image.c.id == image_id, _alive).values(**gone))

    def ids(self) -> set[str]:
        """The ids of all images that there are."""
        return set(self._sql.execute(select(image.c.id).where(_alive)).scalars())

    # Uploads: one at a time holds an image

    def begin_upload(self, record: Image, upload_id: str, until: datetime, now: datetime) -> None:
        """Let an upload hold a queued image. Raises Conflict where its state does not allow that."""
        statement = update(image).where(image.c.id == record.id, _alive, image.c.status == ImageStatus.QUEUED)
        values = {"status": ImageStatus.SAVING, "upload_id": upload_id, "upload_until": until, "updated_at": now}
        if not self._sql.execute(statement.values(**values)).rowcount:
            raise Conflict(
                f"Image {record.id} is {record.status}: data can be uploaded to a queued image, once. "
                "For other data make another image."
            )

    def renew_upload(self, upload_id: str, until: datetime) -> bool:
        """Say that an upload goes on; False where it holds its image no longer."""
        return self._sql.execute(_held(upload_id).values(upload_until=until)).rowcount > 0

    def finish_upload(self, upload_id: str, changes: dict[str, Any], now: datetime) -> bool:
        """Make the image active, with what the upload found out; False where the upload holds it no longer."""
        values = {**changes, "status": ImageStatus.ACTIVE, "updated_at": now}
        return self._sql.execute(_held(upload_id).values(upload_id=None, upload_until=None, **values)).rowcount > 0

    def abandon_upload(self, upload_id: str, now: datetime) -> bool:
        """Put the image back to queued; False where the upload holds it no longer."""
        values = {"status": ImageStatus.QUEUED, "updated_at": now, "upload_id": None, "upload_until": None}
        return self._sql.execute(_held(upload_id).values(**values)).rowcount > 0

    def dead_uploads(self, now: datetime | None) -> Sequence[tuple[str, str]]:
        """(image id, upload id) of uploads whose time to give a sign of life is over; None = all there are."""
        where = [image.c.status == ImageStatus.SAVING, _alive]
        if now is not None:
            where.append(image.c.upload_until < now)
        rows = self._sql.execute(select(image.c.id, image.c.upload_id).where(*where))
        return [(row.id, row.upload_id) for row in rows]


def _held(upload_id: str) -> Any:
    return update(image).where(image.c.upload_id == upload_id, _alive, image.c.status == ImageStatus.SAVING)


def _accepted(project_id: str, status: MemberStatus | None) -> ColumnElement[bool]:
    where = [image_member.c.image_id == image.c.id, image_member.c.member_id == project_id]
    if status is not None:
        where.append(image_member.c.status == status)
    return and_(_shared, exists().where(*where))


def _visible(project_id: str | None) -> ColumnElement[bool]:
    """Whether a project may see an image that it asks for by its id."""
    if project_id is None:
        return true()
    return or_(_open, image.c.owner == project_id, _accepted(project_id, None))


def _listed(by: ImageFilter) -> ColumnElement[bool]:
    """Whether a list shows an image to the one who looks, as far as that is about whose it is."""
    wanted = true() if by.visibility is None else image.c.visibility == by.visibility
    if by.project_id is None:
        return wanted
    seen = [image.c.visibility == Visibility.PUBLIC, image.c.owner == by.project_id]
    seen.append(_accepted(by.project_id, by.member_status))
    if by.all_visible or by.visibility is Visibility.COMMUNITY:
        seen.append(image.c.visibility == Visibility.COMMUNITY)
    return and_(wanted, or_(*seen))


def _conditions(by: ImageFilter) -> list[ColumnElement[bool]]:
    where = [_alive, _listed(by), image.c.hidden == by.hidden]
    for column, value in _equal(by):
        if value is not None:
            where.append(column == value)
    for column, values in _one_of(by):
        if values is not None:
            where.append(column.in_(values) if values else false())
    if by.size_min_bytes is not None:
        where.append(image.c.size_bytes >= by.size_min_bytes)
    if by.size_max_bytes is not None:
        where.append(image.c.size_bytes <= by.size_max_bytes)
    where += [COMPARE[operator](image.c.created_at, moment) for operator, moment in by.created]
    where += [COMPARE[operator](image.c.updated_at, moment) for operator, moment in by.updated]
    where += [_holds(image.c.tags, "[", _json(tag)) for tag in by.tags]
    where += [_holds(image.c.properties, "{", f"{_json(key)}:{_json(value)}") for key, value in by.properties.items()]
    return where


def _equal(by: ImageFilter) -> list[tuple[Column[Any], Any]]:
    return [
        (image.c.protected, by.protected),
        (image.c.owner, by.owner),
        (image.c.checksum, by.checksum),
        (image.c.hash_algorithm, by.hash_algorithm),
        (image.c.hash_value, by.hash_value),
        (image.c.min_disk_gib, by.min_disk_gib),
        (image.c.min_ram_mib, by.min_ram_mib),
        (image.c.size_bytes, by.size_bytes),
    ]


def _one_of(by: ImageFilter) -> list[tuple[Column[Any], tuple[Any, ...] | None]]:
    known = None if by.statuses is None else tuple(word for word in ImageStatus if word.value in by.statuses)
    return [
        (image.c.id, by.ids),
        (image.c.name, by.names),
        (image.c.status, known),
        (image.c.disk_format, by.disk_formats),
        (image.c.container_format, by.container_formats),
    ]


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _holds(column: Column[Any], opening: str, part: str) -> ColumnElement[bool]:
    """Whether a list or an object, kept as JSON text, has an item: it stands after the opening or a comma, and no
    string within holds a bare quote. `replace` compares as it is written, where LIKE would ignore case in SQLite."""
    text = type_coerce(column, String)
    return or_(*(func.replace(text, before + part, "") != text for before in (opening, ",")))
