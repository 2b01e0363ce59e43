"""Servers with ports: what may be asked of networks, and what is made, taken, shown and plugged by it."""

from typing import Any

import pytest

from polyvisor.model.network import Network
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import Port
from polyvisor.model.security_group import SecurityGroup
from polyvisor.model.server import Server, ServerPort, TaskState, VmState
from polyvisor.model.subnet_pool import SubnetPool
from tests.api.client import ApiClient
from tests.api.cloud import ApiCloud
from tests.api.compute import estate
from tests.api.compute.conftest import at
from tests.api.compute.test_server import ANOTHER_ID, IMAGE, SERVERS, asked
from tests.operate.networks import SETTINGS, put_network, put_port

PORT = "bbbbbbbb-0000-4000-8000-000000000001"
FOREIGN_PORT = "bbbbbbbb-0000-4000-8000-000000000002"
BARE_PORT = "bbbbbbbb-0000-4000-8000-000000000003"
GROUP = "cccccccc-0000-4000-8000-000000000001"


@pytest.fixture
def networking() -> NetworkSettings:
    return SETTINGS


class Networked:
    """A cloud in which the project "demo" has one network, and some others are there."""

    def __init__(self, cloud: ApiCloud) -> None:
        self.cloud = cloud
        self.demo = cloud.project_id("demo")
        other = cloud.project_id("other")
        with cloud.database.write() as store:
            store.image.create(IMAGE)
            store.flavor.bootstrap(estate.NOW)
            store.host.join([estate.host("kvm-1", report={"overlay": True})])
            self.network = put_network(store, 1, project_id=self.demo, now=estate.NOW, name="private")
            self.foreign = put_network(store, 2, project_id=other, now=estate.NOW)
            self.external = put_network(store, 3, project_id=other, now=estate.NOW, external=True)
            put_port(store, PORT, self.network, estate.NOW)
            put_port(store, FOREIGN_PORT, self.foreign, estate.NOW)
            put_port(store, BARE_PORT, self.network, estate.NOW, fixed_ips=())
            store.security_group.create(
                SecurityGroup(id=GROUP, project_id=self.demo, name="web", created_at=estate.NOW, updated_at=estate.NOW)
            )

    def add_network(self, number: int, **values: Any) -> Network:
        with self.cloud.database.write() as store:
            return put_network(store, number, project_id=self.demo, now=estate.NOW, **values)

    def server(self, id: str) -> Server:
        with self.cloud.database.read() as store:
            return store.server.get(id, deleted=True)

    def ports(self, id: str) -> list[Port]:
        with self.cloud.database.read() as store:
            ids = [port.port_id for port in store.server.get(id).ports]
            found = store.port.of_ids(ids)
        return [found[each] for each in ids]

    def port(self, id: str) -> Port:
        with self.cloud.database.read() as store:
            return store.port.get(id)

    def put(self, name: str, *, vm_state: VmState = VmState.ACTIVE, given: bool = False, **values: Any) -> str:
        """A server that runs with a port that was made for it, and the one that was there where that is asked for."""
        with self.cloud.database.write() as store:
            record = estate.server(name, self.demo, vm_state=vm_state, host="kvm-1", place="here", **values)
            owner = {"device_id": record.id, "device_owner": "compute:nova"}
            made = put_port(store, record.id, self.network, estate.NOW, **owner)
            ports = [ServerPort(port_id=made.id, made=True, tag="first")]
            if given:
                store.port.change(store.port.get(PORT), owner, estate.NOW)
                ports.append(ServerPort(port_id=PORT))
            store.server.create([record])
            store.server.change(record.id, ports=tuple(ports))
        return record.id

    def operations(self, server_id: str) -> list[tuple[str, Any]]:
        with self.cloud.database.read() as store:
            return [(row.kind, row.args) for row in store.operation.of_target(server_id)]


@pytest.fixture
def net(cloud: ApiCloud) -> Networked:
    return Networked(cloud)


