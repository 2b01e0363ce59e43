"""The fields of an image that a client may set, in the Image API's words: how each is checked and what it becomes."""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from polyvisor.api.image.settings import ImageSettings
from polyvisor.model.errors import Forbidden, Invalid, TooLarge
from polyvisor.model.image import Image, Visibility
from polyvisor.model.image_format import (
    MONOLITHIC_FLAT,
    SUBFORMAT_OF_DISKTYPE,
    ContainerFormat,
    DiskFormat,
    why_not_together,
)

MAX_TEXT = 255
DISKTYPE = "vmware_disktype"
_MAX_NUMBER = 2**31 - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

READ_ONLY = frozenset(
    ("created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self", "file", "schema",
     "os_hash_algo", "os_hash_value")
)  # fmt: skip
"""What the service says of an image, and nobody sets."""
RESERVED = frozenset(("locations", "stores", "deleted", "deleted_at"))
RESERVED_PREFIX = "os_glance_"


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) > MAX_TEXT):
        raise Invalid(f"The field '{name}' is invalid: at most {MAX_TEXT} characters, or null, are expected.")
    return value


def _number(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
        raise Invalid(f"The field '{name}' is invalid: an integer from 0 to {_MAX_NUMBER} is expected.")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"The field '{name}' is invalid: true or false is expected.")
    return value


def _word(kind: type[StrEnum]) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        try:
            return kind(value)
        except ValueError:
            known = ", ".join(kind)
            raise Invalid(f"The field '{name}' is invalid: one of {known} is expected, not {shown(value)}.") from None

    return check


def _word_or_none(kind: type[StrEnum]) -> Callable[[str, Any], str | None]:
    word = _word(kind)

    def check(name: str, value: Any) -> str | None:
        return None if value is None else str(word(name, value))

    return check


def tag_text(value: Any) -> str:
    """A tag. Raises Invalid."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise Invalid(f"The field 'tags' is invalid: a tag is a string of 1 to {MAX_TEXT} characters.")
    return value


def _tags(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Invalid(f"The field '{name}' is invalid: a list of strings is expected.")
    return tuple(dict.fromkeys(tag_text(tag) for tag in value))


FIELDS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "name": ("name", _text),
    "owner": ("owner", _text),
    "visibility": ("visibility", _word(Visibility)),
    "disk_format": ("disk_format", _word_or_none(DiskFormat)),
    "container_format": ("container_format", _word_or_none(ContainerFormat)),
    "min_disk": ("min_disk_gib", _number),
    "min_ram": ("min_ram_mib", _number),
    "protected": ("protected", _truth),
    "os_hidden": ("hidden", _truth),
    "tags": ("tags", _tags),
}
"""The API's name → the record's field, and the check."""


def shown(value: Any) -> str:
    """A value in a sentence, not too long."""
    return msgspec.json.encode(value).decode()[:64]


def image_id(value: Any) -> str:
    """An id that a client chose. Raises Invalid unless it is a UUID."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise Invalid(f"The field 'id' is invalid: a UUID is expected, not {shown(value)}.")
    return value


def check_settable(name: str) -> None:
    """Raise Forbidden for a field that is the service's own."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_whole(image: Image) -> None:
    """What the fields of an image have to say together. Raises Invalid."""
    if image.disk_format and image.container_format:
        why = why_not_together(DiskFormat(image.disk_format), ContainerFormat(image.container_format))
        if why:
            raise Invalid(why)
    _check_disktype(image)


def _check_disktype(image: Image) -> None:
    """A VMDK's `vmware_disktype` says how its bytes are read: once there are some, it cannot say anything else."""
    if (
        image.subformat is None
        or image.disk_format != DiskFormat.VMDK
        or image.container_format != ContainerFormat.BARE
    ):
        return
    word = image.properties.get(DISKTYPE)
    if SUBFORMAT_OF_DISKTYPE.get(word or "") != image.subformat and (word or image.subformat == MONOLITHIC_FLAT):
        fitting = [word for word, subformat in SUBFORMAT_OF_DISKTYPE.items() if subformat == image.subformat]
        raise Invalid(
            f"The data of image {image.id} is {image.subformat}: {DISKTYPE} can be {', '.join(fitting)} only."
        )


def check_counts(image: Image, settings: ImageSettings, before: Image | None = None) -> None:
    """Raise TooLarge for more properties or tags than an image may have; not where `before` had as many already, for
    an upload may have added what its bytes say."""
    for what, had, count, most in (
        ("properties", len(before.properties) if before else 0, len(image.properties), settings.max_properties),
        ("tags", len(before.tags) if before else 0, len(image.tags), settings.max_tags),
    ):
        if count > most and count > had:
            raise TooLarge(f"The image would have {count} {what}: at most {most} are allowed.")
