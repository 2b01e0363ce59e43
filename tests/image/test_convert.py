"""A conversion gives the same disk in another form, thin, whole or not at all."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from polyvisor.image import qemu_img
from polyvisor.image.convert import ConvertOptions, collect_stale, convert, virtual_size
from polyvisor.image.errors import ConversionCancelled, ConversionFailed
from polyvisor.image.inspect import inspect
from polyvisor.image.sparse import allocated_bytes
from polyvisor.model.image_format import (
    QCOW2,
    RAW,
    VMDK_MONOLITHIC_SPARSE,
    VMDK_STREAM_OPTIMIZED,
    ContainerFormat,
    DiskFormat,
    ImageForm,
)
from tests.image import images
from tests.image.images import MIB, WRITTEN_BY_QEMU, same_disk
from tests.image.processes import child, kill, on_a_small_disk, wait_until, working_in

TARGETS = [RAW, QCOW2, VMDK_STREAM_OPTIMIZED, VMDK_MONOLITHIC_SPARSE]


def names(folder: Path) -> list[str]:
    """What lies in a folder, but for the lock that guards it."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".staging.lock")


@pytest.mark.parametrize("target", TARGETS, ids=lambda form: form.name)
@pytest.mark.parametrize("name", [*WRITTEN_BY_QEMU, "raw"])
def test_every_format_becomes_every_form(
    name: str, target: ImageForm, formats: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    source = raw if name == "raw" else formats[name]
    declared = DiskFormat.RAW if name == "raw" else WRITTEN_BY_QEMU[name][0]
    done = convert(source, inspect(source, declared).form, tmp_path / "out", target)
    assert done.form == target
    assert same_disk(raw, "raw", done.path, qemu_img.driver_of(target))
    assert done.virtual_size_bytes == virtual_size(done.path, target) >= 32 * MIB
    assert done.allocated_bytes == allocated_bytes(done.path) < 4 * MIB
    assert inspect(done.path, target.disk_format).form == target
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("target", TARGETS, ids=lambda form: form.name)
def test_10_gib_with_3_mib_of_data_stay_thin_everywhere(target: ImageForm, tmp_path: Path) -> None:
    size = 10 << 30
    data = {0: MIB, 4 << 30: MIB, size - MIB: MIB}
    source = images.raw_disk(tmp_path / "thin", size, data=data)
    there = convert(source, RAW, tmp_path / "there", target)
    assert there.virtual_size_bytes == size
    # Ten GiB of empty tables are 1.3 MiB in a monolithicSparse VMDK (twice) and 0.3 MiB in a streamOptimized one.
    assert there.allocated_bytes < 3 * MIB + 3 * MIB
    back = convert(there.path, target, tmp_path / "back", RAW)
    assert back.allocated_bytes <= 3 * MIB + 4 * 65536
    assert same_disk(source, "raw", back.path, "raw")


@pytest.mark.parametrize("disk", ["vmdk-stream", "vmdk-sparse"])
@pytest.mark.parametrize("target", TARGETS, ids=lambda form: form.name)
def test_an_ova_gives_its_disk(
    disk: str, target: ImageForm, formats: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    source = images.ova_of(tmp_path / "vm, 1.ova", formats[disk])
    form = ImageForm(disk_format=DiskFormat.VMDK, container_format=ContainerFormat.OVA)
    done = convert(source, form, tmp_path / "out", target)
    assert same_disk(raw, "raw", done.path, qemu_img.driver_of(target))
    if inspect(formats[disk], DiskFormat.VMDK).form == target:
        assert done.path.read_bytes() == formats[disk].read_bytes()


def test_a_flat_disk_in_an_ova_is_read_where_it_lies(raw: Path, tmp_path: Path) -> None:
    descriptor = images.written(raw, tmp_path / "disk.vmdk", "vmdk", "subformat=monolithicFlat")
    files = {
        "vm.ovf": images.ovf(),
        "disk.vmdk": descriptor.read_bytes().rstrip(),
        "disk-flat.vmdk": (tmp_path / "disk-flat.vmdk").read_bytes(),
    }
    source = images.ova(tmp_path / "vm.ova", files)
    form = ImageForm(disk_format=DiskFormat.VMDK, container_format=ContainerFormat.OVA)
    for target in (RAW, QCOW2):
        done = convert(source, form, tmp_path / "out", target)
        assert same_disk(raw, "raw", done.path, qemu_img.driver_of(target))


def test_a_flat_extent_is_converted_as_the_raw_bytes_it_is(raw: Path, tmp_path: Path) -> None:
    flat = ImageForm(disk_format=DiskFormat.VMDK, subformat="monolithicFlat")
    done = convert(raw, flat, tmp_path / "out", VMDK_STREAM_OPTIMIZED)
    assert same_disk(raw, "raw", done.path, "vmdk")


def test_a_property_that_lies_about_the_bytes_ends_the_conversion(
    formats: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    flat = ImageForm(disk_format=DiskFormat.VMDK, subformat="monolithicFlat")
    for source, form in ((formats["vmdk-sparse"], flat), (raw, VMDK_MONOLITHIC_SPARSE)):
        with pytest.raises(ConversionFailed, match="correct that property"):
            convert(source, form, tmp_path / "out", QCOW2)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        (None, "lsilogic"),
        ("lsiLogic", "lsilogic"),
        ("busLogic", "buslogic"),
        ("ide", "ide"),
        ("paraVirtual", "lsilogic"),
    ],
)
def test_adapter_and_hardware_version_stand_in_the_descriptor(
    asked: str | None, written: str, raw: Path, tmp_path: Path
) -> None:
    options = ConvertOptions(adapter_type=asked, hardware_version=13)
    done = convert(raw, RAW, tmp_path / "out", VMDK_STREAM_OPTIMIZED, options)
    descriptor = done.path.read_bytes()[512:10240]
    assert f'ddb.adapterType = "{written}"'.encode() in descriptor
    assert b'ddb.virtualHWVersion = "13"' in descriptor


@pytest.mark.parametrize("target", [QCOW2, RAW, VMDK_STREAM_OPTIMIZED], ids=lambda form: form.name)
def test_progress_rises_from_0_to_100(target: ImageForm, formats: dict[str, Path], tmp_path: Path) -> None:
    told: list[float] = []
    convert(formats["vmdk-sparse"], VMDK_MONOLITHIC_SPARSE, tmp_path / "out", target, progress=told.append)
    assert told == sorted(set(told))
    assert 0 <= told[0] <= told[-1] == 100
    assert len(told) > 2


def test_a_conversion_may_be_made_again(formats: dict[str, Path], tmp_path: Path) -> None:
    first = convert(formats["qcow2"], QCOW2, tmp_path / "out", RAW).path.read_bytes()
    assert convert(formats["qcow2"], QCOW2, tmp_path / "out", RAW).path.read_bytes() == first
    assert names(tmp_path) == ["out"]


def slow(tmp_path: Path) -> tuple[Path, ConvertOptions]:
    """A source and options that make a conversion take minutes."""
    source = images.raw_disk(tmp_path / "source", 64 * MIB, data={0: 64 * MIB})
    return source, ConvertOptions(rate_bytes_per_second=MIB)


@pytest.mark.parametrize("target", [QCOW2, VMDK_STREAM_OPTIMIZED], ids=lambda form: form.name)
def test_a_cancelled_conversion_stops_and_leaves_nothing(target: ImageForm, tmp_path: Path) -> None:
    source, options = slow(tmp_path)
    cancel = threading.Event()
    told: list[float] = []

    def tell(percent: float) -> None:
        told.append(percent)
        cancel.set()

    with pytest.raises(ConversionCancelled):
        convert(source, RAW, tmp_path / "out", target, options, progress=tell, cancel=cancel)
    assert max(told) < 100
    assert names(tmp_path) == ["source"]
    assert working_in(tmp_path) == []


def test_what_progress_raises_stops_the_conversion_and_goes_through(tmp_path: Path) -> None:
    source, options = slow(tmp_path)

    def tell(percent: float) -> None:
        raise InterruptedError("asked to stop")

    for target in (QCOW2, RAW, VMDK_STREAM_OPTIMIZED):
        with pytest.raises(InterruptedError):
            convert(source, RAW, tmp_path / "out", target, options, progress=tell)
    assert names(tmp_path) == ["source"]
    assert working_in(tmp_path) == []


def test_a_damaged_source_ends_in_a_sentence_without_a_path(formats: dict[str, Path], tmp_path: Path) -> None:
    broken = images.truncated(Path(shutil.copy(formats["vmdk-stream"], tmp_path / "source")), 0.5)
    with pytest.raises(ConversionFailed) as failed:
        convert(broken, VMDK_STREAM_OPTIMIZED, tmp_path / "out", QCOW2)
    assert "could not be converted to qcow2" in failed.value.sentence
    assert "/" not in failed.value.sentence
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize("disk_format", [DiskFormat.VHD, DiskFormat.VHDX, DiskFormat.ISO, DiskFormat.VDI])
def test_nothing_is_converted_to_what_no_hypervisor_here_needs(
    disk_format: DiskFormat, raw: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConversionFailed, match="not converted to"):
        convert(raw, RAW, tmp_path / "out", ImageForm(disk_format=disk_format))


CONVERTS = """
import sys
from pathlib import Path
from polyvisor.image.convert import ConvertOptions, convert
from polyvisor.model.image_format import QCOW2, RAW
folder = Path(sys.argv[1])
options = ConvertOptions(rate_bytes_per_second=1 << 20)
convert(folder / "source", RAW, folder / "out", QCOW2, options, progress=lambda percent: print(percent, flush=True))
"""


def test_kill_9_in_a_conversion_leaves_no_target_and_no_process_and_what_it_leaves_is_collected(tmp_path: Path) -> None:
    source, _ = slow(tmp_path)
    with child(CONVERTS, tmp_path) as process:
        assert process.stdout is not None
        while float(process.stdout.readline()) == 0:
            pass
        assert len(working_in(tmp_path)) == 2
        assert collect_stale(tmp_path) == []
        kill(process)
    wait_until(lambda: working_in(tmp_path) == [])
    assert "out" not in names(tmp_path)
    assert len(collect_stale(tmp_path)) == 1
    assert names(tmp_path) == ["source"]
    assert same_disk(source, "raw", convert(source, RAW, tmp_path / "out", QCOW2).path, "qcow2")


def test_kill_9_of_qemu_img_is_a_failure_that_leaves_nothing(tmp_path: Path) -> None:
    source, options = slow(tmp_path)

    def shoot(percent: float) -> None:
        for pid in working_in(tmp_path):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ConversionFailed):
        convert(source, RAW, tmp_path / "out", QCOW2, options, progress=shoot)
    assert names(tmp_path) == ["source"]


