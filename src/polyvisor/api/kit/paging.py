"""Pages of a list: how many, after which, and the link to what follows."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from polyvisor.api.kit.call import Call
from polyvisor.model.errors import Invalid


def limit_of(call: Call, asked: int | None) -> int:
    """The page size: what was asked, at most the setting's `max_limit`; that also where nothing was asked."""
    most = call.settings.max_limit
    return most if asked is None else min(asked, most)


def next_url(call: Call, marker: str, *, base: str | None = None) -> str:
    """This request's address with another marker; `base` replaces what stands before the "?"."""
    pairs = [
        (name, value) for name, value in parse_qsl(call.request.raw_query, keep_blank_values=True) if name != "marker"
    ]
    where = f"{call.request.base_url}{call.request.path}" if base is None else base
    return f"{where}?{urlencode([*pairs, ('marker', marker)])}"


def next_links(call: Call, key: str, ids: Sequence[str], limit: int) -> dict[str, Any]:
    """Nova's and Neutron's link, {"servers_links": [{"rel": "next", …}]}, where the page is full; else nothing."""
    if not ids or len(ids) < limit:
        return {}
    return {f"{key}_links": [{"rel": "next", "href": next_url(call, ids[-1])}]}


Sort = tuple[str, str]
"""A key, and "asc" or "desc"."""


def sort_pairs(
    keys: Sequence[str], directions: Sequence[str], known: Sequence[str], default: Sequence[Sort]
) -> list[Sort]:
    """`sort_key` and `sort_dir`, each repeatable, as pairs; a key without a direction takes the first one's.

    Raises Invalid for a key that is not in `known` or a direction that is neither asc nor desc.
    """
    if len(directions) > len(keys) and not (len(keys) == 0 and len(directions) == 1):
        raise Invalid("There are more sort_dir than sort_key.")
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise Invalid(f"'sort_dir' is invalid: asc or desc is expected, not '{direction[:64]}'.")
    for key in keys:
        if key not in known:
            raise Invalid(f"'sort_key' is invalid: one of {', '.join(sorted(known))} is expected, not '{key[:64]}'.")
    rest = directions[0] if directions else "asc"
    if not keys:
        return [(key, directions[0] if directions else way) for key, way in default]
    return [(key, directions[at] if at < len(directions) else rest) for at, key in enumerate(keys)]


def sort_string(text: str, known: Sequence[str], default_direction: str = "desc") -> list[Sort]:
    """Glance's and Cinder's `sort=name:asc,size:desc` as pairs. Raises Invalid as `sort_pairs` does."""
    parts = [part.strip().partition(":") for part in text.split(",")]
    return sort_pairs([key for key, _, _ in parts], [way or default_direction for _, _, way in parts], known, ())
