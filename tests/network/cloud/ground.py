"""What a cloud of both kinds stands on: OVN with two KVM hosts, a vCenter, and one physical network between them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from ha.cloud import AgentPlan
from testbed.libvirt import TestLibvirt
from testbed.openvswitch import TestOpenvSwitch
from testbed.ovn import TestOvn
from testbed.ovn_chassis import PHYSICAL_NETWORK
from testbed.ovn_guest import run
from testbed.vcenter import TestVcenter

SERVER, VCENTER = "server-1", "vcenter"
KVM_PLACES = ("hv1", "hv2")
"""Each is a part of the network, a chassis, a libvirt host, and its agent's name and place."""
VSPHERE_PLACE = "vc-1"
VLANS = "100:199"
OUTSIDE_ADDRESS = "172.24.5.1"
_SWITCH = "DC0_DVS0"
_UPLINK = "uplink"

NETWORK_SETTINGS = """\
[network]
backend = "ovn"
ovn_northbound = "{northbound}"
ovn_southbound = "{southbound}"

[[network.physical]]
name = "{physical}"
flat = true
vlans = ["{vlans}"]
"""
_KVM = """\
driver = "kvm"
uri = "{uri}"
virt_type = "qemu"
instances_path = "{instances}"
openvswitch_database = "{database}"
"""
_VSPHERE = """\
driver = "vsphere"
host = "{vcenter.host}"
user = "{vcenter.user}"
password_file = "{password}"
thumbprint = "{vcenter.thumbprint_sha256}"
switches = {{ {physical} = "{switch}" }}
"""


class Ground:
    """From `with` to the end of the block. `outside` is somebody on the physical network, without a VLAN."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.ovn = stack.enter_context(TestOvn(len(KVM_PLACES), SERVER, VCENTER))
            self._compute_checksums()
            self.outside = self.ovn.outside(f"{OUTSIDE_ADDRESS}/24")
            self.chassis = {each.name: each for each in self.ovn.chassis}
            self.libvirts = {
                each.name: stack.enter_context(
                    TestLibvirt(each.name, namespace=each.namespace, openvswitch=each.directory)
                )
                for each in self.ovn.chassis
            }
            self.switch = stack.enter_context(TestOpenvSwitch(self.ovn.underlay.namespace(VCENTER)))
            self.vcenter = stack.enter_context(self._vcenter())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def instances(self, place: str) -> Path:
        """Where the disks of a KVM host's guests lie."""
        return self.libvirts[place].directory / "instances"

    def settings(self) -> str:
        """What servers are told of networks."""
        return NETWORK_SETTINGS.format(
            northbound=self.ovn.northbound, southbound=self.ovn.southbound, physical=PHYSICAL_NETWORK, vlans=VLANS
        )

    def plans(self) -> list[AgentPlan]:
        """An agent beside each libvirtd and ovn-controller, and one before vCenter."""
        password = self._folder / "vcenter-password"
        password.touch(0o600)
        password.write_text(self.vcenter.password)
        kvm = {
            place: _KVM.format(
                uri=host.uri,
                instances=self.instances(place),
                database=f"unix:{self.chassis[place].directory}/db.sock",
            )
            for place, host in self.libvirts.items()
        }
        vsphere = _VSPHERE.format(vcenter=self.vcenter, password=password, physical=PHYSICAL_NETWORK, switch=_SWITCH)
        return [
            *(AgentPlan(name=place, place=place, settings=settings) for place, settings in kvm.items()),
            AgentPlan(name="vsphere", place=VSPHERE_PLACE, settings=vsphere, part=VCENTER),
        ]

    def plugged(self) -> dict[str, list[str]]:
        """The ports of every switch that guests are plugged into, but for the switches' own."""
        found = {name: each.vsctl("list-ports", "br-int").split() for name, each in self.chassis.items()}
        found[VSPHERE_PLACE] = self.switch.vsctl("list-ports", "br-phys").split()
        return {
            name: sorted(port for port in ports if not port.startswith(("ovn-", "patch-", _UPLINK)))
            for name, ports in found.items()
        }

    def _vcenter(self) -> TestVcenter:
        """Its distributed switch is a bridge with an uplink to the physical network, a trunk of all VLANs."""
        self.switch.add_bridge("br-phys")
        namespace = self.switch.namespace
        peer = ["type", "veth", "peer", "name", VCENTER, "netns", self.outside.namespace]
        run(["ip", "link", "add", _UPLINK, "netns", namespace, *peer])
        run(["ip", "-n", namespace, "link", "set", _UPLINK, "up"])
        self.outside.run("ip", "link", "set", VCENTER, "master", "switch", "up")
        self.outside.run("ethtool", "-K", VCENTER, "tx", "off")
        self.switch.vsctl("add-port", "br-phys", _UPLINK)
        return TestVcenter(
            self._folder / VCENTER,
            namespace=namespace,
            listen=f"{self.ovn.underlay.address(VCENTER)}:0",
            openvswitch=self.switch.database,
            bridges=f"{_SWITCH}=br-phys",
            guests_die_with_me=True,
        )

    def _compute_checksums(self) -> None:
        """In whoever sends into the userspace datapath: it hands packets on as they are."""
        underlay = self.ovn.underlay
        for part in (SERVER, VCENTER):
            run(underlay.command(part, ["ethtool", "-K", "eth0", "tx", "off"]))
