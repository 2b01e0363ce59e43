"""Trunks, as Neutron's clients know them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from polyvisor.model.network_intent import Unit
from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud

BASE = "/network/v2.0"
TRUNKS = f"{BASE}/trunks"
NOWHERE = "11111111-2222-4333-8444-555555555555"


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["NeutronError"]["type"]


@pytest.fixture
def ports(cloud: ApiCloud) -> list[str]:
    """Four ports of the project "demo", each on a network of its own."""
    found = []
    for name in ("parent", "red", "blue", "green"):
        network = cloud.member.post(f"{BASE}/networks", {"network": {"name": name}}).body["network"]
        port = cloud.member.post(f"{BASE}/ports", {"port": {"network_id": network["id"], "name": name}}).body["port"]
        found.append(port["id"])
    return found


def carried(port_id: str, vlan: Any) -> dict[str, Any]:
    return {"port_id": port_id, "segmentation_type": "vlan", "segmentation_id": vlan}


def make(client: ApiClient, parent: str, *sub_ports: dict[str, Any]) -> Answer:
    return client.post(TRUNKS, {"trunk": {"port_id": parent, "name": "t", "sub_ports": list(sub_ports)}})


def touched(cloud: ApiCloud) -> set[str]:
    """The ports that backends are told of since the last look."""
    with cloud.database.write() as store:
        due = store.network_intent.due(1000)
        store.network_intent.strike_off(due)
    return {each.id for each in due if each.unit is Unit.PORT}


def test_a_trunk_carries_ports_by_their_tags(cloud: ApiCloud, ports: list[str]) -> None:
    parent, red, blue, green = ports
    touched(cloud)
    made = make(cloud.member, parent, carried(red, 10))
    assert made.status == 201
    trunk = made.body["trunk"]
    assert (trunk["port_id"], trunk["status"], trunk["admin_state_up"]) == (parent, "DOWN", True)
    assert trunk["sub_ports"] == [carried(red, 10)]
    assert touched(cloud) == {parent, red}
    path = f"{TRUNKS}/{trunk['id']}"
    assert cloud.member.get(f"{BASE}/ports/{red}").body["port"]["device_owner"] == "trunk:subport"
    more = cloud.member.put(f"{path}/add_subports", {"sub_ports": [carried(blue, "30"), carried(green, 20)]})
    assert more.body["sub_ports"] == [carried(red, 10), carried(green, 20), carried(blue, 30)]
    assert cloud.reader.get(f"{path}/get_subports").body == {"sub_ports": more.body["sub_ports"]}
    touched(cloud)
    fewer = cloud.member.put(f"{path}/remove_subports", {"sub_ports": [{"port_id": red}]})
    assert fewer.body["sub_ports"] == [carried(green, 20), carried(blue, 30)]
    assert red in touched(cloud)
    assert cloud.member.get(f"{BASE}/ports/{red}").body["port"]["device_owner"] == ""
    assert [each["id"] for each in cloud.reader.get(f"{TRUNKS}?port_id={parent}").body["trunks"]] == [trunk["id"]]
    assert cloud.reader.delete(path).status == 403
    assert refusal(cloud.other.get(path)) == (404, "TrunkNotFound")
    assert cloud.member.delete(path).status == 204
    assert cloud.member.get(f"{BASE}/ports/{blue}").body["port"]["device_owner"] == ""
    assert refusal(cloud.member.get(path)) == (404, "TrunkNotFound")


def test_trunks_that_cannot_be_are_refused(cloud: ApiCloud, ports: list[str]) -> None:
    parent, red, blue, green = ports
    for sub_port in (
        {"port_id": red},
        {**carried(red, 10), "segmentation_type": "vxlan"},
        carried(red, 0),
        carried(red, 4095),
    ):
        assert refusal(make(cloud.member, parent, sub_port)) == (400, "InvalidInput")
    assert refusal(make(cloud.member, NOWHERE)) == (404, "PortNotFound")
    assert refusal(make(cloud.member, parent, carried(NOWHERE, 10))) == (404, "PortNotFound")
    assert refusal(make(cloud.member, parent, carried(parent, 10))) == (409, "ParentPortInUse")
    assert refusal(make(cloud.member, parent, carried(red, 10), carried(blue, 10))) == (400, "InvalidInput")
    trunk = make(cloud.member, parent, carried(red, 10)).body["trunk"]
    path = f"{TRUNKS}/{trunk['id']}"
    assert refusal(make(cloud.member, parent)) == (409, "ParentPortInUse")
    assert refusal(make(cloud.member, red)) == (409, "TrunkPortInUse")
    assert refusal(make(cloud.member, green, carried(red, 11))) == (409, "TrunkPortInUse")
    for sub_ports, kind in (([carried(blue, 10)], "DuplicateSubPort"), ([carried(red, 11)], "TrunkPortInUse")):
        assert refusal(cloud.member.put(f"{path}/add_subports", {"sub_ports": sub_ports})) == (409, kind)
    gone = cloud.member.put(f"{path}/remove_subports", {"sub_ports": [{"port_id": blue}]})
    assert refusal(gone) == (404, "SubPortNotFound")
    assert refusal(cloud.member.delete(f"{BASE}/ports/{parent}")) == (409, "PortInUseAsTrunkParent")
    assert refusal(cloud.member.delete(f"{BASE}/ports/{red}")) == (409, "PortInUseAsSubPort")


def test_a_disabled_trunk_stays_as_it_is(cloud: ApiCloud, ports: list[str]) -> None:
    parent, red, *_ = ports
    trunk = make(cloud.member, parent).body["trunk"]
    path = f"{TRUNKS}/{trunk['id']}"
    assert cloud.member.put(path, {"trunk": {"admin_state_up": False}}).body["trunk"]["admin_state_up"] is False
    for answer in (
        cloud.member.put(f"{path}/add_subports", {"sub_ports": [carried(red, 10)]}),
        cloud.member.delete(path),
    ):
        assert refusal(answer) == (409, "TrunkDisabled")


def test_a_trunk_goes_with_the_port_that_its_server_takes_along(cloud: ApiCloud, ports: list[str]) -> None:
    parent, red, blue, _ = ports
    trunk = make(cloud.member, parent, carried(red, 10), carried(blue, 20)).body["trunk"]
    path = f"{TRUNKS}/{trunk['id']}"
    with cloud.database.write() as store:
        store.port.delete([red], store.port.get(red).created_at)
    assert cloud.member.get(path).body["trunk"]["sub_ports"] == [carried(blue, 20)]
    with cloud.database.write() as store:
        store.port.delete([parent], store.port.get(parent).created_at)
    assert refusal(cloud.member.get(path)) == (404, "TrunkNotFound")
    assert cloud.member.get(f"{BASE}/ports/{blue}").body["port"]["device_owner"] == ""


def test_a_trunk_is_active_while_packets_pass_at_its_port(cloud: ApiCloud, ports: list[str]) -> None:
    one, two = (make(cloud.member, parent).body["trunk"]["id"] for parent in ports[:2])
    with cloud.database.write() as store:
        store.port.set_status({ports[0]: "ACTIVE"}, datetime(2026, 1, 1, tzinfo=UTC))
    assert cloud.member.get(f"{TRUNKS}/{one}").body["trunk"]["status"] == "ACTIVE"
    for status, id in (("ACTIVE", one), ("DOWN", two)):
        assert [each["id"] for each in cloud.member.get(TRUNKS, status=status).body["trunks"]] == [id]


def test_a_port_tells_of_its_trunk(cloud: ApiCloud, ports: list[str]) -> None:
    parent, red, blue, _ = ports
    trunk = make(cloud.member, parent).body["trunk"]["id"]

    def told(port_id: str) -> Any:
        return cloud.member.get(f"{BASE}/ports/{port_id}").body["port"].get("trunk_details")

    assert told(parent) == {"trunk_id": trunk, "sub_ports": []}
    added = {"sub_ports": [carried(blue, 30), carried(red, 20)]}
    cloud.member.put(f"{TRUNKS}/{trunk}/add_subports", added)
    macs = {each["id"]: each["mac_address"] for each in cloud.member.get(f"{BASE}/ports").body["ports"]}
    whole = [{**carried(red, 20), "mac_address": macs[red]}, {**carried(blue, 30), "mac_address": macs[blue]}]
    assert told(parent) == {"trunk_id": trunk, "sub_ports": whole}
    assert told(red) is None
    answer = cloud.member.get(f"{BASE}/ports")
    assert {
        each["id"]: each["trunk_details"]["trunk_id"] for each in answer.body["ports"] if "trunk_details" in each
    } == {parent: trunk}
    changed = cloud.member.put(f"{BASE}/ports/{parent}", {"port": {"name": "still"}}).body["port"]
    assert changed["trunk_details"]["sub_ports"] == whole
    cloud.member.delete(f"{TRUNKS}/{trunk}")
    assert told(parent) is None
