"""The unmodified `openstack` command and openstacksdk on networks: each test leaves nothing behind."""

from tests.clients.cloud import ADMIN, MEMBER, RunningCloud


def test_a_network_is_made_used_changed_and_deleted(cloud: RunningCloud) -> None:
    network = cloud.ask("network", "create", "--description", "d", "inside")
    assert (network["status"], network["mtu"], network["shared"]) == ("ACTIVE", 1442, False)
    subnet = cloud.ask(
        "subnet", "create", "--network", "inside", "--subnet-range", "10.7.0.0/24", "--dns-nameserver", "9.9.9.9",
        "--allocation-pool", "start=10.7.0.10,end=10.7.0.20",
        "--host-route", "destination=10.8.0.0/16,gateway=10.7.0.2",
        "four",
    )  # fmt: skip
    assert (subnet["gateway_ip"], subnet["enable_dhcp"]) == ("10.7.0.1", True)
    port = cloud.ask("port", "create", "--network", "inside", "--fixed-ip", "subnet=four,ip-address=10.7.0.99", "p")
    assert [each["ip_address"] for each in port["fixed_ips"]] == ["10.7.0.99"]
    found = cloud.ask("port", "list", "--network", "inside", "--fixed-ip", "ip-address=10.7.0.99")
    assert [each["ID"] for each in found] == [port["id"]]
    cloud.openstack("port", "set", "--disable-port-security", "--no-security-group", "--tag", "t", "p")
    changed = cloud.ask("port", "show", "p")
    assert (changed["port_security_enabled"], changed["tags"]) == (False, ["t"])
    assert "still in use" in cloud.refusal("network", "delete", "inside")
    cloud.openstack("port", "delete", "p")
    cloud.openstack("network", "set", "--name", "renamed", "--disable", "inside")
    assert cloud.ask("network", "show", "renamed")["admin_state_up"] is False
    cloud.openstack("network", "delete", "renamed")
    assert cloud.ask("subnet", "list") == []


def test_an_administrator_names_segments_and_shares(cloud: RunningCloud) -> None:
    network = cloud.ask(
        "network", "create", "--share", "--provider-network-type", "geneve", "--provider-segment", "4711", "ours",
        cloud=ADMIN,
    )  # fmt: skip
    try:
        assert network["provider:segmentation_id"] == 4711
        assert [each["Name"] for each in cloud.ask("network", "list", "--share")] == ["ours"]
        again = ("network", "create", "--provider-network-type", "geneve", "--provider-segment", "4711", "again")
        assert "in use" in cloud.refusal(*again, cloud=ADMIN)
        too_high = ("network", "create", "--provider-network-type", "vlan", "--provider-physical-network", "x",
                    "--provider-segment", "4095", "no")  # fmt: skip
        assert "physical_network" in cloud.refusal(*too_high, cloud=ADMIN)
        assert "403" in cloud.refusal("network", "set", "--name", "mine", network["id"])
        usage = cloud.ask("ip", "availability", "show", "ours", cloud=ADMIN)
        assert (usage["total_ips"], usage["used_ips"]) == (0, 0)
    finally:
        cloud.run("network", "delete", "ours", cloud=ADMIN)


def test_what_neutron_lists_is_listed(cloud: RunningCloud) -> None:
    aliases = {each["Alias"] for each in cloud.ask("extension", "list", "--network")}
    assert {"standard-attr-tag", "rbac-policies", "auto-allocated-topology"} <= aliases
    assert len(cloud.ask("network", "agent", "list", cloud=ADMIN)) == 3
    assert cloud.ask("quota", "show", "--network")
    assert {each["Zone Resource"] for each in cloud.ask("availability", "zone", "list", "--network", "--long")} == {
        "network", "router",
    }  # fmt: skip


def test_pools_scopes_and_policies_are_made(cloud: RunningCloud) -> None:
    scope = cloud.ask("address", "scope", "create", "--ip-version", "4", "scope")
    pool = cloud.ask(
        "subnet", "pool", "create", "--pool-prefix", "10.9.0.0/16", "--default-prefix-length", "26", "--address-scope",
        "scope", "pool",
    )  # fmt: skip
    assert pool["address_scope_id"] == scope["id"]
    network = cloud.ask("network", "create", "pooled")
    try:
        subnet = cloud.ask("subnet", "create", "--network", "pooled", "--subnet-pool", "pool", "--ip-version", "4", "s")
        assert subnet["cidr"] == "10.9.0.0/26"
        admin = cloud.sdk(ADMIN).current_project_id
        policy = cloud.ask(
            "network", "rbac", "create", "--type", "network", "--action", "access_as_shared", "--target-project", admin,
            network["id"],
        )  # fmt: skip
        assert policy["object_id"] == network["id"]
        cloud.openstack("network", "rbac", "delete", policy["id"])
    finally:
        for words in (("network", "delete", "pooled"), ("subnet", "pool", "delete", "pool"),
                      ("address", "scope", "delete", "scope")):  # fmt: skip
            cloud.openstack(*words, cloud=MEMBER)


def test_openstacksdk_pages_through_ports(cloud: RunningCloud) -> None:
    sdk = cloud.sdk().network
    network = sdk.create_network(name="many")
    ports = sdk.create_ports([{"network_id": network.id, "name": f"p{number}"} for number in range(5)])
    assert len(list(ports)) == 5
    assert sorted(port.name for port in sdk.ports(network_id=network.id, limit=2)) == [f"p{n}" for n in range(5)]
    for port in sdk.ports(network_id=network.id):
        sdk.delete_port(port, if_revision=port.revision_number)
    sdk.delete_network(network)
