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
[[hypervisor]]
name = "kvm"
driver = "kvm"
uri = "{uri}"
virt_type = "qemu"
"""
PING = """\
#!/bin/sh
until ping -c 1 -W 2 {address}; do sleep 1; done
"""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    """On a machine with a libvirtd, and no Open vSwitch."""
    with (
        BareMachine() as machine,
        TestLibvirt("kvm-1", namespace=machine.namespace, openvswitch=machine.openvswitch) as host,
    ):
        made = RunningCloud(tmp_path, program=machine.command(PROGRAM), listen=f"{machine.address}:0")
        made.data.mkdir()
        (made.data / "polyvisor.toml").write_text(CONFIGURATION.format(uri=host.uri))
        with made:
            yield made
            print(f"Logged:\n{made.logged()}")


def test_two_guests_get_their_addresses_and_reach_each_other(cloud: RunningCloud, tmp_path: Path) -> None:
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


def boot(cloud: RunningCloud, name: str, *options: str) -> str:
    """The id of a server on the network, once it is ACTIVE."""
    words = ("--image", "guest", "--flavor", "m1.nano", "--nic", "net-id=net", "--wait", *options)
    return str(cloud.ask("server", "create", *words, name)["id"])


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
