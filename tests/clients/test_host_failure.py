"""Failed hosts and maintenance, as the unmodified client and the operator's own command see them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.cloud import ADMIN, RunningCloud
from tests.clients.servers import wait_until

TWO_HOSTS = """
[operate]
inventory_seconds = 1.0

[[hypervisor]]
name = "left"
driver = "simulated"
storage_path = "{storage}"

[[hypervisor]]
name = "right"
driver = "simulated"
storage_path = "{storage}"
"""


@pytest.fixture
def two(own_cloud: Callable[..., RunningCloud], tmp_path: Path) -> RunningCloud:
    """Two connections with a host each, on shared storage, and a server."""
    file = tmp_path / "polyvisor.toml"
    file.write_text(TWO_HOSTS.format(storage=tmp_path / "storage"))
    cloud = own_cloud("--config", str(file))
    raw = tmp_path / "image.raw"
    raw.write_bytes(bytes(1024**2))
    cloud.openstack("image", "create", "--disk-format", "raw", "--file", str(raw), "--public", "image", cloud=ADMIN)
    cloud.openstack("server", "create", "--image", "image", "--flavor", "m1.nano", "--nic", "none", "--wait", "one")
    names = {"left-0001", "right-0001"}
    # Each host tells of the other's mark only once it has seen it.
    wait_until(lambda: all(_marks(cloud, name) == names for name in names), "the hosts know that they share storage")
    return cloud


def _marks(cloud: RunningCloud, host: str) -> set[str]:
    import sqlite3

    with sqlite3.connect(f"file:{cloud.data / 'polyvisor.db'}?mode=ro", uri=True) as database:
        row = database.execute("SELECT report FROM host WHERE name = ?", (host,)).fetchone()
    return set(json.loads(row[0])["datastores"][0]["marks"]) if row else set()


def _id(cloud: RunningCloud) -> str:
    return str(cloud.ask("server", "show", "one")["id"])


def _host(cloud: RunningCloud) -> str:
    return str(cloud.ask("server", "show", _id(cloud), cloud=ADMIN)["OS-EXT-SRV-ATTR:host"])


def _status(cloud: RunningCloud) -> Any:
    return cloud.ask("server", "show", "one")["status"]


def test_a_failed_hosts_server_is_evacuated_by_the_client(two: RunningCloud) -> None:
    home = _host(two)
    refused = two.refusal("server", "evacuate", _id(two), cloud=ADMIN, version="2.95")
    assert f"Compute service of {home} is still in use" in refused
    two.openstack("compute", "service", "set", "--down", home, "nova-compute", cloud=ADMIN, version="2.11")
    [service] = two.ask("compute", "service", "list", "--service", "nova-compute", "--host", home, cloud=ADMIN)
    assert service["State"] == "down"
    # Not --wait: this client then waits for a status "ACTIVE" among statuses that it has put into small letters.
    two.openstack("server", "evacuate", _id(two), cloud=ADMIN, version="2.29")
    wait_until(lambda: _status(two) == "ACTIVE", "it is up elsewhere")
    other = _host(two)
    assert other != home
    [migration] = two.ask("server", "migration", "list", cloud=ADMIN, version="2.80")
    assert (migration["Type"], migration["Source Compute"], migration["Dest Compute"]) == ("evacuation", home, other)
    assert "evacuate" in {event["Action"] for event in two.ask("server", "event", "list", "one")}
    two.openstack("compute", "service", "set", "--up", home, "nova-compute", cloud=ADMIN, version="2.11")

    def cleared() -> bool:
        [row] = two.ask("server", "migration", "list", cloud=ADMIN, version="2.80")
        return bool(row["Status"] == "completed")

    wait_until(cleared, "the host that came back has nothing of it left")
    assert _status(two) == "ACTIVE"


def test_a_host_is_drained_and_taken_back_by_command(two: RunningCloud) -> None:
    home = _host(two)
    shown = two.command("host", "show", home)
    assert "move it, on its disks" in shown.stdout
    done = two.command("host", "drain", home, "--reason", "new memory", "--wait")
    assert done.status == 0, done
    assert f"{home} is empty." in done.stdout
    other = _host(two)
    assert other != home
    assert _status(two) == "ACTIVE"
    [row] = [json.loads(line) for line in two.command("host", "list", "--json").stdout.splitlines()
             if json.loads(line)["name"] == home]  # fmt: skip
    assert (row["enabled"], row["servers"], row["drain"]) == (False, 0, None)
    assert "new memory" in row["disabled_reason"]
    # There is nowhere to go back to while the first one is disabled.
    waiting = two.command("host", "drain", other)
    assert waiting.status == 0
    wait_until(lambda: "No host can run" in two.command("host", "list").stdout, "it says why it waits")
    assert two.command("host", "enable", other).status == 1
    assert two.command("host", "undrain", other).status == 0
    assert two.command("host", "enable", home).status == 0
    assert _status(two) == "ACTIVE"
    assert _host(two) == other


def test_all_servers_of_a_failed_host_are_evacuated_by_command(two: RunningCloud) -> None:
    home = _host(two)
    refused = two.command("host", "evacuate", home)
    assert refused.status == 1
    assert "still in use" in refused.stderr
    two.openstack("compute", "service", "set", "--down", home, "nova-compute", cloud=ADMIN, version="2.11")
    done = two.command("host", "evacuate", home, "--wait")
    assert done.status == 0, done
    assert "1 of 1 are up elsewhere" in done.stdout
    assert _host(two) != home


def test_what_is_not_there_is_said_in_a_sentence(two: RunningCloud) -> None:
    for words in (("show",), ("disable",), ("enable",), ("drain",), ("undrain",), ("evacuate",)):
        answer = two.command("host", *words, "nowhere")
        assert answer.status == 1
        assert "nowhere" in answer.stderr
        assert "Traceback" not in answer.stderr
