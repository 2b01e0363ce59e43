"""Types of fields, as Neutron takes them: booleans and numbers may come as text."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from polyvisor.model.errors import Invalid
from polyvisor.model.mac import canonical

Name = Annotated[str, msgspec.Meta(max_length=255)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
Truth = bool | int | str
Number = int | Annotated[str, msgspec.Meta(pattern="^-?[0-9]{1,18}$")]
Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")]
Project = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Tags = list[Annotated[str, msgspec.Meta(min_length=1, max_length=255)]]
MOST_TAGS = 50
_TRUTHS = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}


def invalid(sentence: str) -> Invalid:
    """The error for a value that is not what it must be."""
    return Invalid(f"Invalid input for operation: {sentence}", kind="InvalidInput")


def truth(value: Truth, name: str) -> bool:
    """A boolean, from what Neutron takes for one. Raises Invalid."""
    known = _TRUTHS.get(value.lower() if isinstance(value, str) else value)
    if known is None:
        raise invalid(f"'{str(value)[:64]}' is not a valid boolean value for '{name}': true or false is expected.")
    return known


def number(value: Number, name: str, least: int, most: int) -> int:
    """A number within bounds. Raises Invalid."""
    found = int(value)
    if not least <= found <= most:
        raise invalid(f"'{found}' is not valid for '{name}': a number from {least} to {most} is expected.")
    return found


def mac(value: str) -> str:
    """A MAC address. Raises Invalid."""
    return canonical(value)


def given(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that a body has, by their own names."""
    found = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: value for name, value in found.items() if value is not UNSET}


def given_new(body: msgspec.Struct) -> dict[str, Any]:
    """The fields of a body that makes a record, by their own names; its tags as they are kept. Raises Invalid."""
    values = given(body)
    if "tags" in values:
        values["tags"] = kept_tags(values["tags"])
    return values


def kept_tags(wanted: list[str]) -> tuple[str, ...]:
    """Each tag once, sorted as Neutron shows them. Raises Invalid where they are too many for one record."""
    kept = tuple(sorted(set(wanted)))
    if len(kept) > MOST_TAGS:
        raise Invalid(f"A resource may have {MOST_TAGS} tags at most: {len(kept)} are too many.")
    return kept


def named(body: msgspec.Struct) -> list[str]:
    """The fields that a body has, by the API's names."""
    encoded = dict(zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True))
    return [encoded[name] for name in given(body)]


_DEFAULTS: dict[str, tuple[Any, ...]] = {"port_security_enabled": (True, 1, "true", "True")}
_NOTHING: tuple[Any, ...] = (None, False, "", "false", "False", [], {})


def chosen(body: msgspec.Struct) -> list[str]:
    """The fields of a new record that ask for more than they would be anyway, by the API's names.

    Clients send defaults along, and nobody needs leave for those.
    """
    encoded = dict(zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True))
    return [encoded[name] for name, value in given(body).items() if value not in _DEFAULTS.get(name, _NOTHING)]


def truths(values: dict[str, Any], *names: str) -> None:
    """Make booleans of these, where they are given."""
    for name in names:
        if name in values:
            values[name] = truth(values[name], name)


__all__ = [
    "UNSET", "Address", "Id", "Name", "Number", "Project", "Tags", "Text", "Truth", "UnsetType",
    "chosen", "given", "given_new", "invalid", "kept_tags", "mac", "named", "number", "truth", "truths",
]  # fmt: skip
