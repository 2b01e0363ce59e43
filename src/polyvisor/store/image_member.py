"""Image members in the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Column, ColumnElement, ForeignKey, String, Table, bindparam, delete, insert, select, update

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.image import MemberStatus
from polyvisor.model.image_member import ImageMember
from polyvisor.store.tables import Moment, Word, metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

image_member = Table(
    "image_member",
    metadata,
    Column("image_id", String(64), ForeignKey("image.id"), primary_key=True),
    Column("member_id", String(255), primary_key=True, index=True),
    Column("status", Word(MemberStatus), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
_FIELDS = ImageMember.__struct_fields__
_all = select(*(image_member.c[name] for name in _FIELDS))
_of_image = _all.where(image_member.c.image_id == bindparam("image")).order_by(
    image_member.c.created_at, image_member.c.member_id
)
_get = _all.where(image_member.c.image_id == bindparam("image"), image_member.c.member_id == bindparam("member"))


class ImageMembers:
    """The statements on image members. Who may see an image is checked where the image is read."""

    def __init__(self, store: Store) -> None:
        self._sql = store.connection

    def get(self, image_id: str, member_id: str) -> ImageMember:
        """One member. Raises NotFound."""
        row = self._sql.execute(_get, {"image": image_id, "member": member_id}).first()
        if row is None:
            raise NotFound(f"Project {member_id} is not a member of image {image_id}.")
        return ImageMember(**row._mapping)

    def list(self, image_id: str) -> Sequence[ImageMember]:
        """Every member of an image, in the order they were invited."""
        return [ImageMember(**row._mapping) for row in self._sql.execute(_of_image, {"image": image_id})]

    def create(self, record: ImageMember) -> None:
        """Invite a project. Raises Conflict where it is a member already."""
        values = {"image": record.image_id, "member": record.member_id}
        if self._sql.execute(_get, values).first() is not None:
            raise Conflict(f"Project {record.member_id} is a member of image {record.image_id} already.")
        self._sql.execute(insert(image_member), {name: getattr(record, name) for name in _FIELDS})

    def update(self, image_id: str, member_id: str, status: MemberStatus, now: datetime) -> ImageMember:
        """Record what the project answered. Raises NotFound."""
        statement = update(image_member).where(*_pair(image_id, member_id))
        self._sql.execute(statement.values(status=status, updated_at=now))
        return self.get(image_id, member_id)

    def delete(self, image_id: str, member_id: str) -> None:
        """Share no longer. Raises NotFound."""
        if not self._sql.execute(delete(image_member).where(*_pair(image_id, member_id))).rowcount:
            raise NotFound(f"Project {member_id} is not a member of image {image_id}.")


def _pair(image_id: str, member_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return image_member.c.image_id == image_id, image_member.c.member_id == member_id
