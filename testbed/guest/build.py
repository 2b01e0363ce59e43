"""Builds the guest image from Debian packages, once per state of its sources, and keeps it in `.cache/testbed`."""

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.guest import disk, ramdisk
from testbed.guest.debian import Archive

SOURCES = Path(__file__).parent
CACHE = SOURCES.parents[1] / ".cache" / "testbed"


@dataclass(frozen=True)
class GuestImage:
    """The files of one built image, all in one directory of the cache; nobody may change them.

    One disk in three formats (BIOS and UEFI start it, on IDE, SATA, LSI Logic, pvscsi, virtio and NVMe), and the kernel
    and initial ramdisk alone for those who start a guest without a disk. It needs 128 MiB of memory, and 192 by UEFI.
    """

    directory: Path

    @property
    def qcow2(self) -> Path:
        """The disk as compressed qcow2."""
        return self.directory / "disk.qcow2"

    @property
    def vmdk(self) -> Path:
        """The disk as streamOptimized VMDK."""
        return self.directory / "disk.vmdk"

    @property
    def raw(self) -> Path:
        """The disk byte for byte, with holes."""
        return self.directory / "disk.raw"

    @property
    def kernel(self) -> Path:
        """Debian's kernel, a bzImage."""
        return self.directory / "vmlinuz"

    @property
    def ramdisk(self) -> Path:
        """The whole root file system, a gzipped cpio archive."""
        return self.directory / "initrd.gz"


def build(cache: Path = CACHE) -> GuestImage:
    """The image for the sources as they are now: the cached one, or a new one in some 20 seconds.

    Several processes may ask at once; one builds and the others wait. Raises subprocess.CalledProcessError or
    OSError when a tool or the package archive is missing.
    """
    target = cache / f"guest-{_fingerprint()}"
    if target.is_dir():
        return GuestImage(target)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "guest.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix="guest-building-", dir=cache) as work:
                _assemble(Path(work), Archive(cache / "debian"))
                (Path(work) / "image").rename(target)
            _drop_older(cache, keep=target)
    return GuestImage(target)


def _assemble(work: Path, archive: Archive) -> None:
    image = work / "image"
    image.mkdir()
    made = GuestImage(image)
    packages = archive.extract(ramdisk.PACKAGES, work / "packages")
    kernel = archive.extract_kernel(ramdisk.KERNEL_PACKAGE, work / "kernel")
    shutil.copyfile(next((kernel / "boot").glob("vmlinuz-*")), made.kernel)
    ramdisk.pack(packages, kernel, SOURCES / "root", work / "root", made.ramdisk)
    disk.make(made.kernel, made.ramdisk, work / "disk", made.raw)
    disk.convert(made.raw, made.qcow2, made.vmdk)


def _fingerprint() -> str:
    """Names the state of everything that this directory puts into the image."""
    digest = hashlib.sha256(platform.machine().encode())
    for file in sorted(path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{file.relative_to(SOURCES)} {os.access(file, os.X_OK)} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _drop_older(cache: Path, keep: Path) -> None:
    """Keep the newest few: a test that started before the sources changed may still read the one before."""
    images = sorted((path for path in cache.glob("guest-*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in images[:-3]:
        if old != keep:
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
