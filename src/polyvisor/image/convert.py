"""Conversion (I3, I4): one image, in the form a hypervisor takes; only what is allocated is written."""

import math
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from polyvisor.image import qemu_img, staging
from polyvisor.image.errors import ConversionCancelled, ConversionFailed, ImageRefused
from polyvisor.image.formats.ova import locate
from polyvisor.image.sparse import allocated_bytes, copy_window
from polyvisor.image.staging import Staging, collect_stale
from polyvisor.image.stream_vmdk import stream_vmdk
from polyvisor.image.window import Window
from polyvisor.model.image_format import (
    MONOLITHIC_FLAT,
    MONOLITHIC_SPARSE,
    RAW,
    STREAM_OPTIMIZED,
    VMDK_STREAM_OPTIMIZED,
    ContainerFormat,
    DiskFormat,
    ImageForm,
)
from polyvisor.model.record import Record

__all__ = ["ConvertOptions", "Converted", "collect_stale", "convert", "virtual_size"]

_PROGRESS = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")
_MEMORY_BYTES = 2 << 30
_SLOWEST_BYTES_PER_CPU_SECOND = 1 << 20
_ROOM_FOR_TABLES_BYTES = 64 << 20
_AS_GOOD_AS_FULL_BYTES = 1 << 20
_CONVERT = "convert the image"
_STOPPED = "The conversion was stopped."
_STEP_PERCENT = 0.5
_HARDWARE_VERSION = 10
_UNPACKED_PERCENT = 30.0
"""How much of the work is done when a disk lies unpacked, and its compression begins."""

_ADAPTERS = {"buslogic": "buslogic", "ide": "ide"}
_TARGETS = (DiskFormat.QCOW2, DiskFormat.RAW, DiskFormat.VMDK)


class ConvertOptions(Record):
    """What may be chosen of a conversion."""

    adapter_type: str | None = None
    """A VMDK's `ddb.adapterType`, from any spelling of `vmware_adaptertype`. VMDKs know lsilogic, buslogic and ide; the
    newer SCSI adapters are written as lsilogic, as VMware's own tools do. None: lsilogic."""
    hardware_version: int | None = None
    """A VMDK's `ddb.virtualHWVersion`; None: 10, which every supported vSphere reads."""
    rate_bytes_per_second: int | None = None
    """At most so many bytes written a second."""
    timeout_seconds: float = 6 * 3600

    @property
    def vmdk_adapter(self) -> str:
        """The word that goes into a VMDK."""
        return _ADAPTERS.get((self.adapter_type or "").lower(), "lsilogic")


class Converted(Record):
    """A finished conversion."""

    path: Path
    form: ImageForm
    virtual_size_bytes: int
    allocated_bytes: int


def convert(
    source: Path,
    source_form: ImageForm,
    target: Path,
    target_form: ImageForm,
    options: ConvertOptions | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    cancel: threading.Event | None = None,
) -> Converted:
    """Write `source`, which has passed inspection, to `target` in another form; an OVA gives its disk.

    The target appears whole or not at all, and replaces what was there, so that the same call may be made again after
    any end of the first. `progress` gets 0 to 100; what it raises stops the conversion, as `cancel` does. Raises
    NoRoom, ConversionFailed, ConversionCancelled."""
    options = options or ConvertOptions()
    if target_form.disk_format not in _TARGETS or target_form.subformat == MONOLITHIC_FLAT:
        raise ConversionFailed(f"Images are not converted to {target_form.name}; take qcow2, raw or a sparse VMDK.")
    tell = _Teller(progress, cancel)
    with staging.no_room(_CONVERT), Staging(target.parent) as place:
        made = place.path / "disk"
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            form, disk = _disk_of(descriptor, source_form)
            raw = qemu_img.driver_of(form) == "raw"
            part = disk if source_form.container_format is ContainerFormat.OVA else None
            if form == target_form or (raw and target_form.disk_format is DiskFormat.RAW):
                copy_window(disk, made, tell)
            elif target_form != VMDK_STREAM_OPTIMIZED:
                node = qemu_img.node(source, qemu_img.driver_of(form), part)
                _run_qemu_img(node, made, target_form, options, tell)
            elif raw:
                _compress(disk, made, options, tell, 0.0)
            else:
                node = qemu_img.node(source, qemu_img.driver_of(form), part)
                _compress_unpacked(node, place.path / "unpacked", made, options, tell)
        finally:
            os.close(descriptor)
        made.chmod(0o644)
        size = virtual_size(made, target_form)
        tell(100.0)
        place.commit(made, target)
    return Converted(path=target, form=target_form, virtual_size_bytes=size, allocated_bytes=allocated_bytes(target))


def virtual_size(path: Path, form: ImageForm) -> int:
    """The size in bytes of the disk in a file of this form (no OVA)."""
    driver = qemu_img.driver_of(form)
    if driver == "raw":
        return path.stat().st_size
    try:
        return int(qemu_img.info(qemu_img.node(path, driver))["virtual-size"])
    except qemu_img.QemuImgFailed as failed:
        raise ConversionFailed(f"The {form.name} image cannot be read: {failed.reason}.") from None


