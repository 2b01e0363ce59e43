"""The way for QEMU's user to its guests' files: found where it is closed, and opened for that user alone by an ACL.

A data directory is closed to others, as it should be. To pass through it, not to list it, is all that QEMU needs. The
ACL (acl(5), in the kernel's own form) is what virt-install sets, too, in the same case.
"""

import os
import stat
import struct
from pathlib import Path

from polyvisor.model.record import Record

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _GROUP, _NAMED_GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_PASS = 1


class Entry(Record):
    """One line of an ACL."""

    tag: int
    permissions: int
    id: int = _NOBODY


def closed_to(directory: Path, user: tuple[int, int] | None) -> list[Path]:
    """The directories on the way down to `directory`, itself included, that (uid, gid) may not pass through."""
    if user is None or user[0] == 0:
        return []
    absolute = directory.resolve()
    return [step for step in (*reversed(absolute.parents), absolute) if not _lets_through(step, *user)]


def let_through(directory: Path, user: tuple[int, int] | None) -> list[Path]:
    """Open what is closed on the way down to `directory` and is ours, for this user; returns what was opened."""
    opened = []
    for step in closed_to(directory, user):
        if user is None or step.stat().st_uid != os.geteuid():
            continue
        entries = [entry for entry in _read(step) if (entry.tag, entry.id) != (_USER, user[0])]
        entries.append(Entry(tag=_USER, permissions=_PASS, id=user[0]))
        group = next(entry.permissions for entry in entries if entry.tag == _GROUP)
        mask = next((entry.permissions for entry in entries if entry.tag == _MASK), group)
        entries = [entry for entry in entries if entry.tag != _MASK]
        try:
            _write(step, [*entries, Entry(tag=_MASK, permissions=mask | _PASS)])
        except OSError:  # a file system without ACLs: the host's report says that it is closed
            continue
        opened.append(step)
    return opened


def _lets_through(step: Path, uid: int, gid: int) -> bool:
    status = step.stat()
    entries = _read(step)
    mask = next((entry.permissions for entry in entries if entry.tag == _MASK), 7)
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if named := [entry for entry in entries if (entry.tag, entry.id) == (_USER, uid)]:
        return bool(named[0].permissions & mask & _PASS)
    groups = [entry for entry in entries if (entry.tag, entry.id) == (_NAMED_GROUP, gid)]
    groups += [entry for entry in entries if entry.tag == _GROUP and status.st_gid == gid]
    if groups:
        return any(entry.permissions & mask & _PASS for entry in groups)
    return bool(status.st_mode & stat.S_IXOTH)


def _read(step: Path) -> list[Entry]:
    """The directory's ACL; where it has none, the one that its mode stands for."""
    try:
        value = os.getxattr(step, _ATTRIBUTE)
    except OSError:
        mode = step.stat().st_mode
        shifts = ((_OWNER, 6), (_GROUP, 3), (_OTHER, 0))
        return [Entry(tag=tag, permissions=mode >> shift & 7) for tag, shift in shifts]
    found = _ENTRY.iter_unpack(value[len(_VERSION) :])
    return [Entry(tag=tag, permissions=permissions, id=id) for tag, permissions, id in found]


def _write(step: Path, entries: list[Entry]) -> None:
    ordered = sorted(entries, key=lambda entry: (entry.tag, entry.id))  # as the kernel wants them
    lines = [_ENTRY.pack(entry.tag, entry.permissions, entry.id) for entry in ordered]
    os.setxattr(step, _ATTRIBUTE, _VERSION + b"".join(lines))
