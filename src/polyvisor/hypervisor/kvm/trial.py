"""Whether KVM works here, found by trying: a tiny guest has to show life. /dev/kvm alone tells nothing.

Where it stays silent under KVM, the same guest is started under QEMU's own emulation: only if that one lives, it was
KVM's
fault, and the finding is kept until the machine is booted again.
"""

import contextlib
import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.kvm import trial_guest
from polyvisor.hypervisor.kvm.capabilities import HostCapabilities
from polyvisor.hypervisor.kvm.connection import Connection
from polyvisor.hypervisor.kvm.settings import KvmSettings, VirtType
from polyvisor.model.record import Record

log = structlog.get_logger()

_START_SECONDS = 180
_POLL_SECONDS = 0.05
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOTE = "virt-type.json"


class Finding(Record):
    """Which virtualization type guests get, and why."""

    virt_type: str
    """"kvm" or "qemu"."""
    reason: str = ""
    """Why it is not KVM, in a sentence for the operator."""
    certain: bool = True
    """False where even emulation showed no life in time: it is tried again."""


class _Note(Record):
    key: str
    """What the finding depends on."""
    finding: Finding


class Trial:
    """Finds the virtualization type of one host, once."""

    def __init__(self, connection: Connection, settings: KvmSettings, directory: Path) -> None:
        self._connection = connection
        self._settings = settings
        self._directory = directory
        self._lock = threading.Lock()
        self._found: tuple[str, Finding] | None = None

    def find(self, host: HostCapabilities) -> Finding:
        """The virtualization type. The first call may take a minute where KVM does not work. Raises Unreachable."""
        if self._settings.virt_type is not VirtType.AUTO:
            return self._chosen(host)
        if "kvm" not in host.virt_types:
            return Finding(
                virt_type="qemu",
                reason="libvirt offers no KVM here, so guests are emulated by QEMU (TCG), many times slower; "
                "enable virtualization in the machine's firmware and load the kvm module.",
            )
        with self._lock:  # whoever comes second waits for the same trial
            key = self._key()
            if self._found is None or self._found[0] != key:
                finding = self._noted(key) or self._try(host, key)
                if not finding.certain:
                    return finding
                self._found = (key, finding)
            return self._found[1]

    def _chosen(self, host: HostCapabilities) -> Finding:
        chosen = str(self._settings.virt_type)
        if chosen in host.virt_types:
            return Finding(virt_type=chosen)
        raise HypervisorError(f'virt_type is "{chosen}", which libvirt does not offer on this host; set it to "auto".')

    def _key(self) -> str:
        """Another boot, QEMU or libvirt may find otherwise."""
        versions = self._connection.run(lambda link: (link.getVersion(), link.getLibVersion()))
        return f"{_BOOT_ID.read_text().strip()} {versions[0]} {versions[1]} {self._connection.uri}"

    def _noted(self, key: str) -> Finding | None:
        try:
            note = msgspec.json.decode((self._directory / _NOTE).read_bytes(), type=_Note)
        except (OSError, msgspec.MsgspecError):
            return None
        return note.finding if note.key == key else None

    def _try(self, host: HostCapabilities, key: str) -> Finding:
        for leftover in self._directory.glob("trial-*-*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        finding = self._compare(host)
        log.info(
            "tried whether KVM works", place=self._connection.place, virt_type=finding.virt_type, reason=finding.reason
        )
        if finding.certain:
            passing = self._directory / f"{_NOTE}.new"
            passing.write_bytes(msgspec.json.encode(_Note(key=key, finding=finding)))
            passing.replace(self._directory / _NOTE)
        return finding

    def _compare(self, host: HostCapabilities) -> Finding:
        silence = self._silence("kvm", host)
        if silence is None:
            return Finding(virt_type="kvm")
        if host.architecture != trial_guest.ARCHITECTURE:
            return Finding(
                virt_type="qemu",
                reason=f"KVM could not be tried on {host.architecture}: {silence}; set virt_type where you know.",
            )
        emulated = self._silence("qemu", host)
        if emulated is not None:
            return Finding(
                virt_type="qemu",
                certain=False,
                reason=f"A trial guest showed no life, neither under KVM ({silence}) nor emulated ({emulated}); "
                "see libvirt's and QEMU's logs.",
            )
        return Finding(
            virt_type="qemu",
            reason=f"KVM does not work here ({silence}), so guests are emulated by QEMU (TCG), many times slower; "
            "enable virtualization (also nested, where this is a guest itself) and let QEMU's user open /dev/kvm.",
        )

    def _silence(self, virt_type: str, host: HostCapabilities) -> str | None:
        """Why the trial guest showed no life; None where it did."""
        if host.architecture != trial_guest.ARCHITECTURE:
            return f"the trial guest is made for {trial_guest.ARCHITECTURE}"
        directory = self._directory / f"trial-{virt_type}-{secrets.token_hex(4)}"
        directory.mkdir(mode=0o711)
        directory.chmod(0o711)
        try:
            return self._run_guest(virt_type, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _run_guest(self, virt_type: str, directory: Path) -> str | None:
        disk, output = directory / "trial.raw", directory / "trial.log"
        disk.write_bytes(trial_guest.disk())
        output.touch(mode=0o644)
        definition = trial_guest.definition(virt_type, self._settings, disk, output)
        try:
            name = self._connection.run(lambda link: _start(link, definition), timeout_seconds=_START_SECONDS)
        except Unreachable:
            raise
        except HypervisorError as error:
            return str(error)
        try:
            deadline = time.monotonic() + self._settings.trial_seconds
            while trial_guest.WORD not in output.read_bytes():
                if time.monotonic() > deadline:
                    return f"a trial guest showed no life within {self._settings.trial_seconds:g} s"
                time.sleep(_POLL_SECONDS)
            return None
        finally:
            self._connection.run(lambda link: _end(link, name))


def _start(link: Any, definition: str) -> str:
    import libvirt

    # It ends with this connection, should we be killed.
    return str(link.createXML(definition, libvirt.VIR_DOMAIN_START_AUTODESTROY).name())


def _end(link: Any, name: str) -> None:
    import libvirt

    with contextlib.suppress(libvirt.libvirtError):
        link.lookupByName(name).destroy()
