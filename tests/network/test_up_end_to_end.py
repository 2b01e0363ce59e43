"""A cloud on one bare machine: `polyvisor up` and three commands, and two guests talk to each other over OVN."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.bare_machine import BareMachine
from testbed.guest import build
from testbed.libvirt import TestLibvirt
from testbed.process import wait_for
from tests.clients.cloud import ADMIN, PROGRAM, RunningCloud

pytestmark = [pytest.mark.xdist_group("ovn"), pytest.mark.timeout(900)]

PATIENCE_SECONDS = 300.0
CONFIGURATION = """\
[[network.physical]]
name = "physnet1"
flat = true

[[hypervisor]]
name = "kvm"
driver = "kvm"
uri = "{uri}"
virt_type = "qemu"
"""
OUTSIDE = "203.0.113.1/24"
OUTSIDE_SUBNET = "203.0.113.0/24"
PING = """\
#!/bin/sh
until ping -c 1 -W 2 {address}; do sleep 1; done
"""


@pytest.fixture
def machine() -> Iterator[BareMachine]:
    with BareMachine() as made:
        yield made


@pytest.fixture
def cloud(machine: BareMachine, tmp_path: Path) -> Iterator[RunningCloud]:
    """On a machine with a libvirtd, and no Open vSwitch."""
    with TestLibvirt("kvm-1", namespace=machine.namespace, openvswitch=machine.openvswitch) as host:
        made = RunningCloud(tmp_path, program=machine.command(PROGRAM), listen=f"{machine.address}:0")
        made.data.mkdir()
        (made.data / "polyvisor.toml").write_text(CONFIGURATION.format(uri=host.uri))
        with made:
            yield made
            print(f"Logged:\n{made.logged()}")


def test_guests_get_their_addresses_and_reach_each_other_and_are_reached(
    cloud: RunningCloud, machine: BareMachine, tmp_path: Path
) -> None:
    assert "\nNetworks: OVN, started by polyvisor" in cloud.logged()
    properties = {"disk_format": "qcow2", "container_format": "bare", "visibility": "public"}
    cloud.sdk(ADMIN).image.create_image("guest", filename=str(build().qcow2), wait=True, **properties)
    cloud.openstack("network", "create", "net")
    cloud.openstack("subnet", "create", "--network", "net", "--subnet-range", "10.9.0.0/24", "subnet")
    first = boot(cloud, "first")
    address = next(iter(cloud.sdk().compute.get_server(first).addresses.values()))[0]["addr"]
    cloud.kill()
    cloud.start()
    (tmp_path / "ping").write_text(PING.format(address=address))
    second = boot(cloud, "second", "--user-data", str(tmp_path / "ping"))
    compute = cloud.sdk().compute
    assert f"ip=eth0={address}/24" in once_ready(compute, first), "it has asked by DHCP"
    assert "userdata=0" in once_ready(compute, second), "it has asked for its user data, and pinged the first"

    machine.run("ip", "address", "add", OUTSIDE, "dev", "br-physnet1")
    floating = floating_ip(cloud, first)
    assert not speaks(machine, floating), "the default security group lets nobody in"
    cloud.openstack("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "22", "default")
    wait_for(lambda: speaks(machine, floating), PATIENCE_SECONDS, lambda: f"no sshd at {floating}: {cloud.logged()}")


def boot(cloud: RunningCloud, name: str, *options: str) -> str:
    """The id of a server on the network, once it is ACTIVE."""
    words = ("--image", "guest", "--flavor", "m1.nano", "--nic", "net-id=net", "--wait", *options)
    return str(cloud.ask("server", "create", *words, name)["id"])


def floating_ip(cloud: RunningCloud, server: str) -> str:
    """An address of the machine's outside for a server."""
    words = ("--external", "--provider-network-type", "flat", "--provider-physical-network", "physnet1")
    cloud.openstack("network", "create", *words, "outside", cloud=ADMIN)
    subnet = ("--network", "outside", "--subnet-range", OUTSIDE_SUBNET, "--gateway", OUTSIDE.partition("/")[0])
    cloud.openstack("subnet", "create", *subnet, "--no-dhcp", "outside", cloud=ADMIN)
    cloud.openstack("router", "create", "--external-gateway", "outside", "router")
    cloud.openstack("router", "add", "subnet", "router", "subnet")
    address = str(cloud.ask("floating", "ip", "create", "outside")["floating_ip_address"])
    cloud.openstack("server", "add", "floating", "ip", server, address)
    return address


def speaks(machine: BareMachine, address: str) -> bool:
    """Whether an sshd says there who it is, to the machine itself."""
    said = machine.run("sh", "-c", f"sleep 3 | timeout 5 busybox nc {address} 22 | head -c 8")
    return said == "SSH-2.0-"


def once_ready(compute: Any, server: str) -> str:
    """What the guest says of itself when it is ready."""
    wait_for(
        lambda: "CLOUD-READY" in console(compute, server),
        PATIENCE_SECONDS,
        lambda: f"{server} does not get ready: {console(compute, server)[-2000:]}",
    )
    return console(compute, server).partition("CLOUD-READY")[2]


def console(compute: Any, server: str) -> str:
    """What the guest has written. It writes slowly: to ask more often makes it slower still."""
    time.sleep(1)
    return str(compute.get_server_console_output(server)["output"])
