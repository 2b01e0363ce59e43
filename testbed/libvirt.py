"""A libvirt host of our own: real libvirtd, virtlogd and QEMU in private namespaces, many on one machine."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import libvirt

from testbed import owned
from testbed.process import alive, program, wait_for

PREFIX = "pv-libvirt-"
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 180.0
CAPABILITIES = Path(__file__).parents[1] / ".cache/testbed/libvirt-capabilities"

# What libvirt keeps under these paths is the host's own; each test host sees folders of its directory there instead.
PRIVATE = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}

LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
listen_tls = 0
listen_tcp = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
"""

# Guests run as root, so that they reach images in private temporary folders. Control groups and QEMU's own namespaces
# stay out of the way: a container often forbids them, and machined would mix up the guests of several hosts.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
remote_display_port_min = {display_port}
remote_display_port_max = {last_display_port}
"""


class TestLibvirt:
    """A libvirt host, from `with` to the end of the block: `with TestLibvirt("kvm-1") as host: libvirt.open(host.uri)`.

    It has its own hostname and host UUID, knows no guest but its own, and shares the machine's files. Its network is
    the machine's, or that of `namespace` (see `ip netns`); its Open vSwitch is the one with the run directory
    `openvswitch`, or the machine's. Files that guests use may lie anywhere outside of libvirt's
    folders; `directory` is a good place, and goes with the host.
    Needs root. `start` and `restart` raise TimeoutError or ChildProcessError, with libvirt's log, when it does not
    come up.
    """

    __test__ = False

    def __init__(
        self,
        hostname: str = "kvm-1",
        host_uuid: str | None = None,
        namespace: str = "",
        openvswitch: Path | None = None,
    ) -> None:
        for directory in owned.leftovers(PREFIX):
            _end_members(directory)
            shutil.rmtree(directory, ignore_errors=True)
        self.hostname = hostname
        self._namespace = namespace
        self._openvswitch = openvswitch
        self.nodes: dict[str, Path] = {}
        """Device nodes that this host has in the place of the machine's, such as "/dev/kvm"."""
        self.host_uuid = host_uuid or str(uuid.uuid4())
        self.directory = owned.make(PREFIX)
        self.uri = f"qemu+unix:///system?socket={self.directory}/run/libvirt-sock"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start what does not run, and return when libvirtd answers."""
        for daemon in ("virtlogd", "libvirtd"):
            running = self._daemons.get(daemon)
            if running is None or running.poll() is not None:
                self._daemons[daemon] = self._spawn(daemon)
        wait_for(self._answers, START_TIMEOUT_SECONDS, lambda: f"libvirtd does not answer on {self.uri}: {self.log()}")

    def kill(self) -> None:
        """End libvirtd as a crash does (SIGKILL). Guests and virtlogd run on."""
        daemon = self._daemons["libvirtd"]
        daemon.kill()
        daemon.wait()

    @property
    def pid(self) -> int:
        """libvirtd's process id, while it runs."""
        return self._daemons["libvirtd"].pid

    def restart(self) -> None:
        """End libvirtd in good order where it runs, and start it again. Guests run on."""
        daemon = self._daemons["libvirtd"]
        daemon.terminate()
        daemon.wait(STOP_TIMEOUT_SECONDS)
        self.start()

    def stop(self) -> None:
        """End libvirt and every guest, and remove the directory. May be called twice."""
        _end_members(self.directory)
        for daemon in self._daemons.values():
            daemon.wait()
        _copy_files(self._probed, CAPABILITIES)
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self) -> Any:
        """A new libvirt.virConnect; the caller closes it. Raises libvirt.libvirtError while libvirtd is down."""
        return libvirt.open(self.uri)

    def guests(self) -> dict[str, int]:
        """The QEMU processes that run on this host: name of the guest to process id, with libvirtd up or down."""
        members = set(_members(self.directory))
        found = {}
        for file in (self.directory / "run/qemu").glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):  # libvirt is just writing or removing it
                found[file.stem] = int(file.read_text())
        # libvirtd's own process id lies there as well
        return {name: pid for name, pid in found.items() if pid in members and program(pid).startswith("qemu")}

    def log(self) -> str:
        """The end of what libvirtd wrote."""
        file = self.directory / "libvirtd.log"
        return file.read_text(errors="replace")[-4000:] if file.exists() else ""

    def _configure(self) -> None:
        for folder in PRIVATE:
            (self.directory / folder).mkdir()
        _copy_files(CAPABILITIES, self._probed)
        port = 20000 + 100 * random.randrange(400)  # libvirt passes over a port that is taken; this makes it rare
        etc = self.directory / "etc"
        (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(host_uuid=self.host_uuid))
        (etc / "qemu.conf").write_text(QEMU_CONF.format(display_port=port, last_display_port=port + 99))
        (etc / "virtlogd.conf").write_text("")

    def _spawn(self, daemon: str) -> subprocess.Popen[bytes]:
        """Each daemon gets namespaces of its own; the folders beneath make them one host."""
        steps = [f"hostname {self.hostname}"]
        folders = {path: self.directory / folder for folder, path in PRIVATE.items()}
        if self._openvswitch is not None:
            folders["/run/openvswitch"] = self._openvswitch
        for path, folder in folders.items():
            steps.append(f"mkdir -p {path} && mount --bind {folder} {path}")
        steps += [f"mount --bind {node} {path}" for path, node in self.nodes.items()]
        steps.append(f"exec {daemon} --config /etc/libvirt/{daemon}.conf --pid-file /run/libvirt/{daemon}.pid")
        inside = ["ip", "netns", "exec", self._namespace] if self._namespace else []
        command = [*inside, "unshare", "--mount", "--uts", "--propagation", "private", "sh", "-ec", "\n".join(steps)]
        with (self.directory / f"{daemon}.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _answers(self) -> bool:
        for name, daemon in self._daemons.items():
            if daemon.poll() is not None:
                raise ChildProcessError(f"{name} ended with status {daemon.returncode}: {self.log()}")
        try:
            # Knock first: the refusal that libvirt itself meets is printed, and there is no stopping it.
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(str(self.directory / "run/libvirt-sock"))
            self.connect().close()
        except (OSError, libvirt.libvirtError):
            return False
        return True

    @property
    def _probed(self) -> Path:
        """Where libvirt keeps what QEMU was found able to do. Finding out takes eight seconds, so hosts hand it on."""
        return self.directory / "cache/qemu/capabilities"


def _copy_files(source: Path, target: Path) -> None:
    """Copy each file whole or not at all: several hosts may come and go at once. libvirt itself tests what is stale."""
    if not source.is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    for file in source.glob("*.xml"):
        passing = target / f".{file.name}.{uuid.uuid4().hex}"
        shutil.copy(file, passing)
        passing.rename(target / file.name)


def _members(directory: Path) -> Iterator[int]:
    """The processes that live in a test host's mount namespaces; nobody else sees its folder in that place."""
    mark = f"/{directory.name}/run {PRIVATE['run']} "
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if mark in mounts.read_text():
                yield int(mounts.parent.name)


def _end_members(directory: Path) -> None:
    def all_gone() -> bool:
        for pid in members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not members()

    def members() -> list[int]:
        return [pid for pid in _members(directory) if alive(pid)]

    wait_for(all_gone, STOP_TIMEOUT_SECONDS, lambda: f"processes of {directory} do not end: {members()}")