def made(client: ApiClient, version: str, **fields: Any) -> str:
    answer = at(client, version).post(SERVERS, asked(**fields))
    assert answer.status == 202, answer.body
    return str(answer.body["server"]["id"])


def refused(client: ApiClient, version: str, status: int, words: str, **fields: Any) -> None:
    answer = at(client, version).post(SERVERS, asked(**fields))
    assert answer.status == status, answer.body
    assert words in str(answer.body)


# Create


def test_a_network_gets_a_port_that_is_the_servers(net: Networked) -> None:
    id = made(net.cloud.member, "2.42", networks=[{"uuid": net.network.id, "fixed_ip": "10.0.1.77", "tag": "lan"}])
    [port] = net.ports(id)
    assert (port.device_id, port.device_owner, port.project_id) == (id, "compute:nova", net.demo)
    assert [each.ip_address for each in port.fixed_ips] == ["10.0.1.77"]
    assert (port.dns_name, port.binding.host) == ("one", "")
    assert net.server(id).ports == (ServerPort(port_id=port.id, tag="lan", made=True),)
    [(kind, args)] = net.operations(id)
    assert kind == "server.create"
    assert [each["port_id"] for each in args["server"]["ports"]] == [port.id]


def test_a_port_is_taken_and_networks_keep_their_order(net: Networked) -> None:
    id = made(net.cloud.member, "2.1", networks=[{"port": PORT}, {"uuid": net.network.id}, {"uuid": net.network.id}])
    first, second, third = net.server(id).ports
    assert first == ServerPort(port_id=PORT)
    assert second.made
    assert third.made
    taken = net.port(PORT)
    assert (taken.device_id, taken.device_owner) == (id, "compute:nova")


@pytest.mark.parametrize(("version", "networks"), [("2.37", "auto"), ("2.36", None), ("2.36", [])])
def test_the_only_network_is_meant_where_none_is_named(net: Networked, version: str, networks: Any) -> None:
    fields = {} if networks is None else {"networks": networks}
    [port] = net.ports(made(net.cloud.member, version, **fields))
    assert port.network_id == net.network.id


def test_none_means_none(net: Networked) -> None:
    assert net.ports(made(net.cloud.member, "2.37", networks="none")) == []


def test_a_shared_network_counts_as_well_as_an_own_one(net: Networked) -> None:
    with net.cloud.database.write() as store:
        store.network.change(store.network.get(net.foreign.id), {"shared": True}, estate.NOW)
    for version, fields in (("2.37", {"networks": "auto"}), ("2.1", {})):
        refused(net.cloud.member, version, 409, "Multiple possible networks found", **fields)
    assert net.ports(made(net.cloud.member, "2.1", networks=[{"uuid": net.foreign.id}]))


def test_a_project_without_networks_is_told_so(cloud: ApiCloud) -> None:
    net = Networked(cloud)
    with cloud.database.write() as store:
        store.port.delete([PORT, BARE_PORT], estate.NOW)
        store.network.delete(store.network.get(net.network.id), estate.NOW)
    refused(cloud.member, "2.37", 400, "Unable to automatically allocate a network", networks="auto")
    assert net.ports(made(cloud.member, "2.36")) == []


def test_a_project_without_networks_gets_one_of_its_own_where_pools_are_there(cloud: ApiCloud) -> None:
    net = Networked(cloud)
    with cloud.database.write() as store:
        store.port.delete([PORT, BARE_PORT], estate.NOW)
        store.network.delete(store.network.get(net.network.id), estate.NOW)
        store.subnet_pool.create(
            SubnetPool(
                id=ANOTHER_ID, project_id=net.demo, name="default", prefixes=("10.64.0.0/16",), ip_version=4,
                default_prefixlen=26, min_prefixlen=8, max_prefixlen=32, is_default=True, shared=True,
                created_at=estate.NOW, updated_at=estate.NOW,
            )
        )  # fmt: skip
    first, second = (net.ports(made(cloud.member, "2.37", networks="auto"))[0] for _ in range(2))
    assert first.network_id == second.network_id
    assert first.fixed_ips[0].ip_address.startswith("10.64.")