FILLS_UP = """
import json, sys
from pathlib import Path
from polyvisor.image.convert import convert
from polyvisor.image.errors import NoRoom
from polyvisor.model.image_format import QCOW2, RAW, VMDK_STREAM_OPTIMIZED
folder, source = Path(sys.argv[1]), Path(sys.argv[2])
said = []
for form in (QCOW2, VMDK_STREAM_OPTIMIZED, RAW):
    try:
        convert(source, RAW, folder / "out", form)
    except NoRoom as error:
        said.append(error.sentence)
print(json.dumps({"said": said, "left": sorted(p.name for p in folder.iterdir() if p.name != ".staging.lock")}))
"""


def test_a_full_disk_is_said_to_be_full_and_nothing_is_left(raw: Path, tmp_path: Path) -> None:
    told = on_a_small_disk(FILLS_UP, tmp_path, 2048, raw)
    said = told["said"]
    assert isinstance(said, list)
    assert len(said) == 3
    assert all("no room left to convert" in sentence for sentence in said)
    assert told["left"] == []


def test_conversions_to_one_target_at_once_leave_one_of_them_whole(
    formats: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    arguments = (formats["qcow2"], QCOW2, tmp_path / "out", VMDK_MONOLITHIC_SPARSE)
    threads = [threading.Thread(target=convert, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        collect_stale(tmp_path)
    assert names(tmp_path) == ["out"]
    assert same_disk(raw, "raw", tmp_path / "out", "vmdk")
