"""What servers and networks are made of, everywhere below the cloud: the demonstration leaves none of it."""

import ssl
import subprocess
import time
from collections import Counter
from pathlib import Path

import libvirt
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from demo.beds import Beds
from demo.terminal import DemoFailed, Terminal

GONE_TIMEOUT_SECONDS = 180
INVENTORY = "inventory"
"""Where the test vCenter keeps its own inventory: what is in it is asked of its API."""
BOOKKEEPING = (".staging.lock", "virt-type.json", "vsphere-host-names.json", "vcenter.json")
"""Empty locks, and what was found out about a host: nothing of a server."""
TOP_FOLDER = "polyvisor"
"""Stays when it is empty: administrators grant privileges on it."""


def everything(beds: Beds) -> set[str]:
    """What exists on both hypervisors, on disk and in networks: "KIND: NAME" for each thing."""
    files = {
        f"file: {path}"
        for root in (beds.folder / "cloud" / "kvm", beds.folder / "cloud" / "vsphere", beds.folder / "vcenter")
        for path in root.rglob("*")
        if path.is_file() and INVENTORY not in path.parts and path.name not in BOOKKEEPING
    }
    processes = {f"vSphere guest: {vm}, process {pid}" for vm, pid in beds.vcenter.guests().items()}
    networks = beds.ground.everything() if beds.ground else set()
    return _domains(beds) | _vsphere_inventory(beds) | processes | files | networks


def count(terminal: Terminal, beds: Beds, before: set[str]) -> None:
    """Say how many things of each kind there are beyond what was there before."""
    kinds = Counter(name.partition(": ")[0] for name in everything(beds) - before)
    terminal.say("For all this there are now:", *(f"{number:6} × {kind}" for kind, number in sorted(kinds.items())))


def expect_nothing_left(terminal: Terminal, beds: Beds, before: set[str]) -> None:
    """Wait until all is as it was. Raises DemoFailed with what is left."""
    deadline = time.monotonic() + GONE_TIMEOUT_SECONDS
    while left := everything(beds) - before:
        if time.monotonic() > deadline:
            raise DemoFailed("this is left: " + ", ".join(sorted(left)))
        time.sleep(0.5)
    terminal.say("Nothing of the servers is left in libvirt, in vCenter, or on disk.")
    if beds.ground:
        terminal.say("Nothing of the networks is left: no port, no port group, no row in OVN, no namespace.")


def expect_all_ended(terminal: Terminal, beds: Beds) -> None:
    """After the end of everything: raises DemoFailed where a process, a namespace or a file outlives it."""
    processes = [
        f"process {file.parent.name}" for file in Path("/proc").glob("[0-9]*/cmdline") if _names(file, beds.folder)
    ]
    machine = beds.ground.machine if beds.ground else None
    files = [f"{each}" for each in (beds.folder, machine.directory if machine else None) if each and each.exists()]
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout.split()
    namespaces = [f"namespace {each}" for each in listed if machine and each == machine.namespace]
    if left := [*processes, *files, *namespaces]:
        raise DemoFailed("this outlives the demonstration: " + ", ".join(left))
    terminal.say("Everything that was started has ended: no process, no namespace and no file of it is left.")


def _names(command_line: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in command_line.read_bytes()
    except OSError:  # it has ended meanwhile
        return False


def _domains(beds: Beds) -> set[str]:
    connection = libvirt.open(beds.libvirt_uri)
    try:
        return {f"libvirt domain: {domain.name()}" for domain in connection.listAllDomains()}
    finally:
        connection.close()


def _vsphere_inventory(beds: Beds) -> set[str]:
    context = ssl.create_default_context(cafile=str(beds.vcenter.cert_path))
    context.check_hostname = False
    address, _, port = beds.vcenter.host.rpartition(":")
    session = SmartConnect(
        host=address, port=int(port), user=beds.vcenter.user, pwd=beds.vcenter.password, sslContext=context
    )
    try:
        content = session.RetrieveContent()
        kinds = [vim.VirtualMachine, vim.Folder, vim.dvs.DistributedVirtualPortgroup]
        view = content.viewManager.CreateContainerView(content.rootFolder, kinds, True)
        # The folder that holds all of a cloud's machines stays: administrators grant privileges on it.
        return {f"vSphere {each._wsdlName}: {each.name}" for each in view.view if each.name != TOP_FOLDER}
    finally:
        Disconnect(session)
