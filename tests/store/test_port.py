"""Ports in the store: what they are given, what is written of it, and what many at once do to each other."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.host import Reach
from polyvisor.model.ip import default_pools
from polyvisor.model.mac import made_for
from polyvisor.model.network import Network, NetworkType, SegmentRef
from polyvisor.model.network_intent import Unit
from polyvisor.model.network_list import everything
from polyvisor.model.network_settings import NetworkSettings, PhysicalNetwork
from polyvisor.model.port import Binding, Port, PortWanted, WantedIp
from polyvisor.model.subnet import HostRoute, Pool, Subnet
from polyvisor.store.database import Database
from polyvisor.store.store import Store
from tests.databases import with_tables

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
SETTINGS = NetworkSettings(physical=(PhysicalNetwork(name="site", vlans=("100:199",)),))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database."""
    database = with_tables(database_url)
    yield database
    database.close()


def new_id() -> str:
    return str(uuid.uuid4())


def a_network(store: Store, *segments: SegmentRef, **fields: Any) -> Network:
    known = {"id": new_id(), "project_id": "mine", "name": "net", "mtu": 0, "created_at": NOW, "updated_at": NOW}
    return store.network.create(Network(**{**known, **fields}), segments=segments, settings=SETTINGS)


def a_subnet(store: Store, network: Network, cidr: str = "10.0.0.0/24", **fields: Any) -> Subnet:
    known = {
        "id": new_id(), "project_id": "mine", "network_id": network.id, "ip_version": 6 if ":" in cidr else 4,
        "cidr": cidr, "gateway_ip": None, "allocation_pools": default_pools(cidr, None), "created_at": NOW,
        "updated_at": NOW,
    }  # fmt: skip
    return store.subnet.create(Subnet(**{**known, **fields}), NOW)


def a_port(store: Store, network: Network, **fields: Any) -> Port:
    wanted = PortWanted(**{"project_id": "mine", "network_id": network.id, **fields})
    return store.port.create(wanted, id=new_id(), now=NOW, settings=SETTINGS)


def addresses(port: Port) -> list[str]:
    return [each.ip_address for each in port.fixed_ips]


def test_a_port_is_read_as_it_was_made(database: Database) -> None:
    with database.write() as store:
        network = a_network(store)
        a_subnet(store, network)
        binding = Binding(host="h", vif_type="ovs", vif_details={"a": [1]}, profile={"b": "c"}, vnic_type="direct")
        made = a_port(store, network, device_id="s", device_owner="compute:nova", binding=binding, tags=("t",))
        plain = a_port(store, network)
    with database.read() as store:
        assert store.port.get(made.id) == made
        assert store.port.of_devices(["s", "none"]) == {"s": [made], "none": []}
        assert store.port.list(everything("mine", device_id="s")) == [made]
        assert store.port.of_ids([made.id, plain.id, "none"]) == {made.id: made, plain.id: plain}
        assert {one.id for one in store.network_intent.due(50) if one.unit is Unit.PORT} == {made.id, plain.id}


def test_addresses_of_deleted_ports_come_round_again(database: Database) -> None:
    with database.write() as store:
        network = a_network(store)
        a_subnet(store, network, allocation_pools=(Pool(start="10.0.0.5", end="10.0.0.7"),))
        first, second = a_port(store, network), a_port(store, network)
        store.port.delete([first.id], LATER)
        third, fourth = a_port(store, network), a_port(store, network)
        assert [addresses(each) for each in (second, third, fourth)] == [["10.0.0.6"], ["10.0.0.7"], ["10.0.0.5"]]
        with pytest.raises(Conflict, match="No more IP addresses") as raised:
            a_port(store, network)
        assert raised.value.kind == "IpAddressGenerationFailure"
        with pytest.raises(NotFound):
            store.port.get(first.id)


def test_the_next_subnet_serves_when_one_is_full(database: Database) -> None:
    with database.write() as store:
        network = a_network(store)
        a_subnet(store, network, "10.0.0.0/31")
        a_subnet(store, network, "10.0.1.0/24", created_at=LATER)
        found = [addresses(a_port(store, network)) for _ in range(3)]
    assert found == [["10.0.0.0"], ["10.0.0.1"], ["10.0.1.1"]]


def test_a_pool_of_thousands_is_used_to_its_last_address(database: Database) -> None:
    with database.write() as store:
        store.network_quota.set("mine", {"port": -1})
        network = a_network(store)
        a_subnet(store, network, "10.0.0.0/21")
        wanted = [(new_id(), PortWanted(project_id="mine", network_id=network.id)) for _ in range(2046)]
        made = store.port.create_many(wanted, now=NOW, settings=SETTINGS)
        assert len({addresses(each)[0] for each in made}) == 2046
        store.port.delete([made[1000].id], LATER)
        assert addresses(a_port(store, network)) == addresses(made[1000])
        with pytest.raises(Conflict):
            a_port(store, network)


def test_service_types_choose_the_subnet(database: Database) -> None:
    with database.write() as store:
        network = a_network(store)
        a_subnet(store, network, "10.0.0.0/24", service_types=("network:floatingip",))
        a_subnet(store, network, "10.0.1.0/24", service_types=("compute:nova",))
        assert addresses(a_port(store, network, device_owner="compute:west")) == ["10.0.1.1"]
        assert addresses(a_port(store, network, device_owner="network:floatingip")) == ["10.0.0.1"]
        assert addresses(a_port(store, network)) == []