BAD: list[tuple[str, Any, int, str]] = [
    ("2.37", [{"uuid": ANOTHER_ID}], 400, f"Network {ANOTHER_ID} could not be found"),
    ("2.37", [{"port": ANOTHER_ID}], 400, f"Port id {ANOTHER_ID} could not be found"),
    ("2.37", [{"port": FOREIGN_PORT}], 400, f"Port id {FOREIGN_PORT} could not be found"),
    ("2.37", [{"port": BARE_PORT}], 400, f"Port {BARE_PORT} requires a FixedIP"),
    ("2.37", [{"port": PORT}, {"port": PORT}], 409, f"Port {PORT} is still in use"),
    ("2.37", [{"port": PORT, "fixed_ip": "10.0.1.9"}], 400, "cannot be used with port"),
    ("2.37", [{"uuid": "NETWORK", "fixed_ip": "10.9.9.9"}], 400, "not a valid IP"),
    ("2.37", [{"uuid": "NETWORK", "fixed_ip": "ten"}], 400, "Invalid fixed IP address"),
    ("2.37", [{"uuid": "FOREIGN"}], 400, "could not be found"),
    ("2.37", [{"uuid": "EXTERNAL"}], 403, "It is not allowed to create an interface on external network"),
    ("2.37", [{}], 400, "needs a 'uuid' or a 'port'"),
    ("2.37", "some", 400, "server.networks"),
    ("2.36", "auto", 400, "server.networks"),
    ("2.37", [{"uuid": "NETWORK", "tag": "x"}], 400, "microversion 2.42"),
    ("2.31", [{"uuid": "NETWORK", "tag": "x"}], 400, "microversion 2.42"),
    ("2.42", [{"uuid": "NETWORK", "tag": "a/b"}], 400, "server.networks.tag"),
]


@pytest.mark.parametrize(("version", "networks", "status", "words"), BAD)
def test_what_cannot_be_had_is_refused_and_leaves_no_port(
    net: Networked, version: str, networks: Any, status: int, words: str
) -> None:
    names = {"NETWORK": net.network.id, "FOREIGN": net.foreign.id, "EXTERNAL": net.external.id}
    if isinstance(networks, list):
        networks = [{key: names.get(value, value) for key, value in each.items()} for each in networks]
    refused(net.cloud.member, version, status, words, networks=networks)
    with net.cloud.database.read() as store:
        assert store.port.count(net.demo) == 2
    assert net.port(PORT).device_id == ""


def test_an_address_in_use_is_a_bad_request(net: Networked) -> None:
    taken = net.port(PORT).fixed_ips[0].ip_address
    networks = [{"uuid": net.network.id, "fixed_ip": taken}]
    refused(net.cloud.member, "2.1", 400, "already allocated", networks=networks)


def test_a_port_of_another_server_is_in_use(net: Networked) -> None:
    net.put("there", given=True)
    refused(net.cloud.member, "2.1", 409, f"Port {PORT} is still in use", networks=[{"port": PORT}])


def test_a_network_without_a_subnet_is_refused(net: Networked) -> None:
    bare = Network(id=ANOTHER_ID, project_id=net.demo, name="bare", mtu=0, created_at=estate.NOW, updated_at=estate.NOW)
    with net.cloud.database.write() as store:
        store.network.create(bare, settings=SETTINGS)
    refused(net.cloud.member, "2.1", 400, "requires a subnet", networks=[{"uuid": bare.id}])


def test_an_administrator_may_use_an_external_network(net: Networked) -> None:
    assert net.ports(made(net.cloud.admin, "2.1", networks=[{"uuid": net.external.id}]))


