"""The test vCenter: builds it from its Go sources, starts it, and cleans up after it.

`python -m testbed.vcenter build` builds the program. `python -m testbed.vcenter --data DIR [--listen ADDRESS] …` runs
it: every option of the program is passed on, and `--help` lists them. `python -m testbed.vcenter stop --data DIR` ends
it with its guests.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.ports import free_ports

SOURCES = Path(__file__).with_name("vcenter")
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "testbed"
PASSWORD_VARIABLE = "POLYVISOR_TEST_VCENTER_PASSWORD"
ANY_PORT = "127.0.0.1:0"
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 30.0
OLDEST_GO = (1, 21)  # the first that fetches the newer tools which go.mod asks for
GO_IS_MISSING = (
    "The test vCenter is a Go program, and needs `go` 1.21 or newer on PATH. Install Debian's package `golang` where "
    "it is new enough, or the archive from go.dev/dl."
)


class VcenterError(Exception):
    """The test vCenter could not be built or started; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VcenterOptions:
    """What the estate looks like; each field is the program's option of the same name."""

    listen: str = ANY_PORT
    user: str = "administrator@vsphere.local"
    esx: bool = False
    datacenters: int = 1
    clusters: int = 1
    hosts: int = 2
    port_groups: int = 1
    datastores: int = 1
    local_datastores: bool = False
    no_shared_storage: bool = False
    datastore_gib: int = 1024
    drs: str = "fullyAutomated"
    ha: bool = True
    vmotion: bool = True
    host_cpus: int = 16
    host_memory_mib: int = 65536
    openvswitch: str = ""
    bridges: str = ""
    accel: str = "tcg"
    guests_die_with_me: bool = False
    tools: bool = True

    def arguments(self) -> list[str]:
        """The command line: --name=value for each option."""
        given = dataclasses.asdict(self).items()
        return [f"--{name.replace('_', '-')}={json.dumps(value).strip(chr(34))}" for name, value in given]


