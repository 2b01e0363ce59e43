"""A guest's directory: its files by name, the note of what it was made from, and its removal.

The names end as they do because AppArmor's virt-aa-helper may only look into files that end so.
"""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError
from polyvisor.model.nic import Nic
from polyvisor.model.record import Record

_NOTE = "guest.json"
_TEMPORARY = ".tmp-"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# QEMU's user passes through to files it knows by name, and cannot list them.
_DIRECTORY_MODE = 0o711


def make_passable(directory: Path) -> None:
    """Make the directory and what is missing above it, so that QEMU's user can pass through them, whatever the umask.

    What was there above it is left as it is: the host's report warns where that is closed."""
    missing = [step for step in (directory, *directory.parents) if not step.exists()]
    for step in reversed(missing):
        step.mkdir(exist_ok=True)
        step.chmod(_DIRECTORY_MODE)
    directory.chmod(_DIRECTORY_MODE)


class Note(Record):
    """What a guest was made from: it can be defined anew, and its image stays cached while the note is there."""

    spec: GuestSpec
    base: str = ""
    """The cached image its root disk is based on, or that it boots from; "" = none."""
    base_format: str = ""
    """QEMU's name of its format."""
    host: str = ""
    """Whose files these are, on storage that several hosts share: no other host starts on them, or removes them.
    Empty = the host's that has them (made before this was noted)."""


class Instance:
    """The directory of one server's guest."""

    def __init__(self, instances: Path, server_id: str) -> None:
        if not _UUID.fullmatch(server_id):
            raise HypervisorError(f"{server_id!r} is not a server's id; a uuid in lower case was expected.")
        self.server_id = server_id
        self.directory = instances / server_id
        self.root = self.directory / "root.qcow2"
        self.ephemeral = self.directory / "ephemeral.raw"
        self.swap = self.directory / "swap.raw"
        self.config_drive = self.directory / "config-drive.iso"
        self.console_log = self.directory / "console.log"
        self.nvram = self.directory / "nvram.fd"

    def exists(self) -> bool:
        """Whether anything of the guest lies here."""
        return self.directory.is_dir()

    def begin(self, note: Note) -> None:
        """Make the directory where it is missing, and write what the guest is made from."""
        self.directory.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        self.directory.chmod(_DIRECTORY_MODE)  # mkdir heeds the umask
        for leftover in self.directory.glob(f"{_TEMPORARY}*"):
            leftover.unlink(missing_ok=True)
        self.write(self.directory / _NOTE, lambda path: path.write_bytes(msgspec.json.encode(note)))

    def note(self) -> Note | None:
        """What the guest was made from; None where nothing is, or it cannot be read."""
        try:
            return msgspec.json.decode((self.directory / _NOTE).read_bytes(), type=Note)
        except (OSError, msgspec.MsgspecError):
            return None

    def belongs_to(self, host: str) -> bool:
        """Whether nobody but this host has taken the files."""
        note = self.note()
        return note is None or note.host in ("", host)

    def check_belongs_to(self, host: str) -> None:
        """Raise HypervisorError where another host has taken the files over."""
        note = self.note()
        if note is not None and note.host not in ("", host):
            raise HypervisorError(
                f"The disks of server {self.server_id} were taken over by {note.host}: the guest runs there alone."
            )

    def hand_over(self, host: str, to: str) -> None:
        """What is this host's is another's from now on."""
        note = self.note()
        if note is not None and note.host in ("", host):
            told = msgspec.structs.replace(note, host=to)
            self.write(self.directory / _NOTE, lambda path: path.write_bytes(msgspec.json.encode(told)))

    def note_nics(self, nics: tuple[Nic, ...]) -> None:
        """Later definitions of the guest have these cards."""
        note = self.note()
        if note is not None and note.spec.nics != nics:
            told = msgspec.structs.replace(note, spec=msgspec.structs.replace(note.spec, nics=nics))
            self.write(self.directory / _NOTE, lambda path: path.write_bytes(msgspec.json.encode(told)))

    def make(self, path: Path, maker: Callable[[Path], object]) -> None:
        """Have `maker` write the file, unless it is there: it appears whole or not at all."""
        if not path.exists():
            self.write(path, maker)

    def write(self, path: Path, maker: Callable[[Path], object]) -> None:
        """Have `maker` write the file in place of an earlier one; it survives a loss of power."""
        temporary = self.directory / f"{_TEMPORARY}{uuid.uuid4().hex}{path.suffix}"
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.close(descriptor)
            maker(temporary)
            _sync(temporary)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(self.directory)

    def remove(self) -> None:
        """Remove the directory with all that is in it; nothing there is fine."""
        # A run that was killed may have left a helper program that still writes: what it adds is removed in the next
        # round.
        for _ in range(5):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.directory, ignore_errors=False)
            if not self.directory.exists():
                return
        raise HypervisorError(
            f"The files of server {self.server_id} cannot be removed from the host; look into its instances directory."
        )


def every(instances: Path) -> Iterator[Instance]:
    """The directories of all guests."""
    if instances.is_dir():
        for directory in instances.iterdir():
            if _UUID.fullmatch(directory.name):
                yield Instance(instances, directory.name)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
