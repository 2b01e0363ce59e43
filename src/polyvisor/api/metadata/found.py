"""What a path of the metadata service leads to."""

from collections.abc import Iterable
from typing import Any

import msgspec

from polyvisor.model.record import Record

TEXT = "text/plain; charset=UTF-8"
JSON = "application/json"


class Found(Record):
    """A body, and what it is."""

    body: bytes
    content_type: str = TEXT


def text(value: str) -> Found:
    """A text as it stands."""
    return Found(body=value.encode())


def listing(names: Iterable[str]) -> Found:
    """Names, one a line, without an end of the last."""
    return text("\n".join(names))


def json(value: Any) -> Found:
    """A JSON document."""
    return Found(body=msgspec.json.encode(value), content_type=JSON)
