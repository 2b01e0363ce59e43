"""Bindings of ports: prepared for a host, activated there, and taken away."""

from typing import Any

import pytest

from tests.api.cloud import ApiCloud
from tests.api.compute.estate import host, put
from tests.api.network.calls import BASE, delete, make, refused, show


@pytest.fixture
def port(cloud: ApiCloud) -> str:
    """A port of the project "demo" that is plugged at kvm-1; there is kvm-2 as well."""
    put(cloud.database, host("kvm-1"), host("kvm-2"))
    network = make(cloud.member, "network")["id"]
    fields = {"device_id": "server", "device_owner": "compute:nova", "binding__host_id": "kvm-1"}
    id: str = make(cloud.admin, "port", network_id=network, **fields)["id"]
    return id


def path(port: str, *more: str) -> str:
    return "/".join((f"{BASE}/ports/{port}/bindings", *more))


def hosts(cloud: ApiCloud, port: str, **query: Any) -> list[tuple[str, str]]:
    found = cloud.admin.get(path(port), **query).body["bindings"]
    return [(each["host"], each["status"]) for each in found]


def test_a_port_is_prepared_for_a_host_and_plugged_there_when_asked(cloud: ApiCloud, port: str) -> None:
    made = cloud.admin.post(path(port), {"binding": {"host": "kvm-2", "profile": {"migrating_to": "kvm-2"}}})
    assert made.status == 201
    binding = made.body["binding"]
    assert (binding["status"], binding["vif_type"], binding["vnic_type"]) == ("INACTIVE", "ovs", "normal")
    assert show(cloud.admin, "port", port)["binding:host_id"] == "kvm-1"
    assert hosts(cloud, port) == [("kvm-1", "ACTIVE"), ("kvm-2", "INACTIVE")]
    assert hosts(cloud, port, status="INACTIVE") == [("kvm-2", "INACTIVE")]
    revision = show(cloud.admin, "port", port)["revision_number"]
    activated = cloud.admin.put(path(port, "kvm-2", "activate"), None)
    assert (activated.status, activated.body["status"], activated.body["profile"]) == (
        200, "ACTIVE", {"migrating_to": "kvm-2"},
    )  # fmt: skip
    plugged = show(cloud.admin, "port", port)
    assert (plugged["binding:host_id"], plugged["status"]) == ("kvm-2", "DOWN")
    assert plugged["revision_number"] > revision
    assert hosts(cloud, port) == [("kvm-2", "ACTIVE"), ("kvm-1", "INACTIVE")]
    assert cloud.admin.get(path(port, "kvm-1")).body["binding"]["status"] == "INACTIVE"
    assert cloud.admin.delete(path(port, "kvm-1")).status == 204
    assert hosts(cloud, port) == [("kvm-2", "ACTIVE")]


def test_the_keeper_is_told_where_the_port_is_plugged_now(cloud: ApiCloud, port: str) -> None:
    cloud.admin.post(path(port), {"binding": {"host": "kvm-2"}})
    with cloud.database.write() as store:
        store.network_intent.strike_off(store.network_intent.due(1000))
    cloud.admin.put(path(port, "kvm-2", "activate"), None)
    with cloud.database.read() as store:
        assert [each.id for each in store.network_intent.due(1000)] == [port]


def test_a_binding_is_changed_by_its_host(cloud: ApiCloud, port: str) -> None:
    cloud.admin.post(path(port), {"binding": {"host": "kvm-2"}})
    for name in ("kvm-1", "kvm-2"):
        changed = cloud.admin.put(path(port, name), {"binding": {"profile": {"at": name}, "vnic_type": "macvtap"}})
        assert (changed.body["binding"]["profile"], changed.body["binding"]["vnic_type"]) == ({"at": name}, "macvtap")
        assert cloud.admin.get(path(port, name)).body["binding"] == changed.body["binding"]
    assert show(cloud.admin, "port", port)["binding:profile"] == {"at": "kvm-1"}


def test_what_cannot_be_bound_is_refused(cloud: ApiCloud, port: str) -> None:
    def attempt(**fields: Any) -> Any:
        return cloud.admin.post(path(port), {"binding": fields})

    refused(attempt(host="kvm-1"), 409, "PortBindingAlreadyExists")
    assert "no such hypervisor" in refused(attempt(host="kvm-9"), 409, "PortBindingError")
    refused(attempt(host=""), 400, "InvalidInput")
    refused(attempt(host="kvm-2", vnic_type="strange"), 400, "InvalidInput")
    refused(cloud.admin.put(path(port, "kvm-1", "activate"), None), 409, "PortBindingAlreadyActive")
    refused(cloud.admin.put(path(port, "kvm-2", "activate"), None), 404, "PortBindingNotFound")
    refused(cloud.admin.get(path(port, "kvm-2")), 404, "PortBindingNotFound")
    assert "activate another one" in refused(cloud.admin.delete(path(port, "kvm-1")), 409, "PortBindingActive")
    refused(cloud.admin.get(path(port), color="red"), 400, "HTTPBadRequest")
    assert hosts(cloud, port) == [("kvm-1", "ACTIVE")]


def test_bindings_are_for_administrators_and_go_with_their_port(cloud: ApiCloud, port: str) -> None:
    cloud.admin.post(path(port), {"binding": {"host": "kvm-2"}})
    for answer in (
        cloud.member.get(path(port)),
        cloud.member.post(path(port), {"binding": {"host": "kvm-2"}}),
        cloud.member.put(path(port, "kvm-2", "activate"), None),
        cloud.member.delete(path(port, "kvm-2")),
    ):
        refused(answer, 403, "PolicyNotAuthorized")
    assert delete(cloud.admin, "port", port).status == 204
    refused(cloud.admin.get(path(port)), 404, "PortNotFound")


def test_binding_a_port_by_itself_to_a_host_uses_up_what_was_prepared_there(cloud: ApiCloud, port: str) -> None:
    cloud.admin.post(path(port), {"binding": {"host": "kvm-2"}})
    cloud.admin.put(f"{BASE}/ports/{port}", {"port": {"binding:host_id": "kvm-2"}})
    assert hosts(cloud, port) == [("kvm-2", "ACTIVE")]
