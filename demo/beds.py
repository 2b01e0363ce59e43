"""What the cloud of the demonstration runs on: a libvirt, a test vCenter with real guests, and the guest image."""

import os
import ssl
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import libvirt
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from demo.terminal import DemoFailed, Terminal
from testbed import guest, vcenter
from testbed.libvirt import TestLibvirt
from testbed.vcenter import TestVcenter, VcenterError

GONE_TIMEOUT_SECONDS = 180

CONFIGURATION = """\
[network]
backend = "none"

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

INVENTORY = "inventory"
"""Where the test vCenter keeps its own inventory: what is in it is asked of its API."""
BOOKKEEPING = (".staging.lock", "virt-type.json", "vsphere-host-names.json", "vcenter.json")
"""Empty locks, and what was found out about a host: nothing of a server."""
TOP_FOLDER = "polyvisor"
"""Stays when it is empty: administrators grant privileges on it."""


class Beds:
    """Everything below the cloud, from `with` to the end of the block."""

    def __init__(self, terminal: Terminal, folder: Path, libvirt_uri: str | None) -> None:
        self._terminal = terminal
        self.folder = folder
        self._libvirt_uri = libvirt_uri or ""
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

    def _build(self) -> None:
        start = time.monotonic()
        self.image = guest.build()
        size_mb = self.image.qcow2.stat().st_size / 1e6
        self._terminal.say(f"The guest image, {size_mb:.0f} MB ({time.monotonic() - start:.1f} s)")
        start = time.monotonic()
        vcenter.build()
        self._terminal.say(f"The test vCenter's program ({time.monotonic() - start:.1f} s)")

    def _start(self) -> None:
        if not self._libvirt_uri and os.geteuid() == 0:
            self._libvirt_uri = self._stack.enter_context(TestLibvirt("kvm-1")).uri
        self._libvirt_uri = self._libvirt_uri or "qemu:///session"
        self._vcenter = self._stack.enter_context(TestVcenter(self.folder / "vcenter"))
        self._password_file = self.folder / "vcenter-password"
        self._password_file.touch(0o600)
        self._password_file.write_text(self._vcenter.password)
        self._terminal.say(f"A libvirt at {self._libvirt_uri}", f"A vCenter at {self._vcenter.url}")

    def configuration(self) -> str:
        """The cloud's polyvisor.toml."""
        return CONFIGURATION.format(
            libvirt=self._libvirt_uri,
            host=self._vcenter.host,
            user=self._vcenter.user,
            password_file=self._password_file,
            thumbprint=self._vcenter.thumbprint_sha256,
        )

    def everything(self) -> set[str]:
        """What exists on both hypervisors and on disk because of servers, one name for each thing."""
        files = {
            f"file {path}"
            for root in (self.folder / "cloud" / "kvm", self.folder / "cloud" / "vsphere", self.folder / "vcenter")
            for path in root.rglob("*")
            if path.is_file() and INVENTORY not in path.parts and path.name not in BOOKKEEPING
        }
        processes = {f"process {pid} of VM {vm}" for vm, pid in self._vcenter.guests().items()}
        return self._domains() | self._vsphere_inventory() | processes | files

    def expect_nothing_left(self, before: set[str]) -> None:
        """Wait until all is as it was. Raises DemoFailed with what is left."""
        deadline = time.monotonic() + GONE_TIMEOUT_SECONDS
        while left := self.everything() - before:
            if time.monotonic() > deadline:
                raise DemoFailed("this is left: " + ", ".join(sorted(left)))
            time.sleep(0.5)
        self._terminal.say("Nothing of the servers is left in libvirt, in vCenter, or on disk.")

    def _domains(self) -> set[str]:
        connection = libvirt.open(self._libvirt_uri)
        try:
            return {f"libvirt domain {domain.name()}" for domain in connection.listAllDomains()}
        finally:
            connection.close()

    def _vsphere_inventory(self) -> set[str]:
        context = ssl.create_default_context(cafile=str(self._vcenter.cert_path))
        context.check_hostname = False
        session = SmartConnect(
            host="127.0.0.1",
            port=self._vcenter.port,
            user=self._vcenter.user,
            pwd=self._vcenter.password,
            sslContext=context,
        )
        try:
            content = session.RetrieveContent()
            kinds = [vim.VirtualMachine, vim.Folder]
            view = content.viewManager.CreateContainerView(content.rootFolder, kinds, True)
            # The folder that holds all of a cloud's machines stays: administrators grant privileges on it.
            return {f"vSphere {each._wsdlName} {each.name}" for each in view.view if each.name != TOP_FOLDER}
        finally:
            Disconnect(session)
