"""The unmodified `openstack` command on the compute resources beside servers: each test leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from tests.clients.cloud import ADMIN, RunningCloud


@contextmanager
def _ended(cloud: RunningCloud, *words: str, who: str = ADMIN) -> Iterator[None]:
    """Run a command at the end, whatever happens."""
    try:
        yield
    finally:
        cloud.run(*words, cloud=who)


def _hosts(cloud: RunningCloud) -> list[str]:
    return sorted(row["Hypervisor Hostname"] for row in cloud.ask("hypervisor", "list", cloud=ADMIN))


def _row(rows: list[dict[str, Any]], column: str, value: Any) -> dict[str, Any]:
    [found] = [row for row in rows if row[column] == value]
    return found


def test_a_new_cloud_has_flavors(cloud: RunningCloud) -> None:
    rows = cloud.ask("flavor", "list")
    assert {"m1.nano", "m1.tiny", "m1.small", "m1.medium", "m1.large"} <= {row["Name"] for row in rows}
    nano = cloud.ask("flavor", "show", "m1.nano")
    assert (nano["ram"], nano["vcpus"], nano["os-flavor-access:is_public"]) == (128, 1, True)


def test_a_private_flavor_is_made_given_changed_and_deleted(cloud: RunningCloud) -> None:
    made = ("flavor", "create", "--ram", "256", "--disk", "2", "--ephemeral", "1", "--swap", "64", "--private",
            "--property", "trait:HW_CPU_X86_AVX2=required", "--description", "for tests", "private-one")  # fmt: skip
    cloud.openstack(*made, cloud=ADMIN)
    with _ended(cloud, "flavor", "delete", "private-one"):
        assert "private-one" not in {row["Name"] for row in cloud.ask("flavor", "list")}
        assert "private-one" in cloud.refusal("flavor", "show", "private-one")
        cloud.openstack("flavor", "set", "--project", "demo", "--property", "quota:cpu_shares=10", "private-one",
                        cloud=ADMIN)  # fmt: skip
        shown = cloud.ask("flavor", "show", "private-one")
        assert shown["properties"] == {"trait:HW_CPU_X86_AVX2": "required", "quota:cpu_shares": "10"}
        assert (shown["ram"], shown["disk"], shown["swap"], shown["description"]) == (256, 2, 64, "for tests")
        cloud.openstack("flavor", "unset", "--project", "demo", "--property", "quota:cpu_shares", "private-one",
                        cloud=ADMIN)  # fmt: skip
        assert "private-one" not in {row["Name"] for row in cloud.ask("flavor", "list")}
        assert "Policy does not allow" in cloud.refusal("flavor", "create", "mine")
    assert "private-one" not in {row["Name"] for row in cloud.ask("flavor", "list", "--all", cloud=ADMIN)}


def test_a_key_pair_is_imported_and_another_one_made(cloud: RunningCloud, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    cloud.openstack("keypair", "create", "--private-key", str(secret), "made-here")
    with _ended(cloud, "keypair", "delete", "made-here", who="polyvisor"):
        private = serialization.load_ssh_private_key(secret.read_bytes(), None)
        line = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        public = tmp_path / "key.pub"
        public.write_bytes(line + b" me@here\n")
        cloud.openstack("keypair", "create", "--public-key", str(public), "brought")
        with _ended(cloud, "keypair", "delete", "brought", who="polyvisor"):
            rows = cloud.ask("keypair", "list")
            names = {row["Name"]: (row["Fingerprint"], row["Type"]) for row in rows}
            assert names["made-here"] == names["brought"]
            assert cloud.openstack("keypair", "show", "--public-key", "brought").strip() == public.read_text().strip()
            assert cloud.ask("keypair", "list", cloud=ADMIN) == []
            given = cloud.ask("keypair", "list", "--user", "demo", cloud=ADMIN)
            assert {row["Name"] for row in given} == {"made-here", "brought"}
            assert "already" in cloud.refusal("keypair", "create", "--public-key", str(public), "brought")


def test_hosts_fall_into_the_aggregate_of_their_kind(cloud: RunningCloud) -> None:
    shown = cloud.ask("aggregate", "show", "simulated", cloud=ADMIN)
    assert sorted(shown["hosts"]) == _hosts(cloud)
    assert shown["properties"] == {"hypervisor_type": "simulated"}


def test_an_aggregate_makes_a_zone_of_its_hosts(cloud: RunningCloud) -> None:
    host = _hosts(cloud)[0]
    cloud.openstack("aggregate", "create", "--zone", "zone-a", "--property", "ssd=true", "racks", cloud=ADMIN)
    with (
        _ended(cloud, "aggregate", "delete", "racks"),
        _ended(cloud, "aggregate", "remove", "host", "racks", host),
    ):
        cloud.openstack("aggregate", "add", "host", "racks", host, cloud=ADMIN)
        shown = cloud.ask("aggregate", "show", "racks", cloud=ADMIN)
        assert (shown["hosts"], shown["availability_zone"], shown["properties"]) == ([host], "zone-a", {"ssd": "true"})
        zones = {row["Zone Name"] for row in cloud.ask("availability", "zone", "list", "--compute")}
        assert zones == {"nova", "zone-a"}
        member_of = cloud.ask("hypervisor", "show", host, cloud=ADMIN)["aggregates"]
        assert sorted(member_of) == ["racks", "simulated"]
        assert "not empty" in cloud.refusal("aggregate", "delete", "racks", cloud=ADMIN)
    assert {row["Zone Name"] for row in cloud.ask("availability", "zone", "list", "--compute")} == {"nova"}


def test_hypervisors_are_listed_and_shown_at_old_and_new_microversions(cloud: RunningCloud) -> None:
    rows = cloud.ask("hypervisor", "list", cloud=ADMIN)
    assert len(rows) == 3
    assert {row["State"] for row in rows} == {"up"}
    name = rows[0]["Hypervisor Hostname"]
    for version in ("2.1", "2.28", "2.53", "2.87", None):
        shown = cloud.ask("hypervisor", "show", name, cloud=ADMIN, version=version)
        assert shown["hypervisor_hostname"] == name
        assert shown["hypervisor_type"] == "simulated"
        assert shown["cpu_info"]["arch"] == "x86_64"
    old = cloud.ask("hypervisor", "show", name, cloud=ADMIN, version="2.1")
    assert old["memory_mb"] == old["free_ram_mb"] + old["memory_mb_used"]
    found = cloud.ask("hypervisor", "list", "--matching", name, cloud=ADMIN)
    assert [row["Hypervisor Hostname"] for row in found] == [name]
    assert "Policy does not allow" in cloud.refusal("hypervisor", "list")


def test_a_host_is_disabled_with_a_reason_and_enabled_again(cloud: RunningCloud) -> None:
    host = _hosts(cloud)[0]
    off = ("compute", "service", "set", "--disable", "--disable-reason", "new disks", host, "nova-compute")
    cloud.openstack(*off, cloud=ADMIN)
    with _ended(cloud, "compute", "service", "set", "--enable", host, "nova-compute"):
        rows = cloud.ask("compute", "service", "list", "--long", cloud=ADMIN)
        row = _row(rows, "Host", host)
        assert (row["Status"], row["State"], row["Disabled Reason"]) == ("disabled", "up", "new disks")
        assert cloud.ask("hypervisor", "show", host, cloud=ADMIN)["status"] == "disabled"
    row = _row(cloud.ask("compute", "service", "list", "--long", cloud=ADMIN), "Host", host)
    assert (row["Status"], row["Disabled Reason"]) == ("enabled", None)


def test_quotas_are_set_shown_and_taken_back(cloud: RunningCloud) -> None:
    def cores() -> int:
        rows = cloud.ask("quota", "show", "--compute")
        limit: int = _row(rows, "Resource", "cores")["Limit"]
        return limit

    assert cores() == 20
    cloud.openstack("quota", "set", "--cores", "6", "--ram", "-1", "demo", cloud=ADMIN)
    with _ended(cloud, "quota", "delete", "--compute", "demo"):
        assert cores() == 6
        limits = cloud.ask("limits", "show", "--absolute")
        values = {row["Name"]: row["Value"] for row in limits}
        assert (values["total_cores"], values["total_ram"], values["instances_used"]) == (6, -1, 0)
        assert "Policy does not allow" in cloud.refusal("quota", "set", "--cores", "99", "demo")
    assert cores() == 20


def test_usage_of_a_project_that_used_nothing_is_zero(cloud: RunningCloud) -> None:
    cloud.openstack("project", "create", "idle", cloud=ADMIN)
    with _ended(cloud, "project", "delete", "idle"):
        usage = cloud.ask("usage", "show", "--project", "idle", cloud=ADMIN)
        assert (usage["Servers"], usage["CPU Hours"], usage["RAM MB-Hours"]) == ([], 0, 0)


def test_the_sdk_finds_the_same_resources(cloud: RunningCloud) -> None:
    connection = cloud.sdk(ADMIN)
    try:
        flavor = connection.compute.find_flavor("m1.nano", get_extra_specs=True)
        assert (flavor.ram, flavor.extra_specs) == (128, {})
        assert {one.name for one in connection.compute.hypervisors()} == set(_hosts(cloud))
        assert {one.host for one in connection.compute.services(binary="nova-compute")} == set(_hosts(cloud))
        assert connection.compute.get_limits().absolute.total_cores == 20
    finally:
        connection.close()


def test_the_process_that_answers_is_among_the_services(cloud: RunningCloud) -> None:
    rows = cloud.ask("compute", "service", "list", cloud=ADMIN)
    control = {row["Binary"]: (row["Zone"], row["State"]) for row in rows if row["Binary"] != "nova-compute"}
    assert control == {"nova-conductor": ("internal", "up"), "nova-scheduler": ("internal", "up")}
