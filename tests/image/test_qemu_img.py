"""qemu-img runs within limits, opens what it is told and nothing else, and its complaints name no path."""

import os
import threading
from pathlib import Path

import pytest

from polyvisor.image import qemu_img
from polyvisor.image.qemu_img import Limits, QemuImgFailed, QemuImgStopped
from polyvisor.image.window import Window
from tests.image.images import MIB

ENDLESS = ("bench", "-c", "1000000000", "-s", "512", "-f", "raw")
"""Reads for hours."""


def children() -> list[str]:
    """The commands of this process's children."""
    found = []
    for pid in (folder.name for folder in Path("/proc").iterdir() if folder.name.isdecimal()):
        try:
            if f"\nPPid:\t{os.getpid()}\n" in Path(f"/proc/{pid}/status").read_text():
                found.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue
    return [command for command in found if "qemu-img" in command]


def test_cpu_time_is_limited(raw: Path) -> None:
    with pytest.raises(QemuImgFailed, match="more CPU time than is allowed"):
        qemu_img.run([*ENDLESS, str(raw)], Limits(cpu_seconds=1))


def test_time_is_limited_and_nothing_runs_on(raw: Path) -> None:
    with pytest.raises(QemuImgFailed, match="longer than"):
        qemu_img.run([*ENDLESS, str(raw)], Limits(timeout_seconds=0.3))
    assert children() == []


def test_a_run_can_be_stopped_and_nothing_runs_on(raw: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(QemuImgStopped):
        qemu_img.run([*ENDLESS, str(raw)], Limits(), cancel=stop)
    assert children() == []


def test_what_it_writes_is_limited(raw: Path, tmp_path: Path) -> None:
    arguments = ["convert", "-f", "raw", "-O", "qcow2", str(raw), str(tmp_path / "out")]
    with pytest.raises(QemuImgFailed, match=r"File too large|larger than is allowed"):
        qemu_img.run(arguments, Limits(file_size_bytes=MIB))


def test_memory_is_limited(formats: dict[str, Path]) -> None:
    with pytest.raises(QemuImgFailed):
        qemu_img.info(qemu_img.node(formats["qcow2"], "qcow2"), Limits(memory_bytes=16 * MIB))


def test_there_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(QemuImgFailed, match="Network is unreachable"):
        qemu_img.run(["info", "nbd://127.0.0.1:1/"], Limits())


def test_of_a_long_output_only_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_img, "_OUTPUT_BYTES", 100)
    heard: list[bytes] = []
    kept = qemu_img.run(["--help"], Limits(), heard=heard.append)
    assert len(b"".join(heard)) > 1000
    assert kept == b"".join(heard)[:100]


def test_a_complaint_names_no_path(tmp_path: Path) -> None:
    secret = tmp_path / "secret, folder"
    secret.mkdir()
    (secret / "image").write_bytes(b"no image")
    for path in (secret / "image", secret / "missing"):
        with pytest.raises(QemuImgFailed) as failed:
            qemu_img.info(qemu_img.node(path, "qcow2"))
        assert "secret" not in failed.value.reason
        assert "/" not in failed.value.reason


def test_a_part_of_a_file_is_opened_as_an_image_of_its_own(formats: dict[str, Path], raw: Path, tmp_path: Path) -> None:
    image = formats["qcow2"].read_bytes()
    path = tmp_path / "with, comma"
    path.write_bytes(bytes(1536) + image + bytes(512))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        part = Window.of_file(descriptor).inside(1536, len(image))
        assert part.read_at(0, 4) == b"QFI\xfb"
        told = qemu_img.info(qemu_img.node(path, "qcow2", part))
    finally:
        os.close(descriptor)
    assert told["virtual-size"] == raw.stat().st_size


def test_leaked_clusters_are_no_corruption(formats: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "leaky"
    path.write_bytes(formats["qcow2"].read_bytes() + bytes(65536))
    content = bytearray(path.read_bytes())
    # Count a reference to the last cluster, which no table uses.
    refcount_table = int.from_bytes(content[48:56], "big")
    refcount_block = int.from_bytes(content[refcount_table : refcount_table + 8], "big")
    last = len(content) // 65536 - 1
    content[refcount_block + 2 * last : refcount_block + 2 * last + 2] = b"\x00\x01"
    path.write_bytes(content)
    assert qemu_img.check(qemu_img.node(path, "qcow2"))["leaks"] == 1
