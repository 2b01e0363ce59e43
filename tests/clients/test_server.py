"""The life of servers as the unmodified `openstack` client and openstacksdk see it, on simulated hosts."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.cloud import ADMIN, RunningCloud
from tests.clients.servers import IMAGE, KEY, Servers


def test_the_installed_program_works_with_nothing_but_clouds_yaml(cloud: RunningCloud) -> None:
    """The `openstack` executable itself; the other tests load its code once."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "openstack"), "--os-cloud", "polyvisor", "flavor", "list", "-f", "value"],
        env={"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_file), "PATH": "/usr/bin:/bin", "HOME": str(cloud.data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "m1.nano" in done.stdout


def test_what_create_asks_for_is_what_show_tells(cloud: RunningCloud, servers: Servers, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho hello\n")
    options = ("--key-name", KEY, "--user-data", str(script), "--config-drive", "True", "--property", "tier=web",
               "--property", "owner=me", "--availability-zone", "nova", "--description", "The first one")  # fmt: skip
    id = servers.boot("first", *options)

    shown = cloud.ask("server", "show", "first")
    assert shown["id"] == id
    assert shown["status"] == "ACTIVE"
    assert shown["OS-EXT-STS:power_state"] == 1
    assert shown["key_name"] == KEY
    assert shown["config_drive"] == "True"
    assert shown["properties"] == {"tier": "web", "owner": "me"}
    assert shown["description"] == "The first one"
    assert shown["OS-EXT-AZ:availability_zone"] == "nova"
    assert shown["flavor"]["original_name"] == "m1.nano"
    assert shown["image"].startswith(IMAGE)
    assert shown["addresses"] == {}
    assert shown["OS-EXT-SRV-ATTR:host"] is None, "members do not see where a server runs"

    seen = cloud.ask("server", "show", id, cloud=ADMIN)
    assert seen["OS-EXT-SRV-ATTR:host"].startswith("simulated-000")
    assert seen["OS-EXT-SRV-ATTR:hostname"] == "first"
    assert base64.b64decode(seen["OS-EXT-SRV-ATTR:user_data"]) == script.read_bytes()

    log = cloud.openstack("console", "log", "show", "first")
    assert f"CLOUD-READY host=first uuid={id}" in log
    assert "keys=1" in log


def test_wait_ends_when_the_server_is_active_or_gone(cloud: RunningCloud, servers: Servers) -> None:
    words = ("server", "create", "--image", IMAGE, "--flavor", "m1.nano", "--nic", "none", "--wait", "awaited")
    assert cloud.ask(*words)["status"] == "ACTIVE"
    cloud.openstack("server", "delete", "--wait", "awaited")
    assert "No Server found for awaited" in cloud.refusal("server", "show", "awaited")
    assert cloud.ask("server", "list") == []


def test_microversion_2_37_is_the_first_that_takes_no_network_in_so_many_words(
    cloud: RunningCloud, servers: Servers
) -> None:
    """Before it, a server without networks is what one gets by asking for nothing."""
    words = ("server", "create", "--image", IMAGE, "--flavor", "m1.nano")
    at_2_37 = cloud.ask(*words, "--nic", "none", "new", version="2.37")
    at_2_1 = cloud.ask(*words, "old", version="2.1")
    for made in (at_2_37, at_2_1):
        servers.reach(made["id"], "ACTIVE")


def test_several_servers_are_made_in_one_request(cloud: RunningCloud, servers: Servers) -> None:
    servers.boot("many", "--min", "2", "--max", "3")
    assert sorted(row["Name"] for row in cloud.ask("server", "list")) == ["many-1", "many-2", "many-3"]


def test_an_administrator_names_the_host(cloud: RunningCloud, servers: Servers) -> None:
    by_host = servers.boot("by-host", "--host", "simulated-0003", cloud=ADMIN)
    by_node = servers.boot("by-node", "--hypervisor-hostname", "simulated-0002", cloud=ADMIN)
    by_zone = servers.boot("by-zone", "--availability-zone", "nova:simulated-0001", cloud=ADMIN)
    hosts = {server.id: server.compute_host for server in cloud.sdk(ADMIN).compute.servers()}
    assert hosts == {by_host: "simulated-0003", by_node: "simulated-0002", by_zone: "simulated-0001"}

    assert "Compute host nowhere could not be found" in servers.refusal("--host", "nowhere", cloud=ADMIN)
    assert "403" in servers.refusal("--host", "simulated-0001")
    assert "403" in servers.refusal("--availability-zone", "nova:simulated-0001")


def test_lists_are_filtered_sorted_and_paged(cloud: RunningCloud, servers: Servers) -> None:
    ids = {name: servers.boot(name) for name in ("alpha", "beta")}
    elsewhere = servers.boot("gamma", cloud=ADMIN)
    servers.compute.stop_server(ids["beta"])
    servers.reach(ids["beta"], "SHUTOFF")

    def names(*options: str, cloud_name: str = "polyvisor") -> list[str]:
        return [row["Name"] for row in cloud.ask("server", "list", *options, cloud=cloud_name)]

    assert names() == ["beta", "alpha"], "the newest first"
    assert names("--status", "SHUTOFF") == ["beta"]
    assert names("--name", "^al") == ["alpha"]
    assert names("--image", IMAGE, "--flavor", "m1.small") == []
    assert names("--limit", "1") == ["beta"]
    assert names("--marker", ids["beta"]) == ["alpha"]
    assert names(cloud_name=ADMIN) == ["gamma"]
    assert names("--all-projects", cloud_name=ADMIN) == ["gamma", "beta", "alpha"]
    host = cloud.sdk(ADMIN).compute.get_server(elsewhere).compute_host
    assert "gamma" in names("--all-projects", "--host", host, cloud_name=ADMIN)

    (row,) = cloud.ask("server", "list", "--long", "--name", "beta")
    assert (row["Status"], row["Power State"], row["Task State"]) == ("SHUTOFF", 4, None)
    assert row["Image Name"] == IMAGE
    assert [server.name for server in servers.compute.servers(limit=1, sort_key="display_name", sort_dir="asc")] == [
        "alpha",
        "beta",
    ], "openstacksdk follows the links of one page after the other"
    assert "403" in cloud.refusal("server", "list", "--all-projects")


def test_names_descriptions_and_properties_can_be_changed(cloud: RunningCloud, servers: Servers) -> None:
    id = servers.boot("before", "--property", "kept=1", "--property", "dropped=2")
    cloud.openstack("server", "set", "--name", "after", "--description", "New", "--property", "added=3", "before")
    cloud.openstack("server", "unset", "--property", "dropped", "after")
    shown = cloud.ask("server", "show", "after")
    assert (shown["id"], shown["description"], shown["properties"]) == (id, "New", {"kept": "1", "added": "3"})
    cloud.openstack("server", "unset", "--description", "after")
    assert not cloud.ask("server", "show", "after")["description"]

    servers.compute.set_server_metadata(id, kept="4")
    servers.compute.delete_server_metadata(id, ["added"])
    assert servers.compute.get_server_metadata(id).metadata == {"kept": "4"}
    assert "a string of at most 255 characters is expected" in cloud.refusal(
        "server", "set", "--name", "x" * 256, "after"
    )


@pytest.mark.parametrize(
    ("away", "between", "back"),
    [
        (("stop",), "SHUTOFF", ("start",)),
        (("pause",), "PAUSED", ("unpause",)),
        (("suspend",), "SUSPENDED", ("resume",)),
    ],
)
def test_power_goes_away_and_comes_back(
    cloud: RunningCloud, servers: Servers, away: tuple[str], between: str, back: tuple[str]
) -> None:
    """A second request for the state that is there already is a conflict, which says so."""
    id = servers.boot("switched")
    assert f"Cannot '{back[0]}'" in (refused := cloud.refusal("server", *back, "switched"))
    assert "409" in refused
    cloud.openstack("server", *away, "switched")
    servers.reach(id, between)
    assert "409" in cloud.refusal("server", *away, "switched")
    cloud.openstack("server", *back, "switched")
    servers.reach(id, "ACTIVE")


def test_a_server_reboots_softly_and_hard(cloud: RunningCloud, servers: Servers) -> None:
    id = servers.boot("rebooted")
    cloud.openstack("server", "reboot", "--wait", "rebooted")
    servers.compute.stop_server(id)
    servers.reach(id, "SHUTOFF")
    assert "409" in cloud.refusal("server", "reboot", "rebooted"), "a server that is off has nobody to ask"
    cloud.openstack("server", "reboot", "--hard", "--wait", "rebooted")
    servers.reach(id, "ACTIVE")


def test_a_locked_server_is_left_alone_until_it_is_unlocked(cloud: RunningCloud, servers: Servers) -> None:
    id = servers.boot("locked")
    cloud.openstack("server", "lock", "--reason", "audit", "locked")
    assert servers.compute.get_server(id).is_locked
    for words in (("stop",), ("reboot",), ("pause",), ("delete",)):
        refused = cloud.refusal("server", *words, "locked")
        assert "409" in refused
        assert "is locked" in refused
    cloud.openstack("server", "unlock", "locked")
    cloud.openstack("server", "delete", "--wait", "locked")


def test_events_tell_what_was_done_and_by_whom(cloud: RunningCloud, servers: Servers) -> None:
    id = servers.boot("told")
    cloud.openstack("server", "stop", "told")
    servers.reach(id, "SHUTOFF")
    rows = cloud.ask("server", "event", "list", "told", "--long")
    assert [row["Action"] for row in rows] == ["stop", "create"]
    assert {row["User ID"] for row in rows} == {cloud.sdk().current_user_id}

    create = cloud.ask("server", "event", "show", "told", rows[1]["Request ID"])
    steps = [(event["event"], event["result"]) for event in create["events"]]
    assert steps == [(step, "Success") for step in ("claim", "prepare_image", "make", "boot", "finish")]
    assert "req-nothing" in cloud.refusal("server", "event", "show", "told", "req-nothing")
