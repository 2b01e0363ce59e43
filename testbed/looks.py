"""What hypervisors hold, read from below: by their own interfaces, processes and files, never through Polyvisor."""

import re
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

from testbed.audit import Look
from testbed.libvirt import TestLibvirt
from testbed.process import alive
from testbed.vcenter import TestVcenter

_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SERVER_FOLDER = "pv-"


def simulated(place: str, file: Path) -> list[Look]:
    """The guests of a simulated estate, from its file."""
    with closing(sqlite3.connect(file)) as world:
        return [Look(place, "guest", tuple(id for (id,) in world.execute("SELECT server_id FROM guest")))]


def kvm(place: str, host: TestLibvirt, instances: Path) -> list[Look]:
    """libvirt's domains, the processes of QEMU, and the directories of disks. libvirtd must run."""
    with closing(host.connect()) as connection:
        domains = tuple(domain.UUIDString() for domain in connection.listAllDomains())
        ids = {domain.name(): domain.UUIDString() for domain in connection.listAllDomains()}
    # A process that libvirt does not know counts under its own name, and so as nobody's.
    processes = tuple(ids.get(name, name) for name, pid in host.guests().items() if alive(pid))
    disks = tuple(each.name for each in instances.iterdir() if _ID.fullmatch(each.name)) if instances.is_dir() else ()
    return [Look(place, "guest", domains), Look(place, "process", processes), Look(place, "disk", disks)]


def vsphere(place: str, vcenter: TestVcenter) -> list[Look]:
    """vCenter's VMs, the processes behind them, and the folders of disks on its datastores."""
    ids = _machines(vcenter)
    processes = tuple(ids.get(reference, reference) for reference, pid in vcenter.guests().items() if alive(pid))
    disks = tuple(
        folder.name.removeprefix(_SERVER_FOLDER)
        for folder in vcenter.data_dir.glob(f"datastores/*/*/{_SERVER_FOLDER}*")
        if _ID.fullmatch(folder.name.removeprefix(_SERVER_FOLDER))
    )
    return [Look(place, "guest", tuple(ids.values())), Look(place, "process", processes), Look(place, "disk", disks)]


def port_groups(vcenter: TestVcenter) -> frozenset[str]:
    """The names of the port groups of vCenter's distributed switches."""
    with _content(vcenter) as content:
        kinds = [vim.dvs.DistributedVirtualPortgroup]
        view = content.viewManager.CreateContainerView(content.rootFolder, kinds, True)
        return frozenset(str(each.name) for each in view.view)


def _machines(vcenter: TestVcenter) -> dict[str, str]:
    """Managed object id → instanceUuid of every VM."""
    with _content(vcenter) as content:
        view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
        return {vm._moId: _instance_uuid(content, vm) for vm in view.view}


@contextmanager
def _content(vcenter: TestVcenter) -> Iterator[Any]:
    """What a session's service instance has."""
    context = ssl.create_default_context(cafile=str(vcenter.cert_path))
    context.check_hostname = False
    host, port = vcenter.host.rsplit(":", 1)
    session = SmartConnect(host=host, port=int(port), user=vcenter.user, pwd=vcenter.password, sslContext=context)
    try:
        yield session.RetrieveContent()
    finally:
        Disconnect(session)


def _instance_uuid(content: Any, vm: Any) -> str:
    """One property, alone: `config` as a whole holds what the simulator cannot say."""
    query = vmodl.query.PropertyCollector
    spec = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=vm)],
        propSet=[query.PropertySpec(type=vim.VirtualMachine, pathSet=["config.instanceUuid"])],
    )
    found = content.propertyCollector.RetrieveContents([spec])
    return str(found[0].propSet[0].val) if found and found[0].propSet else str(vm._moId)
