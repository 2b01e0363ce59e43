"""The KVM driver on a real libvirtd with real QEMU guests."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt

from polyvisor.hypervisor.driver import Driver
from polyvisor.hypervisor.kvm.driver import KvmDriver
from polyvisor.hypervisor.kvm.settings import KvmSettings, VirtType
from polyvisor.hypervisor.kvm.xml import parse
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.power import Power
from testbed.guest import build
from testbed.libvirt import TestLibvirt
from testbed.netns import Network
from testbed.openvswitch import TestOpenvSwitch
from tests.hypervisor.conformance import CLOUD_ID, Bed

PLACE = "kvm-1"
FOREIGN = """
<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><title>somebody else's</title><memory unit='MiB'>16</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os><devices/></domain>"""
ANOTHER_CLOUD = "<server cloud='00000000-0000-4000-8000-000000000000' id='{uuid}'/>"


class KvmBed(Bed):
    """One libvirt host."""

    kind = "kvm"

    def __init__(self, host: TestLibvirt | None = None) -> None:
        self.host = host or TestLibvirt("kvm-1")

    def __enter__(self) -> "KvmBed":
        self.host.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.host.__exit__(*exception)

    @property
    def state_dir(self) -> Path:
        """The driver's."""
        return self.host.directory / "state"

    @property
    def recipe(self) -> dict[str, Any]:
        return {"uri": self.host.uri, "state_dir": str(self.state_dir), "openvswitch": ""}

    @staticmethod
    def connect(recipe: dict[str, Any]) -> Driver:
        settings = KvmSettings(uri=recipe["uri"], virt_type=VirtType.QEMU, openvswitch_database=recipe["openvswitch"])
        return KvmDriver(PLACE, settings, CLOUD_ID, Path(recipe["state_dir"]))

    @property
    def image_file(self) -> Path:
        return build().vmdk

    @property
    def image_format(self) -> str:
        return "vmdk"

    @property
    def image_properties(self) -> dict[str, str]:
        return {"vmware_disktype": "streamOptimized"}

    def traces(self) -> set[str]:
        # What starts with a dot is the host's own: the storage's mark, made when the host is first asked for.
        guests = (self.state_dir / "instances").glob("[!.]*")
        seen = {str(path) for each in guests for path in (each, *below(each))}
        for kept in ("lib/qemu", "etc/qemu", "run/qemu"):
            seen |= {str(path) for path in below(self.host.directory / kept) if path.name != "driver.pid"}
        link = self.host.connect()
        seen |= {f"guest {domain.UUIDString()}" for domain in link.listAllDomains()}
        link.close()
        return seen | {f"process of {name}" for name in self.host.guests()}

    def plant_foreign(self) -> str:
        guest_id = str(uuid.uuid4())
        link = self.host.connect()
        # Someone else's Polyvisor: its mark is like ours, but for the cloud's id.
        domain = link.defineXML(FOREIGN.format(name=f"foreign-{guest_id[:8]}", uuid=guest_id))
        mark = ANOTHER_CLOUD.format(uuid=guest_id)
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark, "polyvisor", "urn:polyvisor:libvirt:1")
        domain.create()
        link.close()
        return guest_id

    def foreign_state(self, guest_id: str) -> str:
        link = self.host.connect()
        domain = link.lookupByUUIDString(guest_id)
        found = f"{domain.state()} {domain.XMLDesc()}"
        link.close()
        return found

    def remove_foreign(self, guest_id: str) -> None:
        link = self.host.connect()
        domain = link.lookupByUUIDString(guest_id)
        domain.destroy()
        domain.undefine()
        link.close()

    def change_power(self, driver: Driver, server_id: str, power: Power) -> None:
        link = self.host.connect()
        domain = link.lookupByUUIDString(server_id)
        try:
            _ = domain.create() if power is Power.ON else domain.destroy()
        except libvirt.libvirtError:
            # A libvirtd that just came up is still finding its guests again: it ends the guest, and then misses it.
            if domain.isActive() != (power is Power.ON):
                raise
        link.close()

    def vanish(self, driver: Driver, server_id: str) -> None:
        link = self.host.connect()
        domain = link.lookupByUUIDString(server_id)
        if domain.isActive():
            domain.destroy()
        domain.undefine()
        link.close()

    @property
    def segment(self) -> SegmentRef:
        return SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=7)

    def plugged(self, driver: Driver, server_id: str) -> list[str]:
        link = self.host.connect()
        domain = link.lookupByUUIDString(server_id)
        defined = _cards(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        assert _cards(domain.XMLDesc()) == defined
        link.close()
        return defined

    def kill(self, driver: Driver) -> None:
        self.host.kill()

    def revive(self, driver: Driver) -> None:
        self.host.start()


def below(top: Path) -> Iterator[Path]:
    """All files and folders; what goes while it is listed is passed over, as `Path.rglob` would not do."""
    for place, folders, names in os.walk(top):
        yield from (Path(place, name) for name in (*folders, *names))


def _cards(definition: str) -> list[str]:
    return [str(mac.get("address")) for mac in parse(definition).iterfind("devices/interface/mac")]


class NetworkedKvmBed(KvmBed):
    """One libvirt host with an Open vSwitch beside it, in a network of its own."""

    def __init__(self) -> None:
        self._network = Network(PLACE)
        self.switch = TestOpenvSwitch(self._network.namespace(PLACE))
        super().__init__(TestLibvirt(PLACE, namespace=self._network.namespace(PLACE), openvswitch=self.switch.run))
        self._parts = contextlib.ExitStack()

    def __enter__(self) -> "NetworkedKvmBed":
        with contextlib.ExitStack() as parts:
            parts.enter_context(self._network)
            parts.enter_context(self.switch)
            self.switch.add_bridge("br-int")
            parts.enter_context(self.host)
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._parts.close()

    @property
    def recipe(self) -> dict[str, Any]:
        return {**super().recipe, "openvswitch": self.switch.database}

    def traces(self) -> set[str]:
        ports = self.switch.vsctl("list-ports", "br-int").split()
        return super().traces() | {f"port {port}" for port in ports}
