"""Which parts of OVN are ours on this machine and which were there: decided once, and kept.

Else the answer would depend, after each boot of the machine, on who is the first to be up.
"""

import os
import socket
import uuid
from pathlib import Path
from typing import Literal

import msgspec

from polyvisor.model.record import Record
from polyvisor.network.local_ovn.trouble import Trouble

Whose = Literal["ours", "machine"]
_FILE = "choice.json"
_OWNER_FILE = "owner"


class Choice(Record):
    """Whose each part is."""

    central: Whose
    """Northbound and southbound database, and northd."""
    switch: Whose
    """Open vSwitch."""
    controller: Whose
    """ovn-controller."""


def read(directory: Path) -> Choice | None:
    """What was decided. Raises Trouble for a file that somebody else wrote."""
    file = directory / _FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Choice)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise Trouble(f"{file} cannot be read ({error}): remove it, and it is decided anew.") from None


def write(directory: Path, choice: Choice) -> None:
    """Keep it, whole or not at all."""
    _put(directory / _FILE, msgspec.json.encode(choice))


def owner(directory: Path) -> str:
    """What our marks say in databases that others could use too: made once, and never another."""
    file = directory / _OWNER_FILE
    if not file.exists():
        _put(file, uuid.uuid4().hex.encode())
    return file.read_text(encoding="ascii").strip()


def forget(directory: Path) -> None:
    """Let it be decided anew at the next start."""
    (directory / _FILE).unlink(missing_ok=True)


def new(*, central: bool, switch: bool, controller: bool) -> Choice:
    """A choice for the first time; each says whether the machine has its own."""
    whose: dict[bool, Whose] = {True: "machine", False: "ours"}
    return Choice(central=whose[central], switch=whose[switch], controller=whose[controller])


def answers(path: Path) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


def _put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = file.with_name(f".{file.name}.new")
    with staged.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    staged.replace(file)
