"""OVA: a tar with an OVF, its manifest of digests, and one VMDK, which is used where it lies."""

import hmac
import re

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import HEAD_BYTES, Facts
from polyvisor.image.formats.detect import detect
from polyvisor.image.formats.ovf import Ovf, parse_ovf
from polyvisor.image.formats.tar import Member, members
from polyvisor.image.formats.vmdk import SECTOR_BYTES, FlatVmdk, Vmdk, flat_extent, parse_descriptor
from polyvisor.image.window import Window
from polyvisor.model.record import Record

_LONGEST_TEXT = 4 << 20
_DIGEST_LINE = re.compile(r"^(SHA1|SHA256|SHA512)\s*\(([^()]+)\)\s*=\s*([0-9a-fA-F]+)$")
_CUT_OFF = "The OVA ends within one of its files: it is truncated; upload it again."


class Contents(Record):
    """Where things lie in an OVA."""

    disk: Member
    ovf: Ovf
    flat: bool
    """True when `disk` is the flat extent of a monolithicFlat or VMFS disk."""
    needed: tuple[str, ...]
    """The files that the image is made of, each of which the manifest must vouch for if there is one."""
    files: dict[str, Member]


class Ova:
    """The check of an OVA."""

    def head(self, head: bytes) -> None:
        """Check the first file, and all names that have come so far."""

        def read_at(offset: int, length: int) -> bytes:
            return head[offset : offset + length]

        for number, member in enumerate(members(read_at)):
            if number == 0 and not member.name.lower().endswith(".ovf"):
                raise ImageRefused("The archive does not begin with an .ovf file, as an OVA must.")

    def whole(self, image: Window) -> Facts:
        """Check every file's name, the digests, and the disk."""
        contents = locate(image)
        _check_digests(image, contents)
        disk = image.inside(contents.disk.offset, contents.disk.size)
        check = FlatVmdk() if contents.flat else Vmdk()
        check.head(disk.read_at(0, HEAD_BYTES))
        facts = check.whole(disk)
        return Facts(
            subformat=facts.subformat,
            properties=facts.properties | contents.ovf.properties,
            memory_mib=contents.ovf.memory_mib,
            disk=disk,
        )


def locate(image: Window) -> Contents:
    """Find the disk; no digest is computed."""
    files = {member.name: member for member in members(image.read_at)}
    if any(member.offset + member.size > image.size for member in files.values()):
        raise ImageRefused(_CUT_OFF)
    descriptors = [name for name in files if name.lower().endswith(".ovf")]
    if len(descriptors) != 1 or next(iter(files)) != descriptors[0]:
        raise ImageRefused("An OVA begins with its .ovf file, and has one.")
    ovf = parse_ovf(_text(image, files[descriptors[0]]))
    disk = files.get(ovf.disk_file)
    if disk is None:
        raise ImageRefused("The OVA's .ovf names a disk file that is not in the archive.")
    extent = _extent(image, disk, files)
    needed = (descriptors[0], disk.name, *([extent.name] if extent else ()))
    return Contents(disk=extent or disk, ovf=ovf, flat=extent is not None, needed=needed, files=files)


def _extent(image: Window, disk: Member, files: dict[str, Member]) -> Member | None:
    """The file that a flat disk's descriptor names, which must lie in the same archive; None for a sparse disk."""
    beginning = image.inside(disk.offset, disk.size).read_at(0, 64 << 10)
    if beginning.startswith(b"KDMV") or disk.size > len(beginning) or "vmdk" not in detect(beginning):
        return None
    named = flat_extent(parse_descriptor(beginning))
    file = files.get(named.file_name) if named else None
    if named is None or file is None or named.offset_sectors or file.size < named.sectors * SECTOR_BYTES:
        raise ImageRefused(
            "The OVA's disk is a descriptor whose data is not in the archive; export it again as one file."
        )
    return Member(name=file.name, offset=file.offset, size=named.sectors * SECTOR_BYTES)


def _check_digests(image: Window, contents: Contents) -> None:
    manifests = [member for name, member in contents.files.items() if name.lower().endswith(".mf")]
    if not manifests:
        return
    vouched = set()
    for line in _text(image, manifests[0]).decode("utf-8", "replace").splitlines():
        if not line.strip():
            continue
        found = _DIGEST_LINE.match(line.strip())
        if not found:
            raise ImageRefused(
                "The OVA's manifest has a line that is not understood (SHA1, SHA256 or SHA512 digests are)."
            )
        algorithm, name, digest = found.groups()
        file = contents.files.get(name)
        if file is None or name in vouched:
            raise ImageRefused("The OVA's manifest names a file twice, or one that is not in the archive.")
        actual = image.inside(file.offset, file.size).digest(algorithm.lower())
        if not hmac.compare_digest(actual, digest.lower()):
            raise ImageRefused(
                f"The digest of {name!r} is not the one in the OVA's manifest: the OVA was changed or damaged."
            )
        vouched.add(name)
    if missing := set(contents.needed) - vouched:
        raise ImageRefused(f"The OVA's manifest has no digest of {', '.join(sorted(missing))}.")


def _text(image: Window, member: Member) -> bytes:
    if member.size > _LONGEST_TEXT:
        raise ImageRefused(f"The OVA's {member.name!r} is too long.")
    return image.read_at(member.offset, member.size)
