"""A real guest of the KVM driver on OVN: it asks for its address, answers over TCP, and is unplugged and replugged."""

from collections.abc import Iterator

import pytest

from polyvisor.hypervisor.kvm.driver import KvmDriver
from polyvisor.hypervisor.kvm.settings import KvmSettings, VirtType
from polyvisor.model.nic import Nic
from polyvisor.model.power import Power
from polyvisor.network.ovn.backend import OvnBackend
from testbed.guest import build
from testbed.libvirt import TestLibvirt
from testbed.ovn import TestOvn
from testbed.ovn_guest import TestGuest
from tests.hypervisor.conformance import CLOUD_ID, Source, image_of_file, no_progress, spec_of, wait_until
from tests.network.beds import connected, until_up
from tests.network.records import GENEVE, bound, group, mac, network, port, records, rule, subnet

pytestmark = [pytest.mark.xdist_group("ovn"), pytest.mark.timeout(900)]

GUEST, OTHER = "0a1b2c3d-4e5f-4000-8000-000000000001", "0a1b2c3d-4e5f-4000-8000-000000000002"
EGRESS = [rule("out4", "open", "egress"), rule("out6", "open", "egress", ethertype="IPv6")]


@pytest.fixture
def backend(ovn: TestOvn) -> Iterator[OvnBackend]:
    made = connected(ovn)
    yield made
    made.close()


@pytest.fixture
def driver(ovn: TestOvn) -> Iterator[KvmDriver]:
    """On a libvirt host that is OVN's first chassis."""
    chassis = ovn.chassis[0]
    with TestLibvirt(chassis.name, namespace=chassis.namespace, openvswitch=chassis.directory) as host:
        database = f"unix:{chassis.directory}/db.sock"
        settings = KvmSettings(uri=host.uri, virt_type=VirtType.QEMU, openvswitch_database=database)
        made = KvmDriver(chassis.name, settings, CLOUD_ID, host.directory / "state")
        yield made
        made.close()


def answers_ssh(guest: TestGuest, address: str) -> bool:
    """Whether its sshd says who it is: bytes over TCP, whose checksums somebody must have computed."""
    try:
        said = guest.run("sh", "-c", f"sleep 3 | timeout 5 busybox nc {address} 22 | head -c 8")
    except ChildProcessError:
        return False
    return said == "SSH-2.0-"


def test_a_guest_gets_its_address_is_reached_and_can_be_unplugged(
    ovn: TestOvn, backend: OvnBackend, driver: KvmDriver
) -> None:
    backend.sweep(
        records(
            network("n1"),
            subnet("s1", "n1", "10.5.0.0/24", "10.5.0.1", dns_nameservers=("10.5.0.53",)),
            group("open", *EGRESS, rule("all", "open")),
            port(GUEST, "n1", 1, ("s1", "10.5.0.11"), binding=bound("hv1"), security_group_ids=("open",)),
            port(OTHER, "n1", 2, ("s1", "10.5.0.12"), binding=bound("hv2"), security_group_ids=("open",)),
        )
    )
    [host] = driver.hosts()
    assert (host.name, host.overlay, host.physical_networks) == ("hv1", True, frozenset({"physnet1"}))
    nic = Nic(
        port_id=GUEST, network_id="n1", network_name="n1", project_id="project", mac_address=mac(1), mtu=1442,
        segment=GENEVE,
    )  # fmt: skip
    image = image_of_file(build().qcow2, "qcow2")
    spec = spec_of(image, nics=(nic,), ephemeral_gib=0, swap_mib=0)
    source = Source(build().qcow2)
    driver.prepare_image(host.name, image, source, no_progress)
    driver.create(host.name, "", spec, source, no_progress)
    driver.set_power(spec.server_id, Power.ON)

    def log() -> str:
        return driver.console_log(spec.server_id).decode(errors="replace")

    wait_until(lambda: "ip=eth0=10.5.0.11/24" in log(), lambda: f"no address: {log()[-2000:]}")
    until_up(backend, {GUEST: True})
    other = ovn.chassis[1].guest(OTHER, mac(2))
    other.dhcp()
    wait_until(lambda: other.pings("10.5.0.11"), lambda: "the guest does not answer a ping from the other chassis")
    wait_until(lambda: answers_ssh(other, "10.5.0.11"), lambda: "the guest does not speak over TCP")

    wait_until(lambda: driver.detach_nic(spec.server_id, GUEST), lambda: "the guest keeps its card")
    until_up(backend, {GUEST: False})
    assert not other.pings("10.5.0.11")
    driver.attach_nic(spec.server_id, nic)
    until_up(backend, {GUEST: True})
    driver.destroy(spec.server_id)
    until_up(backend, {GUEST: False})
    assert "tap" not in ovn.chassis[0].vsctl("list-ports", "br-int")
