"""Types of fields that several resources of the Compute API take, as loosely as Nova takes them."""

import ipaddress
from typing import Annotated

import msgspec

from polyvisor.model.errors import Invalid

MOST = 2_147_483_647
"""The largest number that the Compute API takes anywhere."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^\S(.*\S)?$")]
"""Printable text that neither begins nor ends with white space."""
Digits = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,10}$")]
Whole = int | Digits
"""A whole number, which old clients write as text."""
Truth = bool | Annotated[str, msgspec.Meta(max_length=8)]
"""A boolean, which old clients write as text."""
MetadataKey = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-_:. ]{1,255}$")]
MetadataValue = Annotated[str, msgspec.Meta(max_length=255)]


def whole(value: int | str, name: str, least: int = 0, most: int = MOST) -> int:
    """The number of a Whole. Raises Invalid, naming the field, for one that is out of bounds."""
    number = int(value)
    if not least <= number <= most:
        raise Invalid(f"The field '{name}' is invalid: a number from {least} to {most} is expected, not {number}.")
    return number


def number(text: str) -> int:
    """The number of an id in a path. Raises ValueError for what is none, or larger than any."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > MOST:
        raise ValueError(text)
    return int(text)


def truth(value: bool | str, name: str) -> bool:
    """The boolean of a Truth. Raises Invalid, naming the field, for any other text."""
    if isinstance(value, bool):
        return value
    lowered = value.strip().lower()
    if lowered in ("1", "t", "true", "on", "y", "yes"):
        return True
    if lowered in ("0", "f", "false", "off", "n", "no"):
        return False
    raise Invalid(f"The field '{name}' is invalid: true or false is expected.")


def address(text: str, version: int, name: str) -> str:
    """The IP address of that version in its shortest form; "" means none. Raises Invalid, naming the field."""
    if not text:
        return ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or found.version != version:
        raise Invalid(f"The field '{name}' is invalid: an IPv{version} address is expected.")
    return str(found)
