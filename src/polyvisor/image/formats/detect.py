"""Which formats the first bytes of an image could be taken for: oslo.utils' inspectors, and a few more signatures."""

import contextlib
import logging
from typing import Any

from oslo_utils.imageutils import format_inspector

# What it complains of is our sentence to the user already; a hostile upload could write pages into the log.
logging.getLogger(format_inspector.__name__).setLevel(logging.CRITICAL)

_SIGNATURES = {
    # oslo knows these as well, where there are 512 bytes.
    "qcow2": b"QFI\xfb",
    "vmdk": b"KDMV",
    "vhd": b"conectix",
    "vhdx": b"vhdxfile",
    "qed": b"QED\0",
    "gzip": b"\x1f\x8b\x08",
    "xz": b"\xfd7zXZ\x00",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
    "7z": b"7z\xbc\xaf\x27\x1c",
    "vmdk3": b"COWD",
    "ploop": b"WithoutFreeSpace",
    "ploop2": b"WithouFreSpacExt",
}
_SESPARSE = (0x00000000CAFEBABE).to_bytes(8, "little")

COMPRESSED = frozenset({"gzip", "xz", "zstd", "zip", "7z", "bzip2"})
"""Files that hold an image packed by a general-purpose packer."""


def detect(head: bytes) -> frozenset[str]:
    """Names of all formats whose signature is there: oslo's "qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "iso", "gpt"
    (an MBR as well), "luks", and ours "tar", "vmdk3", "sesparse", "ploop", and COMPRESSED. Empty: nothing known, so
    raw."""
    found = {name for name, kind in format_inspector.ALL_FORMATS.items() if name != "raw" and _matches(kind, head)}
    found |= {name for name, signature in _SIGNATURES.items() if head.startswith(signature)}
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        found.add("bzip2")
    if head[257:262] == b"ustar":
        found.add("tar")
    if head.startswith(_SESPARSE):
        found.add("sesparse")
    if head[:512].lstrip().lower().startswith(b"# disk descriptorfile"):
        found.add("vmdk")
    return frozenset(found)


def _matches(kind: Any, head: bytes) -> bool:
    inspector = kind()
    # An inspector that cannot go on has still seen its signature, or has not.
    with contextlib.suppress(Exception):
        inspector.eat_chunk(head)
    inspector.finish()
    try:
        return bool(inspector.format_match)
    except AttributeError:
        # The VMDK inspector has no verdict on text that turns into something else: then it is no descriptor.
        return False


def safety(name: str, *chunks: bytes) -> frozenset[str]:
    """The names of oslo's safety checks that an image of this format fails, given its first and its last bytes;
    "unreadable" where its structures do not hold together."""
    inspector = format_inspector.ALL_FORMATS[name]()
    try:
        for chunk in chunks:
            inspector.eat_chunk(chunk)
        inspector.finish()
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as failed:
        return frozenset(failed.failures)
    except format_inspector.ImageFormatError:
        return frozenset({"unreadable"})
    return frozenset()
