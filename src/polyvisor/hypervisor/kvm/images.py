"""Images on a KVM host: cached in a form QEMU takes, and kept as long as a guest's disk is based on them."""

import threading
from collections.abc import Callable
from pathlib import Path

from polyvisor.hypervisor.driver import HypervisorError, ImageSource, Progress
from polyvisor.hypervisor.kvm.instance import every, make_passable
from polyvisor.image.cache import CachedImage, ImageCache
from polyvisor.image.errors import ConversionFailed, ImageBytesDamaged, NoRoom
from polyvisor.model.host import HypervisorType
from polyvisor.model.image import ImageRef
from polyvisor.model.image_format import DiskFormat, ImageForm, form_for, form_of

_QEMU_FORMATS = {DiskFormat.QCOW2: "qcow2", DiskFormat.RAW: "raw", DiskFormat.AMI: "raw", DiskFormat.ISO: "raw"}
_SHARED_MODE = 0o644
"""The directory above the cache cannot be listed: who does not know an image's id and checksum does not come to it."""


class Images:
    """The image cache of one host. `held` must be held from choosing a cached image until a note names it as in use."""

    def __init__(self, directory: Path, instances: Path) -> None:
        self._cache = ImageCache(directory)
        self._instances = instances
        self.held = threading.RLock()

    def ready(self, image: ImageRef, kind: HypervisorType, source: ImageSource, progress: Progress) -> None:
        """Have the image cached, in the form that QEMU takes. Raises HypervisorError."""
        wanted = self._wanted(image, kind)
        try:
            cached = self._cache.get(
                image,
                wanted,
                lambda path: source.fetch(image, path),
                local=source.local(image),
                progress=lambda percent: progress(min(percent / 100, 1.0), "image"),
            )
            _share(cached.path)
        except (ConversionFailed, ImageBytesDamaged, NoRoom) as error:
            raise HypervisorError(error.sentence) from error
        except OSError as error:
            raise HypervisorError(
                f"Image {image.id} could not be fetched to the host: {error.strerror or error}"
            ) from error

    def take(self, image: ImageRef, kind: HypervisorType, note: Callable[[CachedImage], None]) -> CachedImage | None:
        """Have `note` write that a guest uses the cached image; None where it has gone from the cache meanwhile."""
        with self.held:
            cached = self._cache.peek(image, self._wanted(image, kind))
            if cached is not None:
                note(cached)
            return cached

    def forget(self, keep: frozenset[str]) -> list[str]:
        """Remove all that is cached and neither used by a guest nor in `keep`; returns the ids that have gone
        entirely."""
        self._cache.collect_stale()
        with self.held:
            in_use = {
                Path(note.base)
                for note in (instance.note() for instance in every(self._instances))
                if note and note.base
            }
            unwanted = {entry.image_id for entry in self._cache.entries()} - keep
            return sorted(image_id for image_id in unwanted if self._cache.forget(image_id, in_use))

    def cached(self) -> frozenset[str]:
        """Ids of the images that lie ready."""
        return frozenset(entry.image_id for entry in self._cache.entries())

    def _wanted(self, image: ImageRef, kind: HypervisorType) -> ImageForm:
        try:
            stored = form_of(image.disk_format, image.container_format, image.properties)
        except ValueError as error:
            raise HypervisorError(f"Image {image.id} has a format that KVM hosts do not take: {error}") from error
        wanted = form_for(kind, stored)
        if (
            wanted is None
            or stored.disk_format in (DiskFormat.AKI, DiskFormat.ARI)
            or image.properties.get("kernel_id")
        ):
            raise HypervisorError(
                f"Image {image.id} starts by a kernel of its own (aki, ari, ami), which KVM hosts here do not "
                f"offer; use an image of a whole disk."
            )
        return wanted


def qemu_format(cached: CachedImage) -> str:
    """QEMU's name for the format of a cached image."""
    return _QEMU_FORMATS[cached.form.disk_format]


def _share(path: Path) -> None:
    """Let QEMU's user and us both read a cached image, whose owner libvirt changes while guests use it."""
    make_passable(path.parent)
    if path.stat().st_mode & 0o777 != _SHARED_MODE:
        path.chmod(_SHARED_MODE)
