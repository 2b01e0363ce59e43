"""Who asks is told of itself, and nobody is told of anybody else."""

import logging
import threading

import msgspec
import pytest

from polyvisor.api.metadata.service import MetadataService, Speaker
from polyvisor.model.errors import Unauthorized
from polyvisor.model.host import HypervisorType
from polyvisor.model.metadata import MetadataPort
from polyvisor.store.store import Store
from tests.api.metadata import crawl
from tests.api.metadata.estate import VLAN, Estate, asked, name_in, uid

META_DATA = "/openstack/latest/meta_data.json"
PASSWORD = "/openstack/latest/password"
ONE, TWO, CLUSTER = Speaker(agent_id="a1"), Speaker(agent_id="a2"), Speaker(agent_id="a3")


@pytest.fixture
def two_projects(estate: Estate) -> Estate:
    """Two projects with the same subnet, and a server of the same address in each, both on one host."""
    estate.host("kvm1", "one", agent_id="a1")
    for name in ("red", "blue"):
        estate.network(f"{name}-net", name)
        estate.server(f"{name}-server", name, f"{name}-net", "10.0.0.5", "kvm1")
    return estate


def test_the_network_tells_servers_of_the_same_address_apart(two_projects: Estate, service: MetadataService) -> None:
    for name in ("red", "blue"):
        assert name_in(service.answer(ONE, asked(f"{name}-net", "10.0.0.5", META_DATA))) == f"{name}-server"


@pytest.mark.parametrize(
    "address", ["10.0.0.6", "10.0.0.2", "::ffff:10.0.0.5", "fe80::1", "2001:db8::5", "", "nobody", "10.0.0.5%eth0"]
)
def test_an_address_that_no_server_has_is_told_nothing(
    two_projects: Estate, service: MetadataService, address: str
) -> None:
    answer = service.answer(ONE, asked("red-net", address, META_DATA))
    assert (answer.status, b"red" in answer.body) == (404, False)


def test_a_network_that_there_is_not_is_told_nothing(two_projects: Estate, service: MetadataService) -> None:
    assert service.answer(ONE, asked("green-net", "10.0.0.5", META_DATA)).status == 404


def test_only_ports_of_servers_are_answered(estate: Estate, service: MetadataService) -> None:
    estate.host("kvm1", "one", agent_id="a1")
    estate.network("net", "p")
    made = estate.server("server", "p", "net", "10.0.0.5", "kvm1")
    estate.port("router", "net", "10.0.0.1", owner="network:router_interface", device=made.id, host="kvm1")
    assert service.answer(ONE, asked("net", "10.0.0.1", META_DATA)).status == 404


def test_a_port_that_says_it_is_another_s_is_told_nothing_of_that_server(
    two_projects: Estate, service: MetadataService
) -> None:
    """A port's owner may write any device_id into it: a project that did so would read another's user data."""
    with two_projects.database.write() as store:
        port = store.port.get(uid("port of blue-server"))
        store.port.change(port, {"device_id": uid("red-server")}, two_projects.now)
    assert service.answer(ONE, asked("blue-net", "10.0.0.5", META_DATA)).status == 404
    assert name_in(service.answer(ONE, asked("red-net", "10.0.0.5", META_DATA))) == "red-server"


def test_a_port_that_its_server_has_given_up_is_told_nothing(two_projects: Estate, service: MetadataService) -> None:
    with two_projects.database.write() as store:
        store.server.change(uid("red-server"), ports=())
    assert service.answer(ONE, asked("red-net", "10.0.0.5", META_DATA)).status == 404


def test_a_deleted_server_is_not_told_of(two_projects: Estate, service: MetadataService) -> None:
    with two_projects.database.write() as store:
        store.server.change(uid("red-server"), deleted_at=two_projects.now)
    assert service.answer(ONE, asked("red-net", "10.0.0.5", META_DATA)).status == 404


def test_a_link_local_address_is_that_of_the_card_it_was_made_from(estate: Estate, service: MetadataService) -> None:
    estate.host("kvm1", "one", agent_id="a1")
    for name, mac in (("net", "fa:16:3e:12:34:56"), ("other", "fa:16:3e:12:34:57")):
        estate.network(name, "p")
        estate.server(f"server-{name}", "p", name, "10.0.0.5", "kvm1", mac=mac)
    assert name_in(service.answer(ONE, asked("net", "fe80::f816:3eff:fe12:3456", META_DATA))) == "server-net"
    assert service.answer(ONE, asked("net", "fe80::f816:3eff:fe12:3457", META_DATA)).status == 404
    assert service.answer(ONE, asked("net", "fe80::f816:3e01:fe12:3456", META_DATA)).status == 404


