"""What a list of images can be asked for."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

import msgspec

from polyvisor.api.kit import Call, Page
from polyvisor.api.kit.filters import comparison, one_of
from polyvisor.api.kit.paging import Sort, sort_pairs, sort_string
from polyvisor.api.kit.times import parse
from polyvisor.model.errors import Invalid
from polyvisor.model.image import ImageFilter, MemberStatus, Visibility
from polyvisor.store.image import SORT_KEYS

_Count = Annotated[int, msgspec.Meta(ge=0)]
_ALL = "all"
_Word = TypeVar("_Word", bound=StrEnum)


class ImageQuery(Page, frozen=True, kw_only=True):
    """The parameters with a meaning of their own; any other one names a property, which must have that value."""

    id: str | None = None
    name: str | None = None
    status: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    visibility: str | None = None
    member_status: str | None = None
    owner: str | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    os_hidden: bool = False
    protected: bool | None = None
    tag: list[str] = []
    size: _Count | None = None
    size_min: _Count | None = None
    size_max: _Count | None = None
    min_disk: _Count | None = None
    min_ram: _Count | None = None
    created_at: list[str] = []
    updated_at: list[str] = []
    sort: str | None = None
    sort_key: list[str] = []
    sort_dir: list[str] = []


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(ImageQuery))


def filter_of(call: Call, query: ImageQuery) -> ImageFilter:
    """Which images are asked for. Raises Invalid."""
    visibility = query.visibility
    status = query.member_status or MemberStatus.ACCEPTED.value
    return ImageFilter(
        project_id=call.owner,
        visibility=None if visibility is None or visibility == _ALL else _word("visibility", visibility, Visibility),
        all_visible=visibility == _ALL,
        member_status=None if status == _ALL else _word("member_status", status, MemberStatus),
        hidden=query.os_hidden,
        protected=query.protected,
        ids=_several(query.id, "id"),
        names=_several(query.name, "name"),
        statuses=_several(query.status, "status"),
        disk_formats=_several(query.disk_format, "disk_format"),
        container_formats=_several(query.container_format, "container_format"),
        owner=query.owner,
        checksum=query.checksum,
        hash_algorithm=query.os_hash_algo,
        hash_value=query.os_hash_value,
        min_disk_gib=query.min_disk,
        min_ram_mib=query.min_ram,
        size_bytes=query.size,
        size_min_bytes=query.size_min,
        size_max_bytes=query.size_max,
        created=_moments(query.created_at, "created_at"),
        updated=_moments(query.updated_at, "updated_at"),
        tags=tuple(query.tag),
        properties=_properties(call),
    )


def order_of(query: ImageQuery) -> list[Sort]:
    """How the list is sorted: `sort=name:asc,size:desc`, or `sort_key` and `sort_dir`; newest first otherwise."""
    known = tuple(SORT_KEYS)
    if query.sort is not None:
        if query.sort_key or query.sort_dir:
            raise Invalid("Give either sort, or sort_key and sort_dir.")
        return sort_string(query.sort, known)
    directions = query.sort_dir or ["desc"]
    return sort_pairs(query.sort_key, directions, known, [("created_at", "desc")])


def _word(name: str, value: str, kind: type[_Word]) -> _Word:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join([*kind, _ALL])
        raise Invalid(f"The query parameter '{name}' is invalid: one of {known} is expected.") from None


def _several(value: str | None, name: str) -> tuple[str, ...] | None:
    return None if value is None else one_of(value, name) or (value,)


def _moments(texts: list[str], name: str) -> tuple[tuple[str, datetime], ...]:
    pairs = [comparison(text, name) for text in texts]
    return tuple((operator, parse(text, name)) for operator, text in pairs)


def _properties(call: Call) -> dict[str, str]:
    pairs = parse_qsl(call.request.raw_query, keep_blank_values=True)
    return {name: value for name, value in pairs if name not in _KNOWN}
