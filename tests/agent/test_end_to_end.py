"""A real server and real agents: join, work, die, freeze, be shut out, and be taken over from."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from tests.agent.processes import AgentCloud, AgentProcess, eventually
from tests.clients.cloud import ADMIN

pytestmark = pytest.mark.xdist_group("agents_end_to_end")
FLAVOR = "42"
TAKEOVER_SECONDS = 60.0
"""Four times what is promised, for a loaded machine: `make ha` measures it."""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[AgentCloud]:
    """A server without a hypervisor of its own."""
    with AgentCloud(tmp_path) as made:
        try:
            yield made
        finally:
            for agent in made.agents:
                print(f"--- {agent.name}:\n{agent.logged()}")
            print(f"--- server:\n{made.server.logged()}")


def ask_for(sdk: Connection, image: str, name: str = "one") -> str:
    """Ask for a server; returns its id at once."""
    made = sdk.compute.create_server(name=name, image_id=image, flavor_id=FLAVOR, networks="none")
    return str(made.id)


def until_status(sdk: Connection, server: str, status: str = "ACTIVE") -> Any:
    """Wait for a server's status."""
    return eventually(
        lambda: (found := sdk.compute.get_server(server)).status == status and found, f"server {server} is {status}"
    )


def until_gone(sdk: Connection, server: str) -> None:
    """Wait for a server's end."""
    eventually(lambda: sdk.compute.find_server(server) is None, "the server is gone")


def operations(cloud: AgentCloud, *words: str) -> list[dict[str, Any]]:
    """What the operator sees of them."""
    listed = cloud.server.command("operations", "list", "--json", *words)
    return [json.loads(line) for line in listed.stdout.splitlines() if line.startswith("{")]


def test_an_agent_joins_boots_a_server_and_goes_in_order(cloud: AgentCloud, tmp_path: Path) -> None:
    estate = tmp_path / "estate.db"
    agent = cloud.agent("host-a", {"kvm-a": estate})
    cloud.until_hosts(1)
    sdk = cloud.server.sdk()
    server = ask_for(sdk, cloud.image())
    until_status(sdk, server)
    assert cloud.guests(estate) == [server]

    eventually(lambda: agent.roles() == {"kvm-a": "active"}, "it says so")
    status = agent.status()
    assert (status["name"], status["running"], status["trouble"]) == ("host-a", True, "")
    assert [(place["name"], place["role"], place["trouble"]) for place in status["places"]] == [("kvm-a", "active", "")]
    assert status["servers"] == [cloud.url]
    assert "host-a" in cloud.server.command("agents", "list").stdout

    sdk.compute.delete_server(server)
    until_gone(sdk, server)
    assert cloud.guests(estate) == []
    assert agent.stop() == 0
    assert "Traceback" not in agent.logged()


def test_a_token_is_good_once_and_rights_to_places_are_kept(cloud: AgentCloud, tmp_path: Path) -> None:
    token = cloud.token()
    first = AgentProcess(tmp_path, "first", {"kvm-a": tmp_path / "a.db"})
    assert first.join(cloud.url, token).returncode == 0
    cloud.agents.append(first)
    first.start()
    cloud.until_hosts(1)
    again = AgentProcess(tmp_path, "second", {"kvm-b": tmp_path / "b.db"})
    refused = again.join(cloud.url, token)
    assert refused.returncode != 0
    assert "token" in refused.stderr
    assert token.split(".")[1] not in refused.stderr
    thief = AgentProcess(tmp_path, "third", {"kvm-a": tmp_path / "c.db"})
    denied = thief.join(cloud.url, cloud.token())
    assert denied.returncode != 0
    assert "kvm-a" in denied.stderr
    taken = AgentProcess(tmp_path, "first2", {"kvm-c": tmp_path / "d.db"})
    taken.name = "first"
    assert "first" in taken.join(cloud.url, cloud.token()).stderr


def test_a_standby_finishes_what_a_killed_agent_had_begun(cloud: AgentCloud) -> None:
    active, standby, estate = cloud.pair(delay_seconds=3.0)
    image, sdk = cloud.image(), cloud.server.sdk()
    server = ask_for(sdk, image)
    eventually(lambda: cloud.steps_at_work() == ["vc"], "a step is at work")
    active.kill()
    since = time.monotonic()
    eventually(lambda: standby.roles() == {"vc": "active"}, "the standby has taken over")
    assert time.monotonic() - since < TAKEOVER_SECONDS
    until_status(sdk, server)
    assert cloud.guests(estate) == [server]
    active.start()
    eventually(lambda: active.roles() == {"vc": "standby"}, "the one that returns is standby")
    [row] = operations(cloud, "--state", "all", "--server", server)
    assert row["state"] == "done"
    assert [entry["step"] for entry in row["journal"] if entry["outcome"] == "done"].count("make") == 1


def test_one_that_was_frozen_wakes_up_and_makes_nothing(cloud: AgentCloud) -> None:
    active, standby, estate = cloud.pair(delay_seconds=3.0)
    image, sdk = cloud.image(), cloud.server.sdk()
    server = ask_for(sdk, image)
    eventually(lambda: cloud.steps_at_work() == ["vc"], "a step is at work")
    active.signal(signal.SIGSTOP)
    since = time.monotonic()
    eventually(lambda: standby.roles() == {"vc": "active"}, "the standby has taken over")
    assert time.monotonic() - since < TAKEOVER_SECONDS
    until_status(sdk, server)
    sdk.compute.delete_server(server)
    until_gone(sdk, server)
    assert cloud.guests(estate) == []
    active.signal(signal.SIGCONT)
    eventually(lambda: active.roles() == {"vc": "standby"}, "the one that woke up knows that it is standby")
    eventually(lambda: active.status()["steps"] == 0, "it has let go of its step")
    assert cloud.guests(estate) == []
    assert standby.roles() == {"vc": "active"}
    assert operations(cloud, "--state", "stuck") == []


def test_one_that_ends_in_order_gives_its_place_over_at_once(cloud: AgentCloud) -> None:
    active, standby, estate = cloud.pair(delay_seconds=1.0)
    image, sdk = cloud.image(), cloud.server.sdk()
    server = ask_for(sdk, image)
    eventually(lambda: cloud.steps_at_work() == ["vc"], "a step is at work")
    assert active.stop() == 0
    assert cloud.is_free("vc", active), "nobody waits for a hold that was given back"
    eventually(lambda: standby.roles() == {"vc": "active"}, "the standby has taken over")
    until_status(sdk, server)
    assert cloud.guests(estate) == [server]


def test_steps_and_reports_outlive_the_server(cloud: AgentCloud, tmp_path: Path) -> None:
    estate = tmp_path / "estate.db"
    agent = cloud.agent("host-a", {"kvm-a": estate}, delay_seconds=2.0)
    cloud.until_hosts(1)
    image = cloud.image()
    server = ask_for(cloud.server.sdk(), image)
    eventually(lambda: cloud.steps_at_work() == ["kvm-a"], "a step is at work")
    cloud.server.kill()
    cloud.server.start()
    sdk = cloud.server.sdk()
    until_status(sdk, server)
    assert cloud.guests(estate) == [server]
    [row] = operations(cloud, "--state", "all", "--server", server)
    assert [entry["outcome"] for entry in row["journal"]] == ["done"] * 5
    eventually(lambda: agent.roles() == {"kvm-a": "active"}, "it says that it holds its place")
    assert "Traceback" not in agent.logged()


def test_an_agent_that_is_shut_out_says_so_once_and_serves_no_more(cloud: AgentCloud, tmp_path: Path) -> None:
    agent = cloud.agent("host-a", {"kvm-a": tmp_path / "estate.db"})
    cloud.until_hosts(1)
    assert cloud.server.command("agents", "revoke", "host-a").status == 0
    eventually(lambda: "revoked" in agent.status()["trouble"], "it knows")
    eventually(lambda: agent.roles() == {"kvm-a": "unknown"}, "it holds nothing")
    assert len([line for line in agent.logged().splitlines() if "heartbeat" in line and "revoked" in line]) == 1
    [listed] = cloud.server.ask("compute", "service", "list", "--service", "nova-compute", cloud=ADMIN)[:1]
    eventually(
        lambda: cloud.server.ask("hypervisor", "list", cloud=ADMIN)[0]["State"] == "down", f"its host is down: {listed}"
    )


def test_a_certificate_renews_itself_while_the_agent_works(tmp_path: Path) -> None:
    # Its life is counted from five minutes ago, so that it is time to renew it at once, though it is good for long.
    with AgentCloud(tmp_path, certificate_days=120 / 86_400) as cloud:
        estate = tmp_path / "estate.db"
        agent = cloud.agent("host-a", {"kvm-a": estate})
        first = (agent.data / "agent.pem").read_bytes()
        eventually(lambda: (agent.data / "agent.pem").read_bytes() != first, "it was renewed")
        second = (agent.data / "agent.pem").read_bytes()
        eventually(lambda: (agent.data / "agent.pem").read_bytes() != second, "it was renewed once more")
        cloud.until_hosts(1)
        sdk = cloud.server.sdk()
        server = ask_for(sdk, cloud.image())
        until_status(sdk, server)
        assert agent.status()["trouble"] == ""
        assert agent.process is not None
        assert agent.process.poll() is None


def test_a_changed_configuration_is_taken_up_by_sighup(cloud: AgentCloud, tmp_path: Path) -> None:
    agent = cloud.agent("host-a", {"kvm-a": tmp_path / "estate.db"})
    cloud.until_hosts(1)
    agent.config.write_text(agent.config.read_text() + "hosts = 3\n")
    agent.signal(signal.SIGHUP)
    cloud.until_hosts(3)
    assert agent.process is not None
    assert agent.process.poll() is None, "it is the same process to systemd"
    other = AgentProcess(tmp_path, "other", {"x": tmp_path / "x.db"})
    other.data = agent.data
    other.start()
    assert other.wait() == 1
    assert "is running with" in other.logged()
