"""The demonstration's acts, as somebody would type them; each checks what it shows."""

import re
import subprocess

from demo.beds import Beds
from demo.terminal import ADMIN, DemoFailed, Terminal

JOIN_TIMEOUT_SECONDS = 180
ACTIVE_TIMEOUT_SECONDS = 300
BOOT_TIMEOUT_SECONDS = 300
BY_METADATA = ("on-kvm", "on-vsphere")
"""The servers that their image alone sends to a hypervisor."""
SERVER = "server create -c id -c name -c status --flavor m1.nano --key-name ada"
ALONE = "--nic none --config-drive True"
IMAGE = "image create -c id -c name -c status -c disk_format --container-format bare"


def see_hypervisors(terminal: Terminal) -> None:
    """Both hypervisors join, each in an aggregate of its kind."""
    terminal.say("Two hypervisors join by themselves, and fall into aggregates of their kinds.")
    terminal.type_until(
        f"openstack {ADMIN} hypervisor list", lambda shown: shown.count(" up ") >= 2, JOIN_TIMEOUT_SECONDS
    )
    terminal.type(f"openstack {ADMIN} aggregate list --long")


def register_images_and_key(terminal: Terminal, beds: Beds) -> None:
    """Upload one disk in three guises, and a new key."""
    terminal.say("The same disk as qcow2 for KVM/QEMU, as VMDK for vSphere, and once without a word of where to run.")
    create = f"openstack {IMAGE}"
    kind = _kvm_kind(terminal)
    terminal.type(f"{create} --disk-format qcow2 --property img_hv_type={kind} --file {beds.image.qcow2} for-kvm")
    terminal.type(
        f"{create} --disk-format vmdk --property img_hv_type=vmware --property vmware_disktype=streamOptimized "
        f"--property vmware_adaptertype=lsiLogic --file {beds.image.vmdk} for-vsphere"
    )
    terminal.type(f"openstack {ADMIN} {IMAGE} --public --disk-format qcow2 --file {beds.image.qcow2} anywhere")
    key = beds.folder / "ada"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@example", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    terminal.type(f"openstack keypair create -c name -c fingerprint --public-key {key}.pub ada")
    terminal.type(f"openstack {ADMIN} keypair create -c name -c fingerprint --public-key {key}.pub ada")


def boot_by_metadata(terminal: Terminal, nic: str = ALONE) -> None:
    """Two servers, each sent to its hypervisor by its image's metadata alone. `nic`: options for their network."""
    terminal.say("Two servers. Nothing but the image says where they run.")
    for name in BY_METADATA:
        terminal.type(f"openstack {SERVER} {nic} --image for-{name.removeprefix('on-')} {name}")
    _wait_until_active(terminal, "", 2)
    columns = "-f csv --quote none -c Name -c Status -c 'Image Name' -c Host"
    shown = terminal.type(f"openstack {ADMIN} server list --all-projects --long {columns}")
    placed = {line.split(",")[0]: _kinds(terminal)[line.split(",")[-1]] for line in shown.splitlines()[1:]}
    if placed["on-vsphere"] != "vmware" or placed["on-kvm"] == "vmware":
        raise DemoFailed(f"the servers run in the wrong places: {placed}")


def read_consoles(terminal: Terminal, source: str = "configdrive") -> None:
    """Wait until both are ready. `source`: where they have asked who they are."""
    asked = "its config drive" if source == "configdrive" else "the metadata service, after an address by DHCP"
    terminal.say(f"Each guest says on its serial console who it is and whose key it took: it has asked {asked}.")
    for name in BY_METADATA:
        _read_console(terminal, "", name, source)


def boot_anywhere(terminal: Terminal) -> None:
    """One image without a hypervisor type, on both kinds: converted on demand."""
    terminal.say(
        "One image that names no hypervisor boots on both: what a hypervisor cannot read is converted, once. "
        "These have no network: a config drive tells them who they are."
    )
    for host, kind in _kinds(terminal).items():
        terminal.type(f"openstack {ADMIN} {SERVER} {ALONE} --image anywhere --host {host} anywhere-on-{kind}")
    _wait_until_active(terminal, ADMIN, 2)
    for kind in _kinds(terminal).values():
        _read_console(terminal, ADMIN, f"anywhere-on-{kind}", "configdrive")


def delete_everything(terminal: Terminal) -> None:
    """Delete all that was made."""
    terminal.say("All of it goes.")
    terminal.type(f"openstack server delete --wait {' '.join(BY_METADATA)}")
    names = " ".join(f"anywhere-on-{kind}" for kind in _kinds(terminal).values())
    terminal.type(f"openstack {ADMIN} server delete --wait {names}")
    terminal.type("openstack image delete for-kvm for-vsphere")
    terminal.type(f"openstack {ADMIN} image delete anywhere")
    terminal.type("openstack keypair delete ada")
    terminal.type(f"openstack {ADMIN} keypair delete ada")
    left = terminal.type(f"openstack {ADMIN} server list --all-projects -f value")
    if left.strip():
        raise DemoFailed("servers are still listed")


def _wait_until_active(terminal: Terminal, cloud: str, count: int) -> None:
    def active(shown: str) -> bool:
        if "ERROR" in shown:
            raise DemoFailed(f"a server failed:\n{shown}\n{_faults(terminal, cloud)}")
        return shown.count(" ACTIVE ") == count

    terminal.type_until(f"openstack {cloud} server list".replace("  ", " "), active, ACTIVE_TIMEOUT_SECONDS)


def _faults(terminal: Terminal, cloud: str) -> str:
    servers = terminal.ask(f"openstack {cloud} server list")
    return "\n".join(str(terminal.ask(f"openstack {ADMIN} server show {each['ID']}").get("fault")) for each in servers)


def _read_console(terminal: Terminal, cloud: str, name: str, source: str) -> None:
    fingerprint = terminal.once(f"openstack {cloud} keypair show ada")["fingerprint"]
    ready = re.compile(rf"CLOUD-READY host={name} uuid=\S+ src={source} keys=1 key={fingerprint} .*\s*\Z")
    command = f"openstack {cloud} console log show {name}".replace("  ", " ")
    terminal.type_until(command, lambda log: ready.search(log) is not None, BOOT_TIMEOUT_SECONDS)


def _kinds(terminal: Terminal) -> dict[str, str]:
    """Host name to hypervisor type, in lower case."""
    rows = terminal.once(f"openstack {ADMIN} hypervisor list")
    return {row["Hypervisor Hostname"]: row["Hypervisor Type"].lower() for row in rows}


def _kvm_kind(terminal: Terminal) -> str:
    """What this machine's libvirt host is: `kvm`, or `qemu` where KVM does not work."""
    return next(kind for kind in _kinds(terminal).values() if kind != "vmware")