def _disk_of(descriptor: int, form: ImageForm) -> tuple[ImageForm, Window]:
    """What the disk's bytes really are, and where: a VMDK's subformat is read from it, an OVA is looked into."""
    image = Window.of_file(descriptor)
    if form.container_format is ContainerFormat.OVA:
        try:
            contents = locate(image)
        except ImageRefused as refused:
            raise ConversionFailed(refused.sentence) from None
        image = image.inside(contents.disk.offset, contents.disk.size)
        form = ImageForm(disk_format=DiskFormat.VMDK, subformat=MONOLITHIC_FLAT if contents.flat else None)
    sparse = image.read_at(0, 4) == b"KDMV"
    if form.disk_format is not DiskFormat.VMDK:
        return ImageForm(disk_format=form.disk_format), image
    if sparse == (form.subformat == MONOLITHIC_FLAT):
        told = form.subformat or "a sparse VMDK"
        raise ConversionFailed(f"The image's bytes are not {told}, as its vmware_disktype says; correct that property.")
    if sparse:
        compressed = image.read_at(10, 1)[0] & 1
        form = ImageForm(disk_format=DiskFormat.VMDK, subformat=STREAM_OPTIMIZED if compressed else MONOLITHIC_SPARSE)
    return form, image


def _compress_unpacked(node: str, unpacked: Path, made: Path, options: ConvertOptions, tell: "_Teller") -> None:
    """A streamOptimized VMDK by way of a sparse raw file, which is quickly written."""
    _run_qemu_img(node, unpacked, RAW, options, tell, share=_UNPACKED_PERCENT / 100)
    descriptor = os.open(unpacked, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _compress(Window.of_file(descriptor), made, options, tell, _UNPACKED_PERCENT)
    finally:
        os.close(descriptor)


def _compress(disk: Window, made: Path, options: ConvertOptions, tell: "_Teller", done_percent: float) -> None:
    begun = time.monotonic()
    hardware_version = options.hardware_version or _HARDWARE_VERSION
    with made.open("xb") as file:
        try:
            for chunk, part in stream_vmdk(disk, adapter=options.vmdk_adapter, hardware_version=hardware_version):
                file.write(chunk)
                tell(done_percent + (100 - done_percent) * part)
                seconds = time.monotonic() - begun
                if seconds > options.timeout_seconds:
                    raise ConversionFailed(f"The conversion took longer than {options.timeout_seconds:.0f} s.")
                if options.rate_bytes_per_second:
                    time.sleep(max(0.0, file.tell() / options.rate_bytes_per_second - seconds))
        except ValueError as error:
            raise ConversionFailed(f"The image could not be converted: {error}.") from None


def _run_qemu_img(
    node: str, made: Path, form: ImageForm, options: ConvertOptions, tell: "_Teller", *, share: float = 1.0
) -> None:
    try:
        size = int(qemu_img.info(node)["virtual-size"])
        limits = qemu_img.Limits(
            memory_bytes=_MEMORY_BYTES,
            cpu_seconds=60 + math.ceil(size / _SLOWEST_BYTES_PER_CPU_SECOND),
            file_size_bytes=size + size // 64 + _ROOM_FOR_TABLES_BYTES,
            timeout_seconds=options.timeout_seconds,
        )
        heard = _Percent(lambda percent: tell(percent * share))
        qemu_img.run(_arguments(node, made, form, options), limits, heard=heard, cancel=tell.cancel)
    except qemu_img.QemuImgStopped:
        raise ConversionCancelled(_STOPPED) from None
    except qemu_img.QemuImgFailed as failed:
        # QEMU's VMDK driver calls a full disk an invalid argument.
        if (
            re.search("No space left|quota exceeded", failed.reason)
            or _free_bytes(made.parent) < _AS_GOOD_AS_FULL_BYTES
        ):
            raise staging.full(_CONVERT) from None
        raise ConversionFailed(f"The image could not be converted to {form.name}: {failed.reason}.") from None


def _free_bytes(folder: Path) -> int:
    filesystem = os.statvfs(folder)
    return filesystem.f_bavail * filesystem.f_frsize


def _arguments(node: str, made: Path, form: ImageForm, options: ConvertOptions) -> list[str]:
    arguments = ["convert", "-p", "-W", "--image-opts", "-O", qemu_img.driver_of(form)]
    if form.disk_format is DiskFormat.VMDK:
        version = options.hardware_version or _HARDWARE_VERSION
        arguments += ["-o", f"subformat=monolithicSparse,adapter_type={options.vmdk_adapter},hwversion={version}"]
    if form.disk_format is DiskFormat.QCOW2:
        arguments += ["-o", "compat=1.1"]
    if options.rate_bytes_per_second:
        arguments += ["-r", str(options.rate_bytes_per_second)]
    return [*arguments, node, f"file:{made.absolute()}"]


class _Teller:
    """Passes on percentages that are news, and stops the work where that was asked for."""

    def __init__(self, progress: Callable[[float], None] | None, cancel: threading.Event | None) -> None:
        self._progress = progress
        self.cancel = cancel
        self._last = -1.0

    def __call__(self, percent: float) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise ConversionCancelled(_STOPPED)
        if self._progress is not None and (percent >= self._last + _STEP_PERCENT or percent == 100.0 != self._last):
            self._last = percent
            self._progress(percent)


class _Percent:
    """Finds the percentages in qemu-img's output."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._rest = b""

    def __call__(self, output: bytes) -> None:
        text = self._rest + output
        found = list(_PROGRESS.finditer(text))
        self._rest = text[found[-1].end() :] if found else text[-32:]
        for match in found:
            self._tell(float(match[1]))