# Agents


def test_an_agent_asks_for_guests_of_its_own_hosts_alone(two_projects: Estate, service: MetadataService) -> None:
    two_projects.host("kvm2", "two", agent_id="a2")
    assert service.answer(TWO, asked("red-net", "10.0.0.5", META_DATA)).status == 404
    assert service.ports(TWO) == ()
    assert service.answer(Speaker(), asked("red-net", "10.0.0.5", META_DATA)).status == 404
    assert service.answer(Speaker(places=("one",)), asked("red-net", "10.0.0.5", META_DATA)).status == 200


def test_an_agent_that_has_lost_its_place_asks_for_nobody(two_projects: Estate, service: MetadataService) -> None:
    with two_projects.database.write() as store:
        [held] = store.place.many(["one"]).values()
        store.place.save([msgspec.structs.replace(held, agent_id="a2")])
    assert service.answer(ONE, asked("red-net", "10.0.0.5", META_DATA)).status == 404
    assert service.answer(TWO, asked("red-net", "10.0.0.5", META_DATA)).status == 200


def test_gateways_of_a_physical_network_ask_for_guests_whose_hosts_cannot(
    estate: Estate, service: MetadataService
) -> None:
    """OVN answers for such a port on a chassis that reaches its network, and nowhere else."""
    estate.host("kvm1", "one", agent_id="a1", physical=("physnet1",))
    estate.host("kvm2", "two", agent_id="a2", physical=("physnet2",))
    estate.host("cluster", "vc", agent_id="a3", physical=("physnet1",), kind=HypervisorType.VMWARE)
    estate.host("other-cluster", "vc2", agent_id="a4", physical=("physnet1",), kind=HypervisorType.VMWARE)
    estate.network("shared", "p", segment=VLAN)
    estate.server("vm", "p", "shared", "10.0.0.5", "cluster", vif_type="dvs")
    question = asked("shared", "10.0.0.5", META_DATA)
    assert name_in(service.answer(ONE, question)) == "vm"
    assert [port.network_id for port in service.ports(ONE)] == [uid("shared")]
    assert service.answer(CLUSTER, question).status == 200
    for other in (TWO, Speaker(agent_id="a4")):
        assert (service.answer(other, question).status, service.ports(other)) == (404, ())


def test_a_guest_on_a_chassis_is_asked_for_by_no_other_gateway(estate: Estate, service: MetadataService) -> None:
    estate.host("kvm1", "one", agent_id="a1", physical=("physnet1",))
    estate.host("kvm2", "two", agent_id="a2", physical=("physnet1",))
    estate.network("shared", "p", segment=VLAN)
    estate.server("guest", "p", "shared", "10.0.0.5", "kvm2")
    assert service.answer(ONE, asked("shared", "10.0.0.5", META_DATA)).status == 404


def test_who_is_not_admitted_is_told_nothing(two_projects: Estate, service: MetadataService) -> None:
    def refuse(_store: Store) -> None:
        raise Unauthorized("No.")

    with pytest.raises(Unauthorized):
        service.answer(ONE, asked("red-net", "10.0.0.5", META_DATA), refuse)
    with pytest.raises(Unauthorized):
        service.ports(ONE, refuse)


# Networks


def test_a_host_is_told_the_networks_of_its_guests(two_projects: Estate, service: MetadataService) -> None:
    two_projects.network("idle-net", "red")
    found = {port.network_id: port for port in service.ports(ONE)}
    assert set(found) == {uid("red-net"), uid("blue-net")}
    assert found[uid("red-net")] == MetadataPort(
        network_id=uid("red-net"), port_id=uid("metadata of red-net"), mtu=1442, addresses=("10.0.0.2/24",),
        mac_address=found[uid("red-net")].mac_address,
    )  # fmt: skip


def test_a_guest_that_has_gone_takes_its_network_along(two_projects: Estate, service: MetadataService) -> None:
    with two_projects.database.write() as store:
        store.port.bind([uid("port of red-server")], host="", vif_type="unbound", now=two_projects.now)
    assert [port.network_id for port in service.ports(ONE)] == [uid("blue-net")]
    assert service.answer(ONE, asked("red-net", "10.0.0.5", META_DATA)).status == 404


# What is answered


