"""Query parameters: decoded into a Struct, every one of them known, with sentences for what is wrong."""

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from polyvisor.api.kit.schema import words
from polyvisor.model.errors import Invalid

_TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
_FALSE = frozenset(("0", "f", "false", "off", "n", "no"))


class NoQuery(msgspec.Struct, frozen=True):
    """A route that takes no query parameters, and ignores what comes."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The base of a list's query: how much, and from where."""

    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None
    marker: str | None = None


Parse = Callable[[str], Any]


@cache
def parser(kind: type[msgspec.Struct], *, ignore_unknown: bool = False) -> Parse:
    """A function from the raw query string to `kind`; a field of list type takes a parameter that comes several times.

    A boolean takes what OpenStack takes (1/t/true/on/y/yes and their opposites; nothing at all is true). It raises
    Invalid with a sentence that names the parameter.
    """
    fields = {field.encode_name: _shape(hint) for field, hint in _hints(kind)}
    empty = ()

    def parse(raw: str) -> Any:
        found: dict[str, Any] = {}
        for name, value in parse_qsl(raw, keep_blank_values=True) if raw else empty:
            if name not in fields:
                if ignore_unknown:
                    continue
                raise Invalid(_unknown(name, fields))
            many, boolean = fields[name]
            converted = _boolean(name, value) if boolean else value
            if many:
                found.setdefault(name, []).append(converted)
            elif name in found:
                raise Invalid(f"The query parameter '{name}' may be given once only.")
            else:
                found[name] = converted
        try:
            return msgspec.convert(found, kind, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid(_sentence(error)) from None

    return parse


def _hints(kind: type[msgspec.Struct]) -> list[tuple[msgspec.structs.FieldInfo, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    return [(field, hints[field.name]) for field in msgspec.structs.fields(kind)]


def _shape(hint: Any) -> tuple[bool, bool]:
    """Whether a field takes many values, and whether they are booleans."""
    if get_origin(hint) is Annotated:
        return _shape(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        shapes = [_shape(part) for part in get_args(hint)]
        return any(many for many, _ in shapes), any(boolean for _, boolean in shapes)
    if get_origin(hint) in (list, tuple):
        return True, any(_shape(part)[1] for part in get_args(hint) if part is not Ellipsis)
    return False, hint is bool


def _boolean(name: str, value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in _TRUE or not lowered:
        return True
    if lowered in _FALSE:
        return False
    raise Invalid(f"The query parameter '{name}' is invalid: true or false is expected, not '{value[:64]}'.")


def _unknown(name: str, fields: dict[str, tuple[bool, bool]]) -> str:
    known = ", ".join(sorted(fields)) if fields else "none"
    return f"The query parameter '{name[:64]}' is not known here. Known are: {known}."


def _sentence(error: msgspec.ValidationError) -> str:
    message, _, where = str(error).partition(" - at `$")
    name = where.rstrip("`").lstrip(".").split("[")[0]
    if not name:
        return f"The query is invalid: {message}."
    return f"The query parameter '{name}' is invalid: {words(message)}."
