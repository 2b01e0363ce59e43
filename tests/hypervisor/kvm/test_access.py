"""The way for QEMU's user, tried by another user's process."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.hypervisor.kvm.access import closed_to, let_through

QEMU = (64055, 64055)
NOBODY = (65534, 65534)


@pytest.fixture
def passable() -> Iterator[Path]:
    """A directory that everybody can pass through, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="pv-passable-", dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


def reads(user: tuple[int, int], file: Path) -> bool:
    """Whether a process of that user can read the file."""
    command = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "cat", str(file)]
    return subprocess.run(command, capture_output=True).returncode == 0


def make(state: Path, mode: int) -> Path:
    instances = state / "instances"
    instances.mkdir(parents=True)
    file = instances / "file"
    file.touch()
    for path in (file, instances):
        path.chmod(0o755)
    state.chmod(mode)
    return file


@pytest.mark.parametrize("mode", [0o700, 0o711, 0o755, 0o750, 0o710])
def test_a_closed_directory_is_found_where_a_process_is_stopped(passable: Path, mode: int) -> None:
    file = make(passable / "state", mode)
    assert closed_to(file.parent, QEMU) == ([] if reads(QEMU, file) else [passable / "state"])
    assert closed_to(file.parent, (0, 0)) == []


def test_the_group_counts(passable: Path) -> None:
    file = make(passable / "state", 0o750)
    os.chown(passable / "state", 0, QEMU[1])
    assert reads(QEMU, file)
    assert closed_to(file.parent, QEMU) == []
    (passable / "state").chmod(0o705)  # open to all but the group
    assert not reads(QEMU, file)
    assert closed_to(file.parent, QEMU) == [passable / "state"]


@pytest.mark.parametrize("mode", [0o700, 0o750])
def test_what_is_opened_is_opened_for_one_user_to_pass_and_no_more(passable: Path, mode: int) -> None:
    file = make(passable / "state", mode)
    assert let_through(file.parent, QEMU) == [passable / "state"]
    assert reads(QEMU, file)
    assert not reads(NOBODY, file)
    listing = ["setpriv", f"--reuid={QEMU[0]}", f"--regid={QEMU[1]}", "--clear-groups", "ls", str(passable / "state")]
    assert subprocess.run(listing, capture_output=True).returncode != 0
    assert closed_to(file.parent, QEMU) == []
    assert let_through(file.parent, QEMU) == []


def test_a_directory_closed_again_is_opened_again(passable: Path) -> None:
    file = make(passable / "state", 0o700)
    let_through(file.parent, QEMU)
    (passable / "state").chmod(0o700)  # this takes the mask away, and leaves the entry
    assert closed_to(file.parent, QEMU) == [passable / "state"]
    let_through(file.parent, QEMU)
    assert reads(QEMU, file)


def test_another_users_directory_is_left_alone(passable: Path) -> None:
    file = make(passable / "state", 0o700)
    os.chown(passable / "state", *NOBODY)
    assert let_through(file.parent, QEMU) == []
    assert not reads(QEMU, file)
    assert (passable / "state").stat().st_mode & 0o777 == 0o700
