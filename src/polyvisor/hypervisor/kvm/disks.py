"""The files of a guest's disks: overlay, blank, ephemeral, swap; made by qemu-img, mke2fs and mkswap."""

import os
import shutil
import subprocess
from pathlib import Path

from polyvisor.hypervisor.driver import HypervisorError

_TIMEOUT_SECONDS = 600
_SBIN = "/usr/sbin:/sbin"
"""Where mke2fs and mkswap lie, which the PATH of a user who is not root may leave out."""


def overlay(path: Path, base: Path, base_format: str, size_bytes: int) -> None:
    """Write a qcow2 disk of this size on a cached image: only what the guest writes takes room."""
    options = f"backing_file={_escaped(base)},backing_fmt={base_format}"
    _run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, str(path), str(size_bytes)])


def rebase(path: Path, base: Path, base_format: str) -> None:
    """Have the disk find the same cached image at another path. Fails while any host has the disk in use."""
    try:
        _run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", base_format, "-b", str(base), str(path)])
    except HypervisorError as error:
        if "another process" not in str(error):
            raise
        raise HypervisorError(
            f"The disk {path} is locked: the guest still runs on another host. Switch that host off first."
        ) from None


def blank(path: Path, size_bytes: int) -> None:
    """Write an empty qcow2 disk."""
    _run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(size_bytes)])


def ephemeral(path: Path, size_bytes: int, *, formatted: bool) -> None:
    """Write a sparse raw disk, with an ext4 labelled `ephemeral0` where it is to be formatted."""
    _sparse(path, size_bytes)
    if formatted:
        _run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "ephemeral0", str(path)])


def swap(path: Path, size_bytes: int) -> None:
    """Write a sparse raw disk that is swap space as a whole."""
    _sparse(path, size_bytes)
    _run(["mkswap", "--quiet", "--label", "swap0", str(path)])


def cache_mode(directory: Path) -> str:
    """QEMU's best cache mode here: "none" where files take direct I/O, else "writeback" (tmpfs of old kernels, some
    FUSE)."""
    probe = directory / f".direct-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o600))
    except OSError:
        return "writeback"
    finally:
        probe.unlink(missing_ok=True)
    return "none"


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")  # qemu-img's own way in a list of options


def _sparse(path: Path, size_bytes: int) -> None:
    os.truncate(path, size_bytes)


def _run(command: list[str]) -> None:
    """Run a helper program that ends with us: were we killed, it must not go on writing into a directory that is
    being removed."""
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "KILL", *command]
    environment = {"PATH": f"{os.environ.get('PATH', '/usr/bin:/bin')}:{_SBIN}", "LC_ALL": "C"}
    try:
        subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_TIMEOUT_SECONDS,
        )
    except FileNotFoundError as error:
        raise HypervisorError(
            f"{error.filename} is missing on the host; install qemu-utils, e2fsprogs and util-linux there."
        ) from error
    except subprocess.TimeoutExpired:
        raise HypervisorError(
            f"{_name(command)} did not end within {_TIMEOUT_SECONDS} s; see whether the host's storage answers."
        ) from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise HypervisorError(
            f"{_name(command)} failed on the host: {said[-1] if said else error.returncode}"
        ) from error


def _name(command: list[str]) -> str:
    return next(part for part in command if part.startswith(("qemu-img", "mk")))
