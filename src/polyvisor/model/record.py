"""The base of every record: frozen, keyword-only, compared by value."""

from typing import Any, dataclass_transform

import msgspec


class _RecordType(msgspec.StructMeta):
    """Makes each record's fields keyword-only: msgspec hands `frozen` on to subclasses, but not `kw_only`."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> "_RecordType":
        return super().__new__(cls, name, bases, namespace, **{"kw_only": True, **options})


# Type checkers do not see that a Struct's `frozen` and `kw_only` are handed on to its subclasses; this tells them.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, metaclass=_RecordType, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that crosses layers; `msgspec.json` writes and reads it as it stands."""


class Told(Record, forbid_unknown_fields=False):
    """A record that passes between processes of different releases: fields that a newer one added are passed over."""