def test_all_that_cloud_init_reads_comes_from_the_records(two_projects: Estate, service: MetadataService) -> None:
    def get(path: str) -> object:
        return service.answer(ONE, asked("red-net", "10.0.0.5", path))

    found = crawl.openstack(get)  # type: ignore[arg-type]
    assert found["meta_data.json"]["uuid"] == uid("red-server")
    assert [device["tags"] for device in found["meta_data.json"]["devices"]] == [["tag of red-server"]]
    [network] = found["network_data.json"]["networks"]
    assert (network["network_id"], network["type"]) == (uid("red-net"), "ipv4_dhcp")
    assert found["network_data.json"]["services"] == [{"type": "dns", "address": "192.0.2.53"}]
    assert found["ec2"]["local-ipv4"] == "10.0.0.5"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("PUT", 405), ("DELETE", 405), ("POST", 405)])
def test_metadata_is_read(two_projects: Estate, service: MetadataService, method: str, status: int) -> None:
    assert service.answer(ONE, asked("red-net", "10.0.0.5", META_DATA, method)).status == status


def test_what_changes_is_told_at_once(two_projects: Estate, service: MetadataService) -> None:
    path = "/latest/meta-data/hostname"
    assert service.answer(ONE, asked("red-net", "10.0.0.5", path)).body == b"red-server"
    with two_projects.database.write() as store:
        store.server.change(uid("red-server"), hostname="renamed")
    assert service.answer(ONE, asked("red-net", "10.0.0.5", path)).body == b"renamed"


# The password


def post(service: MetadataService, body: bytes, path: str = PASSWORD, network: str = "red-net") -> int:
    return service.answer(ONE, asked(network, "10.0.0.5", path, "POST", body)).status


def test_a_password_is_posted_once(two_projects: Estate, service: MetadataService) -> None:
    assert service.answer(ONE, asked("red-net", "10.0.0.5", PASSWORD)).body == b""
    assert post(service, b"c2VjcmV0") == 200
    assert post(service, b"b3RoZXI=") == 409
    assert post(service, b"c2VjcmV0", "/openstack/2013-04-04/password") == 200, "the answer may have been lost"
    assert service.answer(ONE, asked("red-net", "10.0.0.5", PASSWORD)).body == b"c2VjcmV0"
    assert service.answer(ONE, asked("blue-net", "10.0.0.5", PASSWORD)).body == b""


@pytest.mark.parametrize("body", [b"", b"a" * 1021, b"\xff", b"a\0b"])
def test_what_is_no_password_is_refused(two_projects: Estate, service: MetadataService, body: bytes) -> None:
    assert post(service, body) == 400
    assert service.answer(ONE, asked("red-net", "10.0.0.5", PASSWORD)).body == b""


def test_the_largest_password_is_kept(two_projects: Estate, service: MetadataService) -> None:
    assert post(service, b"a" * 1020) == 200
    assert service.answer(ONE, asked("red-net", "10.0.0.5", PASSWORD)).body == b"a" * 1020


@pytest.mark.parametrize("path", ["/openstack/2012-08-10/password", "/latest/password", "/openstack/password"])
def test_a_password_is_posted_at_its_own_path(two_projects: Estate, service: MetadataService, path: str) -> None:
    assert post(service, b"c2VjcmV0", path) == 405


def test_of_two_passwords_at_once_one_is_kept(two_projects: Estate, service: MetadataService) -> None:
    found: dict[bytes, int] = {}
    bodies = [f"password-{number}".encode() for number in range(6)]
    threads = [threading.Thread(target=lambda body=body: found.update({body: post(service, body)})) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found.values()) == [200, 409, 409, 409, 409, 409]
    [kept] = [body for body, status in found.items() if status == 200]
    assert service.answer(ONE, asked("red-net", "10.0.0.5", PASSWORD)).body == kept


def test_a_password_goes_with_its_server(two_projects: Estate, service: MetadataService) -> None:
    post(service, b"c2VjcmV0")
    with two_projects.database.write() as store:
        store.server.change(uid("red-server"), deleted_at=two_projects.now)
        assert store.server.purge(two_projects.later) == [uid("red-server")]
    with two_projects.database.read() as store:
        assert store.server_password.get(uid("red-server")) == ""


def test_nothing_that_a_guest_says_or_is_told_is_logged(
    two_projects: Estate, service: MetadataService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "polyvisor")
    post(service, b"c2VjcmV0LXBhc3N3b3Jk")
    service.answer(ONE, asked("red-net", "10.0.0.5", "/latest/user-data"))
    service.answer(ONE, asked("red-net", "10.0.0.99", "/latest/user-data"))
    assert "c2VjcmV0" not in caplog.text
    assert "cloud-config" not in caplog.text