def test_several_servers_have_ports_of_their_own_and_share_none(net: Networked) -> None:
    member = net.cloud.member
    id = made(member, "2.1", networks=[{"uuid": net.network.id}], min_count=3)
    ids = [each["id"] for each in member.get(SERVERS).body["servers"]]
    assert id in ids
    addresses = {net.ports(each)[0].fixed_ips[0].ip_address for each in ids}
    assert len(addresses) == 3
    refused(member, "2.1", 400, "single configured port ID", networks=[{"port": PORT}], min_count=2)
    fixed = [{"uuid": net.network.id, "fixed_ip": "10.0.1.50"}]
    refused(member, "2.1", 400, "max_count must be 1", networks=fixed, max_count=2)


def test_more_ports_than_the_quota_allows_are_forbidden(net: Networked) -> None:
    with net.cloud.database.write() as store:
        store.network_quota.set(net.demo, {"port": 3})
    networks = [{"uuid": net.network.id}] * 2
    refused(net.cloud.member, "2.1", 403, "Maximum number of ports exceeded", networks=networks)
    with net.cloud.database.read() as store:
        assert store.port.count(net.demo) == 2
        assert store.server.usage(net.demo)[0] == 0


@pytest.mark.parametrize("name", ["web", GROUP])
def test_new_ports_are_in_the_groups_that_are_named_and_given_ones_stay_as_they_are(net: Networked, name: str) -> None:
    before = net.port(PORT).security_group_ids
    groups = [{"name": name}, {"name": "default"}]
    networks = [{"uuid": net.network.id}, {"port": PORT}]
    new, given = net.ports(made(net.cloud.member, "2.1", networks=networks, security_groups=groups))
    with net.cloud.database.write() as store:
        default = store.security_group.default(net.demo, estate.NOW)
    assert new.security_group_ids == (GROUP, default)
    assert given.security_group_ids == before


def test_groups_that_are_not_there_or_ambiguous_are_refused(net: Networked) -> None:
    networks = [{"uuid": net.network.id}]
    fields = {"networks": networks, "security_groups": [{"name": "nothing"}]}
    refused(net.cloud.member, "2.1", 400, "Security group nothing not found", **fields)
    with net.cloud.database.write() as store:
        again = SecurityGroup(
            id=ANOTHER_ID, project_id=net.demo, name="web", created_at=estate.NOW, updated_at=estate.NOW
        )
        store.security_group.create(again)
    fields["security_groups"] = [{"name": "web"}]
    refused(net.cloud.member, "2.1", 409, "use an ID to be more specific", **fields)


# What is shown


def test_a_server_shows_the_addresses_and_groups_of_its_ports(net: Networked) -> None:
    id = net.put("there", given=True)
    shown = net.cloud.member.get(f"{SERVERS}/{id}").body["server"]
    first, second = net.ports(id)
    assert shown["addresses"] == {
        "private": [
            {
                "version": 4,
                "addr": port.fixed_ips[0].ip_address,
                "OS-EXT-IPS:type": "fixed",
                "OS-EXT-IPS-MAC:mac_addr": port.mac_address,
            }
            for port in (first, second)
        ]
    }
    assert shown["security_groups"] == [{"name": "default"}]
    plain = [{"version": 4, "addr": port.fixed_ips[0].ip_address} for port in (first, second)]
    assert net.cloud.member.get(f"{SERVERS}/{id}/ips").body == {"addresses": {"private": plain}}
    assert net.cloud.member.get(f"{SERVERS}/{id}/ips/private").body == {"private": plain}
    assert net.cloud.member.get(f"{SERVERS}/{id}/ips/public").status == 404
    assert net.cloud.other.get(f"{SERVERS}/{id}/ips").status == 404


def test_a_port_that_only_says_it_is_the_servers_is_not_shown(net: Networked) -> None:
    """Anybody may write a server's id into a port of his own."""
    id = net.put("there")
    with net.cloud.database.write() as store:
        store.port.change(store.port.get(FOREIGN_PORT), {"device_id": id}, estate.NOW)
    assert list(net.cloud.member.get(f"{SERVERS}/{id}/ips").body["addresses"]) == ["private"]
    address = net.port(FOREIGN_PORT).fixed_ips[0].ip_address
    assert net.cloud.member.get(f"{SERVERS}?ip={address}").body["servers"] == []


