"""Routers in the store: what they may connect, what keeps them, and what backends are told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polyvisor.model.errors import Conflict, Invalid, NotFound, PolyvisorError
from polyvisor.model.network import Network
from polyvisor.model.network_intent import Unit
from polyvisor.model.port import WantedIp
from polyvisor.model.router import FloatingIp, FloatingIpWanted, GatewayWanted, PortForwarding, Router
from polyvisor.model.subnet import HostRoute, Subnet
from polyvisor.store.database import Database
from polyvisor.store.store import Store
from tests.databases import with_tables
from tests.operate.networks import SETTINGS, put_network, put_port

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINE, OTHER = "mine", "other"
OUTSIDE, WEB, DB = 100, 1, 2


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Networks "web" (10.0.1.0/24) and "db" (10.0.2.0/24) of a project, an external one, a router and two ports."""
    database = with_tables(database_url)
    with database.write() as store:
        put_network(store, OUTSIDE, project_id="admin", now=NOW, external=True)
        for number in (WEB, DB):
            put_port(store, f"port-{number}", put_network(store, number, project_id=MINE, now=NOW), NOW)
        make_router(store, "r1")
    yield database
    database.close()


def make_router(store: Store, id: str, project_id: str = MINE) -> None:
    store.router.create(Router(id=id, project_id=project_id, name=id, created_at=NOW, updated_at=NOW))