class TestVcenter:
    """A running test vCenter; leaving the context ends it and its guests, and removes the data folder it made."""

    __test__ = False  # the name is no test's

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        options: VcenterOptions | None = None,
        namespace: str = "",
        **changes: Any,
    ) -> None:
        """Prepare to run it in data_dir (a temporary folder if None), with fields of VcenterOptions as keywords.

        `namespace`: the network namespace to run in (see `ip netns`); empty = this process's own.
        """
        self._inside = ["ip", "netns", "exec", namespace] if namespace else []
        self.options = dataclasses.replace(options or VcenterOptions(), **changes)
        if self.options.listen == ANY_PORT and not namespace:
            # One that is still its own when it comes back.
            self.options = dataclasses.replace(self.options, listen=f"127.0.0.1:{free_ports(1)[0]}")
        self._temporary = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="pv-vcenter-"))
        self.password = secrets.token_urlsafe(12)
        self.url = self.user = self.thumbprint = self.thumbprint_sha256 = ""
        self.cert_path = self.data_dir / "tls" / "cert.pem"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self.stop()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    @property
    def host(self) -> str:
        """The address without scheme and path: 127.0.0.1:PORT."""
        return self.url.removeprefix("https://").partition("/")[0]

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.host.rpartition(":")[2])

    @property
    def pid(self) -> int | None:
        """The program's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it and return when it answers; raises VcenterError with the end of its log."""
        program = build()
        scratch = self.data_dir / "scratch"  # the simulator leaves directories behind where it is killed
        scratch.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "vcenter.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._inside, str(program), f"--data={self.data_dir}", "--while-stdin", *self.options.arguments()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, PASSWORD_VARIABLE: self.password, "TMPDIR": str(scratch)}, start_new_session=True,
            )  # fmt: skip
        told = self._await_address(self._process)
        self.url, self.user = told["url"], told["user"]
        self.thumbprint, self.thumbprint_sha256 = told["thumbprint"], told["thumbprint_sha256"]
        self.cert_path = Path(told["cert_path"])

    def _await_address(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_SECONDS)
        line = process.stdout.readline() if ready else b""
        if not line:
            self.kill()
            log = (self.data_dir / "vcenter.log").read_text(errors="replace")[-2000:]
            raise VcenterError(f"The test vCenter did not start. Its log ends with:\n{log}")
        address: dict[str, Any] = json.loads(line)
        return address

    def kill(self) -> None:
        """End the program as kill -9 does. Its guests run on, as ESXi's VMs do without vCenter."""
        if self._process is not None:
            self._process.kill()
            self._reap(self._process)

    def restart(self) -> None:
        """Start it anew after kill() or suspend(): same URL, same inventory, running guests adopted."""
        if self.pid is not None:
            self._end()
        self.start()

    def stop(self) -> None:
        """End the program and all its guests."""
        self._end()
        kill_guests(self.data_dir)

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap(self._process)

    @staticmethod
    def _reap(process: subprocess.Popen[bytes]) -> None:
        process.wait(STOP_TIMEOUT_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def guests(self) -> dict[str, int]:
        """Running QEMUs: process ids by the VM's managed object id."""
        return dict(running_guests(self.data_dir))


def running_guests(data_dir: Path) -> Iterator[tuple[str, int]]:
    """Managed object id and process id of every guest that runs from data_dir."""
    for record in sorted(data_dir.glob("guests/*/qemu.pid")):
        with contextlib.suppress(OSError, ValueError):
            pid = int(record.read_text())
            if Path(f"/proc/{pid}/cwd").readlink() == record.parent.resolve():  # the pid is still that guest's
                yield record.parent.name, pid


def kill_guests(data_dir: Path) -> None:
    """End every guest that runs from data_dir, and wait until they are gone."""
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while left := dict(running_guests(data_dir)):
        for pid in left.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise VcenterError(f"These guests do not end: {left}")
        time.sleep(0.02)


def build() -> Path:
    """The program, built once for the present sources; raises VcenterError with the compiler's words."""
    target = CACHE / f"vcenter-{_fingerprint()}" / "polyvisor-test-vcenter"
    if target.exists():
        return target
    go = shutil.which("go")
    if go is None:
        raise VcenterError(GO_IS_MISSING)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE / "vcenter.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _compile(go, target)
    return target


def _compile(go: str, target: Path) -> None:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    numbers = re.match(r"go(\d+)\.(\d+)", said)
    if numbers is None or tuple(map(int, numbers.groups())) < OLDEST_GO:
        raise VcenterError(f"`{go}` is {said or 'no Go that works'}. {GO_IS_MISSING}")
    fresh = target.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [go, "build", "-trimpath", "-o", str(fresh), "."], cwd=SOURCES, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise VcenterError(f"The test vCenter does not build:\n{done.stdout}{done.stderr}")
    fresh.rename(target)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in sorted(path for path in SOURCES.rglob("*") if path.suffix in {".go", ".mod", ".sum"}):
        if not source.name.endswith("_test.go"):
            digest.update(str(source.relative_to(SOURCES)).encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def main(arguments: Sequence[str]) -> int:
    """Build, run or stop; see the module's own words."""
    try:
        if arguments[:1] == ["build"]:
            print(build())
        elif arguments[:1] == ["stop"]:
            _stop(_data_of(arguments))
        else:
            _run(arguments)
    except VcenterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(arguments: Sequence[str]) -> None:
    """Become the program. Without a password given, one is made and kept in DIR/password."""
    program = build()
    environment = dict(os.environ)
    names = {argument.lstrip("-").partition("=")[0] for argument in arguments}
    if not names & {"password-file", "h", "help"} and PASSWORD_VARIABLE not in environment:
        environment[PASSWORD_VARIABLE] = _kept_password(_data_of(arguments))
    os.execve(program, [str(program), *arguments], environment)


def _kept_password(data_dir: Path) -> str:
    kept = data_dir / "password"
    if not kept.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        kept.touch(0o600)
        kept.write_text(secrets.token_urlsafe(12) + "\n")
    return kept.read_text().strip()


def _data_of(arguments: Sequence[str]) -> Path:
    for number, argument in enumerate(arguments):
        name, _, value = argument.lstrip("-").partition("=")
        if name == "data" and (value or arguments[number + 1 : number + 2]):
            return Path(value or arguments[number + 1])
    raise VcenterError("Say where its data is: --data DIR")


def _stop(data_dir: Path) -> None:
    """End the program that runs on data_dir, if it does, then its guests."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(json.loads((data_dir / "vcenter.json").read_text())["pid"])
        if Path(f"/proc/{pid}/exe").readlink().name == "polyvisor-test-vcenter":
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
            while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
    kill_guests(data_dir)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
