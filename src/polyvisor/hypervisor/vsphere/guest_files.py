"""The files of a guest that is there: which datastores it lies on, and which files vSphere does not remove with it."""

from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.vsphere.datastore import PATHS, store
from polyvisor.hypervisor.vsphere.files import Files
from polyvisor.hypervisor.vsphere.guest_spec import BOOT_DISC, CONFIG_DRIVE, CONSOLE_LOG
from polyvisor.hypervisor.vsphere.inventory import Inventory
from polyvisor.hypervisor.vsphere.properties import Properties, read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.model.record import Record

VM_PATHS = ["parent", "datastore", "runtime.host", "config.hardware.device"]


class FilePath(Record):
    """A datastore path, "[datastore] folder/file", in its parts."""

    datastore: str
    relative: str

    @classmethod
    def parse(cls, path: str) -> "FilePath":
        """From vSphere's form."""
        datastore, _, relative = path.removeprefix("[").partition("]")
        return cls(datastore=datastore, relative=relative.strip())


def files_of(session: Session, inventory: Inventory, props: Properties) -> dict[str, Files]:
    """The datastores a VM lies on, by name. `props`: its VM_PATHS."""
    cluster = inventory.cluster_of_host(props.get("runtime.host"))
    found = {}
    for reference in props.get("datastore", ()):
        seen = read(session, reference, PATHS)
        if seen is not None:
            found[seen["name"]] = Files(session, cluster, store(reference, seen, ()))
    return found


def own_files(props: Properties) -> list[FilePath]:
    """The config drive, the boot disc and the console log: what vSphere leaves when it destroys the VM."""
    backings = [getattr(device, "backing", None) for device in props.get("config.hardware.device", ())]
    paths = [FilePath.parse(getattr(backing, "fileName", None) or "") for backing in backings]
    return [path for path in paths if path.relative.rpartition("/")[2] in (BOOT_DISC, CONFIG_DRIVE, CONSOLE_LOG)]


def console_log_path(props: Properties) -> FilePath | None:
    """Where the serial port's output goes; None where the VM has no such port."""
    for device in props.get("config.hardware.device", ()):
        if isinstance(device, vim.vm.device.VirtualSerialPort):
            name: Any = getattr(device.backing, "fileName", None)
            if name:
                return FilePath.parse(name)
    return None