def net(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def sub(number: int) -> str:
    return net(number).replace("0", "5", 1)


def connect(store: Store, number: int, router: str = "r1", viewer: str | None = MINE) -> str:
    record = store.router.get(router)
    port_id = f"{router}-if-{number}"
    added, _ = store.router_interface.add_subnet(
        record, sub(number), viewer=viewer, port_id=port_id, now=NOW, settings=SETTINGS
    )
    return added.id


def gateway(store: Store, router: str = "r1", number: int = OUTSIDE, **more: Any) -> Router:
    wanted = GatewayWanted(network_id=net(number), **more)
    return store.router_gateway.set(
        store.router.get(router), wanted, viewer=MINE, port_id=f"{router}-gw-{number}", now=NOW, settings=SETTINGS
    )


def floating(store: Store, id: str = "f1", **more: Any) -> FloatingIp:
    wanted = FloatingIpWanted(**{"project_id": MINE, "floating_network_id": net(OUTSIDE), **more})
    return store.floating_ip.create(wanted, id=id, port_id=f"{id}-port", viewer=MINE, now=NOW, settings=SETTINGS)


def associate(store: Store, port: str, id: str = "f1", address: str | None = None) -> FloatingIp:
    return store.floating_ip.associate(store.floating_ip.get(id), port, address, viewer=MINE, now=NOW)


def routers_touched(database: Database) -> set[str]:
    with database.write() as store:
        due = store.network_intent.due(1000)
        store.network_intent.strike_off(due)
    return {each.id for each in due if each.unit is Unit.ROUTER}


def refused(database: Database, act: Any) -> PolyvisorError:
    with pytest.raises(PolyvisorError) as error, database.write() as store:
        act(store)
    return error.value


# Interfaces


def test_a_router_is_the_gateway_of_a_subnet_that_it_is_added_to(database: Database) -> None:
    with database.write() as store:
        port_id = connect(store, WEB)
    assert routers_touched(database) == {"r1"}
    with database.read() as store:
        [interface] = store.router.interfaces(["r1"])["r1"]
        port = store.port.get(port_id)
        assert store.router.get("r1").revision_number == 1
    assert (interface.port_id, interface.network_id, interface.mac_address) == (port_id, net(WEB), port.mac_address)
    assert [each.ip_address for each in interface.fixed_ips] == ["10.0.1.1"]
    assert (port.device_id, port.device_owner, port.project_id) == ("r1", "network:router_interface", MINE)
    assert port.security_group_ids == ()


def test_a_router_does_not_connect_what_overlaps(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
        twin = store.network.create(
            Network(id=net(50), project_id=MINE, mtu=0, created_at=NOW, updated_at=NOW), settings=SETTINGS
        )
        store.subnet.create(
            Subnet(id="wide", project_id=MINE, network_id=twin.id, ip_version=4, cidr="10.0.0.0/16",
                   gateway_ip="10.0.0.1", created_at=NOW, updated_at=NOW), NOW
        )  # fmt: skip
    again = refused(database, lambda store: connect(store, WEB))
    assert isinstance(again, Invalid)
    assert "already has a port on subnet" in again.sentence
    overlap = refused(
        database,
        lambda store: store.router_interface.add_subnet(
            store.router.get("r1"), "wide", viewer=MINE, port_id="p", now=NOW, settings=SETTINGS
        ),
    )
    assert isinstance(overlap, Invalid)
    assert "10.0.0.0/16" in overlap.sentence
    assert "10.0.1.0/24" in overlap.sentence


def test_a_port_becomes_an_interface_unless_somebody_has_it(database: Database) -> None:
    with database.write() as store:
        port, subnets = store.router_interface.add_port(store.router.get("r1"), "port-2", viewer=MINE, now=NOW)
        assert (port.device_id, port.device_owner) == ("r1", "network:router_interface")
        assert [each.id for each in subnets] == [sub(DB)]
        make_router(store, "r2")
    taken = refused(
        database, lambda store: store.router_interface.add_port(store.router.get("r2"), "port-2", viewer=MINE, now=NOW)
    )
    assert taken.kind == "PortInUse"
    assert "r1" in taken.sentence


def test_another_projects_subnet_is_not_there_to_route(database: Database) -> None:
    with database.write() as store:
        put_network(store, 7, project_id=OTHER, now=NOW)
        put_network(store, 8, project_id=OTHER, now=NOW, shared=True)
    assert refused(database, lambda store: connect(store, 7)).kind == "SubnetNotFound"
    shared = refused(database, lambda store: connect(store, 8))
    assert isinstance(shared, Invalid)
    assert "not owned by project" in shared.sentence
    with database.write() as store:
        connect(store, 8, viewer=None)


def test_an_interface_goes_by_subnet_and_by_port(database: Database) -> None:
    with database.write() as store:
        by_port = connect(store, WEB)
        connect(store, DB)
        record = store.router.get("r1")
        store.router_interface.remove(record, port_id=by_port, subnet_id=None, now=NOW)
        store.router_interface.remove(store.router.get("r1"), port_id=None, subnet_id=sub(DB), now=NOW)
        assert store.router.interfaces(["r1"]) == {"r1": ()}
        for id in (by_port, "r1-if-2"):
            with pytest.raises(NotFound):
                store.port.get(id)
        with pytest.raises(NotFound) as missing:
            store.router_interface.remove(store.router.get("r1"), port_id=None, subnet_id=sub(DB), now=NOW)
        assert missing.value.kind == "RouterInterfaceNotFoundForSubnet"
        with pytest.raises(NotFound) as missing:
            store.router_interface.remove(store.router.get("r1"), port_id="port-1", subnet_id=None, now=NOW)
        assert missing.value.kind == "RouterInterfaceNotFound"


def test_a_router_with_interfaces_stays(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
    held = refused(database, lambda store: store.router.delete(store.router.get("r1"), NOW))
    assert (held.kind, isinstance(held, Conflict)) == ("RouterInUse", True)


def test_ipv6_subnets_of_a_network_share_a_port(database: Database) -> None:
    with database.write() as store:
        for number in (1, 2):
            store.subnet.create(
                Subnet(id=f"six-{number}", project_id=MINE, network_id=net(WEB), ip_version=6,
                       cidr=f"2001:db8:{number}::/64", gateway_ip=f"2001:db8:{number}::1", created_at=NOW,
                       updated_at=NOW), NOW
            )  # fmt: skip
        ports = {
            store.router_interface.add_subnet(
                store.router.get("r1"), f"six-{number}", viewer=MINE, port_id=f"p{number}", now=NOW, settings=SETTINGS
            )[0].id
            for number in (1, 2)
        }
        assert ports == {"p1"}
        [interface] = store.router.interfaces(["r1"])["r1"]
        assert {each.ip_address for each in interface.fixed_ips} == {"2001:db8:1::1", "2001:db8:2::1"}
        store.router_interface.remove(store.router.get("r1"), port_id=None, subnet_id="six-1", now=NOW)
        [interface] = store.router.interfaces(["r1"])["r1"]
        assert [each.ip_address for each in interface.fixed_ips] == ["2001:db8:2::1"]


# Gateways


def test_a_gateway_is_a_port_of_nobody_on_an_external_network(database: Database) -> None:
    with database.write() as store:
        record = gateway(store)
        assert record.gateway is not None
        port = store.port.get(record.gateway.port_id)
    assert (port.project_id, port.device_id, port.device_owner) == ("", "r1", "network:router_gateway")
    assert record.gateway.external_fixed_ips == port.fixed_ips
    assert record.gateway.enable_snat
    assert routers_touched(database) == {"r1"}
    with database.read() as store:
        assert store.router.get("r1") == record
        assert [each.port_id for each in store.router.interfaces(["r1"])["r1"]] == [port.id]


def test_a_gateway_needs_an_external_network_that_does_not_overlap(database: Database) -> None:
    assert isinstance(refused(database, lambda store: gateway(store, number=WEB)), Invalid)
    assert refused(database, lambda store: gateway(store, number=55)).kind == "NetworkNotFound"
    own = WantedIp(subnet_id=sub(OUTSIDE), ip_address=f"10.0.{OUTSIDE}.1")
    assert "gateway IP" in refused(database, lambda store: gateway(store, external_fixed_ips=(own,))).sentence
    with database.write() as store:
        connect(store, OUTSIDE, viewer=None)
    assert isinstance(refused(database, lambda store: gateway(store)), Invalid)


def test_a_gateway_changes_its_addresses_and_its_translation(database: Database) -> None:
    with database.write() as store:
        before = gateway(store, enable_snat=False)
    assert before.gateway is not None
    assert not before.gateway.enable_snat
    address = WantedIp(ip_address=f"10.0.{OUTSIDE}.77")
    with database.write() as store:
        changed = gateway(store, external_fixed_ips=(address,))
    assert changed.gateway is not None
    assert [each.ip_address for each in changed.gateway.external_fixed_ips] == [f"10.0.{OUTSIDE}.77"]
    assert (changed.gateway.port_id, changed.gateway.enable_snat) == (before.gateway.port_id, False)


def test_a_router_takes_its_gateway_along(database: Database) -> None:
    with database.write() as store:
        record = gateway(store)
        store.router.delete(record, NOW)
        assert record.gateway is not None
        with pytest.raises(NotFound):
            store.port.get(record.gateway.port_id)
        with pytest.raises(NotFound):
            store.router.get("r1")
    assert routers_touched(database) == {"r1"}


# Routes


def test_routes_lead_to_neighbours_alone(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
        route = HostRoute(destination="192.0.2.0/24", nexthop="10.0.1.9")
        assert store.router.set_routes(store.router.get("r1"), (route, route), NOW).routes == (route,)
    for nexthop, said in (("10.0.9.9", "not connected"), ("10.0.1.1", "used by router")):
        wrong = HostRoute(destination="192.0.2.0/24", nexthop=nexthop)
        error = refused(
            database, lambda store, wrong=wrong: store.router.set_routes(store.router.get("r1"), (wrong,), NOW)
        )
        assert error.kind == "InvalidRoutes"
        assert said in error.sentence
    held = refused(
        database,
        lambda store: store.router_interface.remove(store.router.get("r1"), port_id=None, subnet_id=sub(WEB), now=NOW),
    )
    assert held.kind == "RouterInterfaceInUseByRoute"


# Floating IPs


def test_a_floating_ip_stands_for_a_port_behind_a_router(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
        gateway(store)
        made = floating(store)
    assert (made.status, made.port_id, made.router_id) == ("DOWN", None, None)
    routers_touched(database)
    with database.write() as store:
        associate(store, "port-1")
    assert routers_touched(database) == {"r1"}
    with database.read() as store:
        found = store.floating_ip.get("f1")
        port = store.port.get("port-1")
        assert store.floating_ip.of_routers(["r1"]) == [found]
    assert (found.port_id, found.router_id, found.status) == ("port-1", "r1", "ACTIVE")
    assert found.fixed_ip_address == port.fixed_ips[0].ip_address
    assert found.ports[0].mac_address == port.mac_address
    with database.write() as store:
        gone = store.floating_ip.disassociate(store.floating_ip.get("f1"), NOW)
    assert (gone.port_id, gone.fixed_ip_address, gone.router_id, gone.status) == (None, None, None, "DOWN")
    assert routers_touched(database) == {"r1"}


def test_a_floating_ip_needs_a_way_to_the_port(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
        floating(store)
    unreachable = refused(database, lambda store: associate(store, "port-1"))
    assert unreachable.kind == "ExternalGatewayForFloatingIPNotFound"
    assert isinstance(unreachable, NotFound)
    assert isinstance(refused(database, lambda store: floating(store, "f2", floating_network_id=net(WEB))), Invalid)


def test_one_address_has_one_floating_ip(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
        gateway(store)
        for id in ("f1", "f2"):
            floating(store, id)
        associate(store, "port-1")
        associate(store, "port-1")
    assert refused(database, lambda store: associate(store, "port-1", "f2")).kind == "FloatingIPPortAlreadyAssociated"
    assert (
        "does not have fixed ip"
        in refused(database, lambda store: associate(store, "port-1", "f2", "10.0.1.250")).sentence
    )


def test_the_router_that_is_the_subnets_gateway_goes_before_others(database: Database) -> None:
    with database.write() as store:
        for router in ("r0", "r2"):
            make_router(store, router)
            gateway(store, router)
        put_port(store, "beside", store.network.get(net(WEB)), NOW)
        store.router_interface.add_port(store.router.get("r0"), "beside", viewer=MINE, now=NOW)
        connect(store, WEB, "r2")
        floating(store)
        assert associate(store, "port-1").router_id == "r2"


def test_what_floating_ips_need_stays(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
        gateway(store)
        floating(store)
        associate(store, "port-1")
    removal = refused(
        database,
        lambda store: store.router_interface.remove(store.router.get("r1"), port_id=None, subnet_id=sub(WEB), now=NOW),
    )
    assert removal.kind == "RouterInterfaceInUseByFloatingIP"
    clearing = refused(database, lambda store: store.router_gateway.clear(store.router.get("r1"), NOW))
    assert clearing.kind == "RouterExternalGatewayInUseByFloatingIp"


def test_a_floating_ip_lets_go_of_a_port_that_goes_or_moves(database: Database) -> None:
    with database.write() as store:
        connect(store, WEB)
        gateway(store)
        floating(store)
        associate(store, "port-1")
        port = store.port.get("port-1")
        store.port.change(port, {"fixed_ips": (WantedIp(ip_address="10.0.1.200"),)}, NOW)
        assert store.floating_ip.get("f1").port_id is None
        associate(store, "port-1")
        store.port.delete(["port-1"], NOW)
        left = store.floating_ip.get("f1")
        assert (left.port_id, left.router_id, left.ports) == (None, None, ())


def test_a_floating_ip_gives_its_address_back(database: Database) -> None:
    address = f"10.0.{OUTSIDE}.50"
    with database.write() as store:
        assert floating(store, floating_ip_address=address).floating_ip_address == address
    assert isinstance(refused(database, lambda store: floating(store, "f2", floating_ip_address=address)), Conflict)
    with database.write() as store:
        store.floating_ip.delete(store.floating_ip.get("f1"), NOW)
    with database.write() as store:
        assert floating(store, "f2", floating_ip_address=address).floating_ip_address == address


# Forwarded ports


def forwarding(id: str = "w1", **more: Any) -> PortForwarding:
    values = {
        "protocol": "tcp", "external_port": "2222", "internal_port": "22", "internal_port_id": "port-1",
        "internal_ip_address": "",
    }  # fmt: skip
    return PortForwarding(
        id=id,
        project_id=MINE,
        floating_ip_id="f1",
        created_at=NOW,
        updated_at=NOW,
        **{**values, **more},
    )


def forward(store: Store, wanted: PortForwarding) -> PortForwarding:
    return store.port_forwarding.create(store.floating_ip.get("f1"), wanted, MINE, NOW)


@pytest.fixture
def behind(database: Database) -> Database:
    with database.write() as store:
        connect(store, WEB)
        gateway(store)
        floating(store)
    routers_touched(database)
    return database


def test_a_port_is_handed_on_through_the_router_that_reaches_both(behind: Database) -> None:
    with behind.write() as store:
        made = forward(store, forwarding())
        assert made.internal_ip_address == store.port.get("port-1").fixed_ips[0].ip_address
        address = store.floating_ip.get("f1")
    assert (address.router_id, address.status, address.port_forwardings) == ("r1", "ACTIVE", (made,))
    assert routers_touched(behind) == {"r1"}
    assert refused(behind, lambda store: associate(store, "port-1")).kind == "FipInUseByPortForwarding"
    assert (
        refused(behind, lambda store: store.floating_ip.delete(store.floating_ip.get("f1"), NOW)).kind
        == "FipInUseByPortForwarding"
    )
    with behind.write() as store:
        store.port_forwarding.delete(store.floating_ip.get("f1"), made, NOW)
        assert store.floating_ip.get("f1").router_id is None
    assert routers_touched(behind) == {"r1"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"external_port": "2000:2300", "internal_port": "80:380"}, "external_port_range"),
        ({"external_port": "2222"}, "external_port_range"),
        ({"external_port": "9"}, "internal_port_range"),
        ({"external_port": "1:3", "internal_port": "1:2"}, "N-N or 1-N"),
        ({"external_port": "0"}, "between 1 and 65535"),
        ({"external_port": "9:8"}, "between 1 and 65535"),
        ({"external_port": "ssh"}, "no port"),
        ({"external_port": "9", "internal_ip_address": "10.0.1.250"}, "not suitable"),
        ({"external_port": "9", "internal_port_id": "port-2"}, "not reachable"),
    ],
)
def test_ports_that_cannot_be_handed_on_are_refused(behind: Database, more: dict[str, Any], said: str) -> None:
    with behind.write() as store:
        forward(store, forwarding())
    error = refused(behind, lambda store: forward(store, forwarding("w2", **more)))
    assert isinstance(error, Invalid)
    assert said in error.sentence


def test_the_same_port_of_another_protocol_is_another(behind: Database) -> None:
    with behind.write() as store:
        forward(store, forwarding())
        forward(store, forwarding("w2", protocol="udp"))
        changed = store.port_forwarding.update(
            store.floating_ip.get("f1"), store.port_forwarding.get("w2"), {"protocol": "tcp", "external_port": "80",
            "internal_port": "80"}, MINE, NOW + timedelta(seconds=1),
        )  # fmt: skip
        assert (changed.external_port, changed.revision_number) == ("80", 1)


def test_nothing_is_handed_on_to_a_port_that_goes(behind: Database) -> None:
    with behind.write() as store:
        forward(store, forwarding())
        store.port.delete(["port-1"], NOW)
        assert store.floating_ip.get("f1").port_forwardings == ()
        assert store.floating_ip.get("f1").router_id is None