def test_a_list_takes_as_many_statements_for_many_servers_as_for_one(net: Networked) -> None:
    net.put("first")
    member = net.cloud.member
    member.get(SERVERS)  # the first request of a token takes more
    with_one = member.get(f"{SERVERS}/detail")
    for number in range(5):
        net.put(f"more-{number}")
    with_many = member.get(f"{SERVERS}/detail")
    assert len(with_many.body["servers"]) == 6
    assert all(each["addresses"] for each in with_many.body["servers"])
    assert with_many.statements == with_one.statements


@pytest.mark.parametrize("filter", ["ip=10.0.1.", "ip=^10", "ip=ADDRESS"])
def test_servers_are_found_by_their_addresses(net: Networked, filter: str) -> None:
    id = net.put("there")
    filter = filter.replace("ADDRESS", net.ports(id)[0].fixed_ips[0].ip_address)
    found = net.cloud.member.get(f"{SERVERS}?{filter}").body["servers"]
    assert [each["id"] for each in found] == [id]
    assert net.cloud.member.get(f"{SERVERS}?ip=192.0.2").body["servers"] == []
    assert net.cloud.member.get(f"{SERVERS}?ip6=10").body["servers"] == []


# Interfaces


def interfaces(id: str) -> str:
    return f"{SERVERS}/{id}/os-interface"


def test_the_ports_of_a_server_are_listed_and_shown(net: Networked) -> None:
    id = net.put("there", given=True)
    port = net.ports(id)[0]
    expected = {
        "net_id": net.network.id,
        "port_id": port.id,
        "mac_addr": port.mac_address,
        "port_state": "DOWN",
        "fixed_ips": [{"subnet_id": port.fixed_ips[0].subnet_id, "ip_address": port.fixed_ips[0].ip_address}],
    }
    listed = net.cloud.reader.get(interfaces(id)).body["interfaceAttachments"]
    assert listed[0] == expected
    assert [each["port_id"] for each in listed] == [port.id, PORT]
    shown = at(net.cloud.reader, "2.70").get(f"{interfaces(id)}/{port.id}").body["interfaceAttachment"]
    assert shown == {**expected, "tag": "first"}
    assert net.cloud.reader.get(f"{interfaces(id)}/{FOREIGN_PORT}").status == 404
    assert net.cloud.other.get(interfaces(id)).status == 404


@pytest.mark.parametrize(
    "asked_for",
    [{"net_id": "NETWORK"}, {"net_id": "NETWORK", "fixed_ips": [{"ip_address": "10.0.1.90"}]}, {}, {"port_id": PORT}],
)
def test_a_port_is_made_or_taken_and_its_plugging_begun(net: Networked, asked_for: dict[str, Any]) -> None:
    id = net.put("there")
    body = {key: net.network.id if value == "NETWORK" else value for key, value in asked_for.items()}
    answer = net.cloud.member.post(interfaces(id), {"interfaceAttachment": body})
    assert answer.status == 200, answer.body
    shown = answer.body["interfaceAttachment"]
    assert net.server(id).ports[-1] == ServerPort(port_id=shown["port_id"], made="port_id" not in asked_for)
    port = net.port(shown["port_id"])
    assert (port.device_id, port.device_owner) == (id, "compute:nova")
    if "fixed_ips" in asked_for:
        assert shown["fixed_ips"][0]["ip_address"] == "10.0.1.90"
    kind, args = net.operations(id)[0]
    assert (kind, args) == ("server.attach_interface", {"server_id": id, "port_id": port.id})


BAD_INTERFACES: list[tuple[str, dict[str, Any], int, str]] = [
    ("2.1", {"net_id": "NETWORK", "port_id": PORT}, 400, "Must not input both"),
    ("2.1", {"fixed_ips": [{"ip_address": "10.0.1.9"}]}, 400, "Must input network_id"),
    ("2.1", {"net_id": "NETWORK", "fixed_ips": [{"ip_address": "x"}]}, 400, "Invalid fixed IP address"),
    ("2.1", {"net_id": ANOTHER_ID}, 404, "could not be found"),
    ("2.1", {"port_id": ANOTHER_ID}, 404, "could not be found"),
    ("2.1", {"port_id": FOREIGN_PORT}, 404, "could not be found"),
    ("2.1", {"net_id": "NETWORK", "tag": "x"}, 400, "tag"),
]


