"""qemu-img in a limited subprocess: bounded memory, CPU time, output and wall clock, no network, formats always
named."""

import functools
import json
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyvisor.image.window import Window
from polyvisor.model.image_format import MONOLITHIC_FLAT, DiskFormat, ImageForm
from polyvisor.model.record import Record

_OUTPUT_BYTES = 4 << 20
_POLL_SECONDS = 0.2
_DRIVERS = {
    DiskFormat.QCOW2: "qcow2",
    DiskFormat.VMDK: "vmdk",
    DiskFormat.VHD: "vpc",
    DiskFormat.VHDX: "vhdx",
    DiskFormat.VDI: "vdi",
}


class Limits(Record):
    """What one run may take."""

    memory_bytes: int = 1 << 30
    """Address space."""
    cpu_seconds: int = 60
    file_size_bytes: int = 0
    """How large a file it may write; 0 for a run that only reads."""
    timeout_seconds: float = 120


class QemuImgFailed(Exception):
    """qemu-img refused. `reason` is its own last line, without paths; `status` its exit status, below 0 for a
    signal."""

    def __init__(self, reason: str, status: int, output: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.output = output


class QemuImgStopped(Exception):
    """The caller's `cancel` was set while qemu-img ran."""


def driver_of(form: ImageForm) -> str:
    """QEMU's block driver for these bytes; "raw" for all that has no structure QEMU reads."""
    if form.disk_format is DiskFormat.VMDK and form.subformat == MONOLITHIC_FLAT:
        return "raw"
    return _DRIVERS.get(form.disk_format, "raw")


def node(path: Path, driver: str, window: Window | None = None) -> str:
    """An --image-opts argument that opens exactly this file with exactly this driver: no protocol prefix, JSON name or
    probing can redirect it. `window` restricts it to a part of the file."""
    name = str(path.absolute()).replace(",", ",,")
    if window is None:
        return f"driver={driver},file.driver=file,file.filename={name}"
    part = f"offset={window.offset},size={window.size}"
    if driver == "raw":
        return f"driver=raw,{part},file.driver=file,file.filename={name}"
    parts = ",".join(f"file.{setting}" for setting in part.split(","))
    return f"driver={driver},file.driver=raw,{parts},file.file.driver=file,file.file.filename={name}"


def info(image: str, limits: Limits | None = None) -> Mapping[str, Any]:
    """`qemu-img info` of a node, as its JSON says."""
    found = json.loads(run(["info", "--image-opts", "--output=json", image], limits or Limits()))
    return found if isinstance(found, dict) else {}


def check(image: str, limits: Limits | None = None) -> Mapping[str, Any]:
    """`qemu-img check` of a node, as its JSON says; leaks count as well. Raises QemuImgFailed when it finds
    corruption."""
    try:
        output = run(["check", "--image-opts", "--output=json", image], limits or Limits())
    except QemuImgFailed as failed:
        if failed.status != 3:  # 3: clusters leaked, which loses space and nothing else
            raise
        output = failed.output
    found = json.loads(output)
    return found if isinstance(found, dict) else {}


def run(
    arguments: Sequence[str],
    limits: Limits,
    *,
    heard: Callable[[bytes], None] | None = None,
    cancel: threading.Event | None = None,
) -> bytes:
    """Run qemu-img and return its standard output (its first 4 MiB). `heard` gets that output as it comes; what it
    raises stops the run. Raises QemuImgFailed, QemuImgStopped."""
    command = [*_jail(), *_prlimit(limits), "setpriv", "--pdeathsig", "KILL", "--no-new-privs", "qemu-img", *arguments]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "MALLOC_ARENA_MAX": "2"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise QemuImgFailed(f"{error.filename} is not installed", 127) from None
    try:
        output, errors = _listen(process, limits.timeout_seconds, heard, cancel)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
    if process.returncode:
        raise QemuImgFailed(_reason(errors, process.returncode), process.returncode, output)
    return output


def _listen(
    process: subprocess.Popen[bytes],
    timeout_seconds: float,
    heard: Callable[[bytes], None] | None,
    cancel: threading.Event | None,
) -> tuple[bytes, bytes]:
    """Drain both pipes to their ends, keeping a bounded part of each."""
    deadline = time.monotonic() + timeout_seconds
    kept = {"out": bytearray(), "err": bytearray()}
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("out", process.stdout), ("err", process.stderr)):
            assert pipe is not None  # noqa: S101 - both were asked for
            selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            if cancel is not None and cancel.is_set():
                raise QemuImgStopped
            if time.monotonic() > deadline:
                raise QemuImgFailed(f"it took longer than {timeout_seconds:.0f} s", -signal.SIGALRM)
            for key, _ in selector.select(_POLL_SECONDS):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                if heard is not None and key.data == "out":
                    heard(data)
                room = _OUTPUT_BYTES - len(kept[key.data])
                kept[key.data] += data[: max(0, room)]
    process.wait(timeout=max(1.0, deadline - time.monotonic()))
    return bytes(kept["out"]), bytes(kept["err"])


def _prlimit(limits: Limits) -> list[str]:
    return [
        "prlimit",
        f"--as={limits.memory_bytes}",
        f"--cpu={limits.cpu_seconds}",
        f"--fsize={limits.file_size_bytes}",
        "--core=0",
    ]


@functools.cache
def _jail() -> tuple[str, ...]:
    """The command that takes the network away, where this user and kernel allow it; else none, and what remains is that
    only the file driver is ever named."""
    for jail in (("unshare", "--net"), ("unshare", "--user", "--map-current-user", "--net")):
        try:
            if subprocess.run([*jail, "true"], capture_output=True, timeout=10, check=False).returncode == 0:
                return (*jail, "--")
        except (OSError, subprocess.TimeoutExpired):
            continue
    return ()


def _reason(errors: bytes, status: int) -> str:
    """qemu-img's last complaint, with nothing in it of where files lie."""
    if -status in (signal.SIGXCPU, signal.SIGKILL):
        return "it took more CPU time than is allowed"
    if -status == signal.SIGXFSZ:
        return "it grew larger than is allowed"
    lines = [line.strip().removeprefix("qemu-img: ") for line in errors.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("Check failed")]
    if not lines:
        return f"qemu-img ended with status {status}"
    last = re.sub(r"'(?:[^']*(?:/|driver=)[^']*)'", "the image", lines[-1].removeprefix("ERROR: "))
    return re.sub(r"(?<!\w)/[^\s,:']+", "the image", last)[:300]
