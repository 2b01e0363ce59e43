"""The members of an uncompressed tar (POSIX ustar, GNU sizes, pax sizes and names), read without trusting any of it."""

from collections.abc import Callable, Iterator

from polyvisor.image.errors import ImageRefused
from polyvisor.model.record import Record

BLOCK_BYTES = 512
_MOST_MEMBERS = 64
_MOST_HEADERS = 4 * _MOST_MEMBERS
_LONGEST_PAX = 64 << 10
_REGULAR = (b"0", b"\0")


class Member(Record):
    """A regular file in the archive."""

    name: str
    offset: int
    size: int


def members(read_at: Callable[[int, int], bytes]) -> Iterator[Member]:
    """Each member in order; `read_at(offset, length)` gives the archive's bytes. Links, devices, folders, names with a
    folder in them and doubled names are refused. Where the archive ends early the last member is yielded still, with
    its full size: whoever needs its bytes compares."""
    position = 0
    seen: set[str] = set()
    longer: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        header = read_at(position, BLOCK_BYTES)
        if len(header) < BLOCK_BYTES or not header.strip(b"\0"):
            return
        if header[257:262] != b"ustar" or _number(header[148:156]) != _checksum(header):
            raise ImageRefused("The OVA's archive is not in order: it is damaged, or no tar in ustar form.")
        kind, size = header[156:157], _number(header[124:136])
        position += BLOCK_BYTES
        if kind in (b"x", b"g"):
            longer = _pax(read_at(position, size), size) if kind == b"x" else longer
        else:
            size = int(longer.get("size", size))
            name = longer.get("path") or _name(header)
            longer = {}
            _check(name, kind, seen)
            yield Member(name=name, offset=position, size=size)
        position += (size + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES
    raise ImageRefused(f"The OVA's archive has more than {_MOST_HEADERS} headers.")


def _check(name: str, kind: bytes, seen: set[str]) -> None:
    shown = "".join(character if character.isprintable() else "?" for character in name[:80])
    if kind not in _REGULAR:
        raise ImageRefused(
            f"The OVA holds {shown!r}, which is a link, a folder or a device; an OVA holds plain files only."
        )
    if "/" in name or "\\" in name or name in ("", ".", "..") or "\0" in name:
        raise ImageRefused(f"The OVA holds {shown!r}, a name with a path in it; an OVA's files lie side by side.")
    if name in seen:
        raise ImageRefused(f"The OVA holds {shown!r} twice.")
    seen.add(name)
    if len(seen) > _MOST_MEMBERS:
        raise ImageRefused(f"The OVA holds more than {_MOST_MEMBERS} files.")


def _name(header: bytes) -> str:
    name, prefix = (part.split(b"\0", 1)[0] for part in (header[:100], header[345:500]))
    # GNU's own form has times where ustar has the prefix.
    whole = prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name
    return whole.decode("utf-8", "replace")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise ImageRefused("The OVA's archive has a number that is none: it is damaged.") from None


def _checksum(header: bytes) -> int:
    return sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _pax(record: bytes, size: int) -> dict[str, str]:
    """The names and sizes of a pax record: lines of "LENGTH KEY=VALUE\\n"."""
    if size > _LONGEST_PAX or len(record) < size:
        raise ImageRefused("The OVA's archive has an extended header that is too long or cut off.")
    found = {}
    try:
        while record:
            length = int(record.split(b" ", 1)[0])
            key, _, value = record[:length].split(b" ", 1)[1].decode().removesuffix("\n").partition("=")
            if key == "size":
                value = str(int(value))
            if key.startswith("GNU.sparse") or value.startswith("-") or length <= 0:
                raise ValueError(key)
            found[key] = value
            record = record[length:]
    except (ValueError, IndexError):
        raise ImageRefused("The OVA's archive has an extended header that is not understood.") from None
    return found
