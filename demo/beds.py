"""What the cloud of the demonstration runs on: a libvirt, a test vCenter with real guests, room for networks."""

import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from demo import ground
from demo.ground import Ground
from demo.terminal import DemoFailed, Terminal
from testbed import guest, vcenter
from testbed.bare_machine import BareMachine
from testbed.libvirt import TestLibvirt
from testbed.vcenter import TestVcenter, VcenterError

WITHOUT_NETWORKS = """\
[network]
backend = "none"
"""
HYPERVISORS = """
[[hypervisor]]
name = "kvm-1"
driver = "kvm"
uri = "{libvirt}"

[[hypervisor]]
name = "vc-1"
driver = "vsphere"
host = "{host}"
user = "{user}"
password_file = "{password_file}"
thumbprint = "{thumbprint}"
"""


class Beds:
    """Everything below the cloud, from `with` to the end of the block."""

    def __init__(self, terminal: Terminal, folder: Path, libvirt_uri: str | None) -> None:
        self._terminal = terminal
        self.folder = folder
        self.libvirt_uri = libvirt_uri or ""
        self.ground: Ground | None = None
        """Where networks are; None: there are none."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._terminal.say("What it runs on; built the first time, and cached.")
        try:
            self._build()
            self._start()
        except (OSError, VcenterError, subprocess.CalledProcessError) as error:
            self._stack.close()
            raise DemoFailed(str(error)) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def configuration(self) -> str:
        """The cloud's polyvisor.toml."""
        hypervisors = HYPERVISORS.format(
            libvirt=self.libvirt_uri,
            host=self.vcenter.host,
            user=self.vcenter.user,
            password_file=self._password_file,
            thumbprint=self.vcenter.thumbprint_sha256,
        )
        if self.ground is None:
            return WITHOUT_NETWORKS + hypervisors
        return f"{ground.NETWORK}{hypervisors}{ground.SWITCHES}"

    def _build(self) -> None:
        start = time.monotonic()
        self.image = guest.build()
        size_mb = self.image.qcow2.stat().st_size / 1e6
        self._terminal.say(f"The guest image, {size_mb:.0f} MB ({time.monotonic() - start:.1f} s)")
        start = time.monotonic()
        vcenter.build()
        self._terminal.say(f"The test vCenter's program ({time.monotonic() - start:.1f} s)")

    def _start(self) -> None:
        if self.libvirt_uri:
            self._terminal.say("Without networks: they are shown with a libvirt of the demonstration's own.")
        elif os.geteuid() != 0:
            self.libvirt_uri = "qemu:///session"
            self._terminal.say(
                "Without networks: only root can start Open vSwitch and OVN. As root, `make demo` shows them, too."
            )
        else:
            machine = self._stack.enter_context(BareMachine())
            self.ground = Ground(machine, self.folder)
            host = TestLibvirt("kvm-1", namespace=machine.namespace, openvswitch=machine.openvswitch)
            self.libvirt_uri = self._stack.enter_context(host).uri
            self._terminal.say(
                f"A machine within this one, where neither Open vSwitch nor OVN runs: {self.ground.inside} …"
            )
        self.vcenter = self._stack.enter_context(self._made_vcenter())
        self._password_file = self.folder / "vcenter-password"
        self._password_file.touch(0o600)
        self._password_file.write_text(self.vcenter.password)
        self._terminal.say(f"A libvirt at {self.libvirt_uri}", f"A vCenter at {self.vcenter.url}")

    def _made_vcenter(self) -> TestVcenter:
        """It plugs its guests into a bridge that is not there before the cloud is up."""
        data = self.folder / "vcenter"
        if self.ground is None:
            return TestVcenter(data)
        machine = self.ground.machine
        plugged: dict[str, Any] = {"openvswitch": self.ground.switch_database, "bridges": ground.SWITCH_BRIDGES}
        return TestVcenter(data, namespace=machine.namespace, listen=f"{machine.address}:0", **plugged)
