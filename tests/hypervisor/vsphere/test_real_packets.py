"""Guests of the test vCenter on a real switch: their packets are on the VLAN of their port group, and on no other."""

import base64
import contextlib
import hashlib
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec, with_port_filter
from polyvisor.model.image import ImageRef
from polyvisor.model.nic import Nic
from polyvisor.model.port_filter import Permit, PortFilter
from polyvisor.model.power import Power
from testbed import guest
from testbed.netns import Network
from testbed.openvswitch import TestOpenvSwitch
from tests.hypervisor.conformance import Source

from .kit import eventually, ignore, spec_of
from .site import Site, nic_of

pytestmark = pytest.mark.timeout(600)
PLACE = "site"
BOOT_SECONDS = 240.0
# Prints "INTERFACE MAC" of every frame that comes in, from a guest's address.
SNIFF = """
import select, socket, sys
sockets = {}
for name in sys.argv[1:]:
    each = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    each.bind((name, 0))
    sockets[each] = name
print("ready", flush=True)
while True:
    for each in select.select(list(sockets), [], [])[0]:
        frame = each.recv(65535)
        if frame[6:9] == bytes.fromhex("fa163e"):
            print(sockets[each], frame[6:12].hex(":"), flush=True)
"""


class Cable:
    """A site whose distributed switch is a real bridge, with an access port on each of two VLANs to listen at."""

    def __init__(self, site: Site, network: Network, switch: TestOpenvSwitch) -> None:
        self.site, self._network, self._switch = site, network, switch
        for vlan in (120, 121):
            name = f"probe{vlan}"
            switch.vsctl("add-port", "br-phys", name, f"tag={vlan}", "--", "set", "Interface", name, "type=internal")
            subprocess.run(network.command(PLACE, ["ip", "link", "set", name, "up"]), check=True)

    def answers(self, *command: str) -> bool:
        """Whether a program on the port with VLAN 120 succeeds."""
        inside = self._network.command(PLACE, ["timeout", "5", *command])
        return subprocess.run(inside, capture_output=True, check=False).returncode == 0

    def ports(self) -> list[str]:
        """The VLAN of every guest's port."""
        names = [name for name in self._switch.vsctl("list-ports", "br-phys").split() if name.startswith("vm")]
        return [self._switch.vsctl("get", "Port", name, "tag") for name in names]

    @contextlib.contextmanager
    def heard(self) -> Iterator["subprocess.Popen[str]"]:
        """What listens on both ports."""
        command = self._network.command(PLACE, [sys.executable, "-c", SNIFF, "probe120", "probe121"])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sniffer:
            assert sniffer.stdout
            assert sniffer.stdout.readline() == "ready\n"
            yield sniffer
            sniffer.kill()


@pytest.fixture
def cable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cable]:
    with contextlib.ExitStack() as parts:
        network = parts.enter_context(Network(PLACE))
        namespace = network.namespace(PLACE)
        switch = parts.enter_context(TestOpenvSwitch(namespace))
        switch.add_bridge("br-phys")
        options = {"openvswitch": switch.database, "bridges": "DC0_DVS0=br-phys", "namespace": namespace}
        listen = f"{network.address(PLACE)}:0"
        site = Site("vcenter", tmp_path_factory.mktemp("plugged"), parts, listen=listen, **options)
        yield Cable(site, network, switch)


def make(site: Site, nic: Nic, **changes: Any) -> GuestSpec:
    """A guest that boots, off."""
    source = Source(guest.build().qcow2)
    stored = source.path.read_bytes()
    image = ImageRef(
        id=str(uuid.uuid4()), disk_format="qcow2", container_format="bare", size_bytes=len(stored),
        virtual_size_bytes=96 << 20, sha512=hashlib.sha512(stored).hexdigest(),
    )  # fmt: skip
    spec = spec_of(image=image, nics=(nic,), root_gib=0, **changes)
    site.driver.create(site.host, "", spec, source, ignore)
    return spec


def test_a_guests_packets_are_on_the_vlan_of_its_network(cable: Cable) -> None:
    site = cable.site
    nic, later = nic_of(vlan=120), nic_of(vlan=121)
    spec = make(site, nic)
    assert cable.ports() == []
    with cable.heard() as sniffer:
        site.driver.set_power(spec.server_id, Power.ON)
        assert eventually(cable.ports, bool) == ["120"]
        assert sniffer.stdout
        assert sniffer.stdout.readline().split() == ["probe120", nic.mac_address]
    site.driver.attach_nic(spec.server_id, later)
    assert sorted(cable.ports()) == ["120", "121"]

    group = site.person.named(vim.dvs.DistributedVirtualPortgroup, site.network_of(site.cards(spec)[1]))
    dvs = vim.dvs.VmwareDistributedVirtualSwitch
    policy = dvs.VmwarePortConfigPolicy(vlan=dvs.VlanIdSpec(inherited=False, vlanId=122))
    change = vim.dvs.DistributedVirtualPortgroup.ConfigSpec(defaultPortConfig=policy)
    site.person.do(lambda: group.ReconfigureDVPortgroup_Task(change))
    assert sorted(cable.ports()) == ["120", "122"]

    site.driver.set_power(spec.server_id, Power.OFF)
    assert eventually(cable.ports, lambda ports: not ports) == []
    site.driver.destroy(spec.server_id)


def test_a_guest_is_reached_as_its_security_groups_say(cable: Cable) -> None:
    site = cable.site
    assert cable.answers("ip", "addr", "add", "10.5.0.1/24", "dev", "probe120")
    bare = nic_of(vlan=120)
    ssh = Permit(ingress=True, ethertype="IPv4", protocol="tcp", port_range_min=22, port_range_max=22)
    icmp = Permit(ingress=True, ethertype="IPv4", protocol="icmp")
    first = PortFilter(port_id=bare.port_id, addresses=("10.5.0.5/32",), permits=(ssh,))
    script = "#!/bin/sh\nwhile :; do ip addr replace 10.5.0.5/24 dev eth0; sleep 1; done >/dev/null 2>&1 &\n"
    user_data = base64.b64encode(script.encode()).decode()
    spec = make(site, msgspec.structs.replace(bare, filter=first), config_drive=True, user_data=user_data)
    site.driver.set_power(spec.server_id, Power.ON)

    connect = [sys.executable, "-c", "import socket; assert socket.create_connection(('10.5.0.5', 22), 4).recv(4)"]
    ping = ["busybox", "ping", "-c", "1", "-W", "3", "10.5.0.5"]
    eventually(lambda: cable.answers(*connect), bool, BOOT_SECONDS)
    assert not cable.answers(*ping)
    second = msgspec.structs.replace(first, permits=(icmp,))
    assert with_port_filter(site.driver).filter_ports(site.host, [second]) == 1
    eventually(lambda: cable.answers(*ping), bool)
    assert not cable.answers(*connect)
    site.driver.destroy(spec.server_id)