@pytest.mark.parametrize(("version", "body", "status", "words"), BAD_INTERFACES)
def test_what_cannot_be_plugged_in_is_refused(
    net: Networked, version: str, body: dict[str, Any], status: int, words: str
) -> None:
    id = net.put("there")
    body = {key: net.network.id if value == "NETWORK" else value for key, value in body.items()}
    answer = at(net.cloud.member, version).post(interfaces(id), {"interfaceAttachment": body})
    assert answer.status == status, answer.body
    assert words in str(answer.body)
    assert len(net.server(id).ports) == 1


def test_a_port_in_use_is_no_second_time_plugged_in(net: Networked) -> None:
    net.put("first", given=True)
    answer = net.cloud.member.post(interfaces(net.put("there")), {"interfaceAttachment": {"port_id": PORT}})
    assert answer.status == 409


@pytest.mark.parametrize(
    "changes", [{"vm_state": VmState.ERROR}, {"task_state": TaskState.REBOOTING}, {"locked": True}]
)
def test_a_server_in_the_wrong_state_gets_no_port_and_loses_none(net: Networked, changes: dict[str, Any]) -> None:
    id = net.put("there", **changes)
    port_id = net.server(id).ports[0].port_id
    assert net.cloud.member.post(interfaces(id), {"interfaceAttachment": {}}).status == 409
    assert net.cloud.member.delete(f"{interfaces(id)}/{port_id}").status == 409
    assert net.operations(id) == []


def test_a_port_is_taken_out(net: Networked) -> None:
    id = net.put("there")
    port_id = net.server(id).ports[0].port_id
    assert net.cloud.reader.delete(f"{interfaces(id)}/{port_id}").status == 403
    assert net.cloud.other.delete(f"{interfaces(id)}/{port_id}").status == 404
    assert net.cloud.member.delete(f"{interfaces(id)}/{PORT}").status == 404
    assert net.cloud.member.delete(f"{interfaces(id)}/{port_id}").status == 202
    assert net.operations(id) == [("server.detach_interface", {"server_id": id, "port_id": port_id})]


# Security groups


def act(client: ApiClient, id: str, action: str, name: str) -> Any:
    return client.post(f"{SERVERS}/{id}/action", {action: {"name": name}})


def test_all_ports_are_put_into_a_group_and_taken_out_of_it(net: Networked) -> None:
    id = net.put("there", given=True)
    member = net.cloud.member
    for name in ("web", GROUP):
        assert act(member, id, "addSecurityGroup", name).status == 202
        assert all(port.security_group_ids.count(GROUP) == 1 for port in net.ports(id))
    assert member.get(f"{SERVERS}/{id}").body["server"]["security_groups"] == [{"name": "default"}, {"name": "web"}]
    listed = member.get(f"{SERVERS}/{id}/os-security-groups").body["security_groups"]
    assert [group["name"] for group in listed] == ["default", "web"]
    assert act(member, id, "removeSecurityGroup", "web").status == 202
    assert not any(GROUP in port.security_group_ids for port in net.ports(id))
    assert act(member, id, "removeSecurityGroup", "web").status == 404


def test_groups_of_servers_are_changed_by_those_who_may(net: Networked) -> None:
    id = net.put("there")
    assert act(net.cloud.member, id, "addSecurityGroup", "nothing").status == 404
    assert act(net.cloud.reader, id, "addSecurityGroup", "web").status == 403
    assert act(net.cloud.other, id, "addSecurityGroup", "web").status == 404
    bare = made(net.cloud.member, "2.37", networks="none")
    assert act(net.cloud.member, bare, "addSecurityGroup", "web").status == 400