def test_routers_take_certain_addresses_of_subnets_with_slaac(database: Database) -> None:
    with database.write() as store:
        network = a_network(store)
        six = a_subnet(store, network, "fd00::/64", ipv6_address_mode="slaac", ipv6_ra_mode="slaac")
        owner = {"device_owner": "network:router_interface", "device_id": "r", "project_id": ""}
        router = a_port(store, network, fixed_ips=(WantedIp(subnet_id=six.id, ip_address="fd00::1"),), **owner)
        assert addresses(router) == ["fd00::1"]
        assert router.security_group_ids == ()
        with pytest.raises(Conflict) as raised:
            store.subnet.delete(six, LATER)
        assert raised.value.kind == "SubnetInUse"


def test_two_mac_addresses_that_would_be_one_are_made_two(database: Database) -> None:
    id = new_id()
    with database.write() as store:
        network = a_network(store)
        taken = made_for(id, SETTINGS.mac_prefix, 0)
        a_port(store, network, mac_address=taken)
        wanted = PortWanted(project_id="mine", network_id=network.id)
        made = store.port.create(wanted, id=id, now=NOW, settings=SETTINGS)
    assert made.mac_address == made_for(id, SETTINGS.mac_prefix, 1) != taken


def test_bound_ports_say_where_and_how_until_they_are_not(database: Database) -> None:
    with database.write() as store:
        network = a_network(store)
        one, two = a_port(store, network), a_port(store, network)
        store.port.bind([one.id, two.id], host="h", vif_type="ovs", vif_details={"port_filter": True}, now=LATER)
        store.port.set_status({one.id: "ACTIVE", two.id: "DOWN"}, LATER)
        seen = store.port.get(one.id)
        assert (seen.binding.host, seen.binding.vif_type, seen.status) == ("h", "ovs", "ACTIVE")
        assert store.port.get(two.id).status == "DOWN"
        store.port.bind([one.id], host="", vif_type="unbound", now=LATER)
        seen = store.port.get(one.id)
        assert (seen.binding, seen.status) == (Binding(), "DOWN")


def test_cards_say_all_that_a_guest_is_told(database: Database) -> None:
    with database.write() as store:
        overlay = SegmentRef(network_type=NetworkType.GENEVE)
        vlan = SegmentRef(network_type=NetworkType.VLAN, physical_network="site", segmentation_id=150)
        network = a_network(store, overlay, vlan)
        route = HostRoute(destination="10.9.0.0/16", nexthop="10.0.0.9")
        subnet = a_subnet(store, network, gateway_ip="10.0.0.254", dns_nameservers=("9.9.9.9",), host_routes=(route,),
                          allocation_pools=(Pool(start="10.0.0.5", end="10.0.0.7"),))  # fmt: skip
        ports = [a_port(store, network) for _ in range(2)]
        ids = [ports[1].id, "gone", ports[0].id]
        first, second = store.port.nics(ids, Reach(overlay=True, physical_networks=frozenset({"site"})))
        assert (first.port_id, second.port_id) == (ports[1].id, ports[0].id)
        assert (first.mtu, first.network_name, first.mac_address) == (1442, "net", ports[1].mac_address)
        assert first.segment.network_type is NetworkType.GENEVE
        without_overlay = Reach(physical_networks=frozenset({"site"}))
        assert store.port.nics(ids, without_overlay)[0].segment.network_type is NetworkType.VLAN
        [address] = first.addresses
        assert (address.address, address.gateway, address.cidr) == ("10.0.0.6", "10.0.0.254", subnet.cidr)
        assert (address.dns_nameservers, address.routes) == (("9.9.9.9",), (route,))


def test_a_card_names_the_segment_that_its_host_carries(database: Database) -> None:
    with database.write() as store:
        other = SegmentRef(network_type=NetworkType.VLAN, physical_network="site", segmentation_id=150)
        network = a_network(store, other)
        port = a_port(store, network)
        assert store.port.nics([port.id], Reach(physical_networks=frozenset({"site"})))[0].segment == other
        assert store.port.nics([port.id])[0].segment == other


def test_of_many_at_once_no_two_have_one_address(database: Database) -> None:
    with database.write() as store:
        network = a_network(store)
        a_subnet(store, network, allocation_pools=(Pool(start="10.0.0.5", end="10.0.0.24"),))
    made: list[Port] = []
    refused: list[Conflict] = []

    def make() -> None:
        for _ in range(3):
            try:
                with database.write() as store:
                    made.append(a_port(store, network))
            except Conflict as error:
                refused.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (20, 4)
    assert {error.kind for error in refused} == {"IpAddressGenerationFailure"}
    assert len({addresses(port)[0] for port in made}) == 20


def test_of_many_networks_at_once_no_two_have_one_vlan(database: Database) -> None:
    few = NetworkSettings(tenant_network_types=("vlan",), physical=(PhysicalNetwork(name="site", vlans=("1:8",)),))
    made: list[int | None] = []

    def make() -> None:
        while True:
            try:
                with database.write() as store:
                    record = Network(id=new_id(), project_id="mine", mtu=0, created_at=NOW, updated_at=NOW)
                    network = store.network.create(record, settings=few)
                made.append(network.segments[0].segmentation_id)
                return
            except Exception as error:
                if "UNIQUE" not in str(error).upper():
                    raise

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number or 0 for number in made) == list(range(1, 9))
