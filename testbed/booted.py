"""A Debian of one's own, booted by systemd on a copy of this machine's system that is thrown away afterwards."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from testbed import owned
from testbed.process import alive, wait_for

PREFIX = "pv-booted-"
BOOT_TIMEOUT_SECONDS = 300.0
STOP_TIMEOUT_SECONDS = 180.0
_CONTROL_GROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup")

# The overlay is mounted where nobody else sees it, and goes with the last process that does.
_START = """\
for group in {groups}; do mkdir -p $group && echo $$ >$group/cgroup.procs; done
mount -t tmpfs none {directory}/layer
mkdir {directory}/layer/upper {directory}/layer/work
mount -t overlay overlay -o lowerdir=/,upperdir={directory}/layer/upper,workdir={directory}/layer/work {directory}/root
exec systemd-nspawn --quiet --directory={directory}/root --machine={name} --register=no --keep-unit --private-network \
  --link-journal=no --console=pipe {hidden} --boot systemd.unit=basic.target
"""


class Booted:
    """This machine's files, its own processes and network (loopback alone), from `with` to the end of the block.

    Nothing that happens within is seen outside. `hidden` directories are empty within. Needs root; raises TimeoutError
    or ChildProcessError, with what the console said, when it does not come up.
    """

    def __init__(self, *hidden: Path) -> None:
        for left in owned.leftovers(PREFIX):
            _remove(left)
        self.directory = owned.make(PREFIX)
        self.console = self.directory / "console"
        self._hidden = hidden
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def command(self, *words: str) -> list[str]:
        """The command line that runs a program within, from outside."""
        return ["nsenter", "--target", str(self._leader), "--all", "--wd=/", "--", *words]

    def network_command(self, *words: str) -> list[str]:
        """The command line that runs a program of outside on the network of within, by the names known there."""
        hosts = self.directory / "hosts"
        hosts.write_bytes(self.path("/etc/hosts").read_bytes())
        inside = ["nsenter", "--target", str(self._leader), "--net", "--", "unshare", "--mount"]
        return [*inside, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts), *words]

    def run(self, *words: str, check: bool = True, timeout_seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a program within, as root. Raises AssertionError with its words when it fails, unless `check` is off."""
        done = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_seconds,
            check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def path(self, within: str) -> Path:
        """A file of within, as it is reached from outside."""
        return Path(f"/proc/{self._leader}/root{within}")

    def journal(self, unit: str) -> str:
        """What a unit has written."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}").stdout

    def stop(self) -> None:
        """End everything within. May be called twice."""
        if self._process is not None:
            _end(self.directory, self._leader)
            self._process.wait()
        _remove(self.directory)

    def _start(self) -> None:
        for folder in ("layer", "root"):
            (self.directory / folder).mkdir()
        script = _START.format(
            groups=" ".join(map(str, _control_groups(self.directory))),
            directory=self.directory,
            name=self.directory.name.replace("_", "-"),
            hidden=" ".join(f"--tmpfs={folder}" for folder in self._hidden),
        )
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script]
        with self.console.open("wb") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        (self.directory / "pid").write_text(str(self._process.pid))
        wait_for(self._up, BOOT_TIMEOUT_SECONDS, lambda: f"systemd does not come up: {self._said()}")

    def _up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildProcessError(f"systemd-nspawn ended with {self._process.returncode}: {self._said()}")
        if not self._leader:
            self._leader = _init(self._process.pid)
            return False
        asked = self.run("systemctl", "is-system-running", check=False, timeout_seconds=30)
        return asked.stdout.strip() in ("running", "degraded")

    def _said(self) -> str:
        return self.console.read_text(errors="replace")[-4000:]


def _init(pid: int) -> int:
    """The child of systemd-nspawn that is the first process within; 0 before there is one.

    Another child comes before it, prepares the namespaces, and ends.
    """
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            ids = re.findall(r"^NSpid:\s+(.*)$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE)
            if ids and ids[0].split()[1:] == ["1"]:
                return int(child)
    return 0


def _control_groups(directory: Path) -> list[Path]:
    """A group of its own in each hierarchy that systemd uses, so that what it makes below can be removed."""
    found = [Path(base) for base in _CONTROL_GROUPS if Path(base, "cgroup.procs").exists()]
    return [base / directory.name for base in found]


def _end(directory: Path, leader: int) -> None:
    """End the init of within: with it go all processes there, then systemd-nspawn."""
    pids = [leader, int((directory / "pid").read_text())]

    def gone() -> bool:
        for pid in pids:
            if pid and alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return False
        return True

    wait_for(gone, STOP_TIMEOUT_SECONDS, lambda: f"the processes of {directory} do not end")


def _remove(directory: Path) -> None:
    groups = [group for top in _control_groups(directory) if top.exists() for group in (top, *top.rglob("*/"))]
    for group in groups:
        for line in _processes(group):
            with contextlib.suppress(ProcessLookupError):
                os.kill(line, signal.SIGKILL)
    wait_for(lambda: not any(map(_processes, groups)), STOP_TIMEOUT_SECONDS, lambda: f"{directory} is still in use")
    for group in sorted(groups, reverse=True):
        with contextlib.suppress(OSError):
            group.rmdir()
    shutil.rmtree(directory, ignore_errors=True)


def _processes(group: Path) -> Sequence[int]:
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []
