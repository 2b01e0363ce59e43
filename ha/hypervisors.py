"""What the agents serve: a libvirtd for each KVM host, and a test vCenter, each in its part of the network."""

import os
import signal
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from ha.cloud import AgentPlan
from testbed import looks
from testbed.audit import Look
from testbed.libvirt import TestLibvirt
from testbed.netns import Network
from testbed.vcenter import TestVcenter

VCENTER = "vcenter"
VCENTER_PORT = 8443
VSPHERE_PLACE = "vc-1"


class Beneath(Protocol):
    """What the cloud runs on."""

    def plans(self) -> list[AgentPlan]:
        """The agents that serve it."""

    def looks(self) -> list[Look]:
        """What it really holds."""


class Hypervisors:
    """Real ones, from `with` to the end of the block."""

    def __init__(self, network: Network, folder: Path, kvm: Iterable[str], vsphere: Iterable[str]) -> None:
        """`kvm` and `vsphere`: the names of the agents, which are parts of the network; vCenter's is "vcenter"."""
        self._folder = folder
        self.libvirts = {name: TestLibvirt(name, namespace=network.namespace(name)) for name in kvm}
        self._vsphere = tuple(vsphere)
        listen = f"{network.address(VCENTER)}:{VCENTER_PORT}" if self._vsphere else ""
        self.vcenter = (
            TestVcenter(folder / VCENTER, namespace=network.namespace(VCENTER), listen=listen)
            if self._vsphere
            else None
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for host in self.libvirts.values():
                stack.enter_context(host)
            if self.vcenter is not None:
                stack.enter_context(self.vcenter)
                self._password_file.touch(0o600)
                self._password_file.write_text(self.vcenter.password)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def plans(self) -> list[AgentPlan]:
        """The agents that serve them."""
        plans = [
            AgentPlan(
                name=name, place=name,
                settings=f'driver = "kvm"\nuri = "{host.uri}"\nvirt_type = "qemu"\n'
                f'instances_path = "{self._instances(name)}"',
            )
            for name, host in self.libvirts.items()
        ]  # fmt: skip
        if self.vcenter is not None:
            reached = (
                f'driver = "vsphere"\nhost = "{self.vcenter.host}"\nuser = "{self.vcenter.user}"\n'
                f'password_file = "{self._password_file}"\nthumbprint = "{self.vcenter.thumbprint_sha256}"'
            )
            plans += [AgentPlan(name=name, place=VSPHERE_PLACE, settings=reached) for name in self._vsphere]
        return plans

    def looks(self) -> list[Look]:
        """What they really hold."""
        found = [look for name, host in self.libvirts.items() for look in looks.kvm(name, host, self._instances(name))]
        return found if self.vcenter is None else [*found, *looks.vsphere(VSPHERE_PLACE, self.vcenter)]

    def freeze_libvirtd(self, name: str) -> None:
        """Stop a libvirtd in the middle of what it does (SIGSTOP)."""
        os.kill(self.libvirts[name].pid, signal.SIGSTOP)

    def thaw_libvirtd(self, name: str) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.libvirts[name].pid, signal.SIGCONT)

    def _instances(self, name: str) -> Path:
        return self.libvirts[name].directory / "instances"

    @property
    def _password_file(self) -> Path:
        return self._folder / "vcenter-password"
