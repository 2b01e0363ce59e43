"""What the unmodified client shows of a vCenter's clusters: their insides, their faults, and when they are gone."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from testbed.vcenter import TestVcenter
from tests.clients.cloud import ADMIN, RunningCloud

_TIMEOUT_SECONDS = 180


@pytest.fixture
def flawed() -> Iterator[TestVcenter]:
    """One cluster of two ESXi hosts, whose DRS does not act by itself, and which cannot move VMs."""
    with TestVcenter(drs="manual", vmotion=False, ha=False) as vcenter:
        yield vcenter


@pytest.fixture
def cloud(flawed: TestVcenter, tmp_path: Path) -> Iterator[RunningCloud]:
    password = tmp_path / "password"
    password.write_text(flawed.password)
    configuration = tmp_path / "polyvisor.toml"
    configuration.write_text(
        f"""
        [operate]
        inventory_seconds = 2

        [[hypervisor]]
        name = "vc1"
        driver = "vsphere"
        host = "{flawed.host}"
        user = "{flawed.user}"
        password_file = "{password}"
        thumbprint = "{flawed.thumbprint_sha256}"
        """
    )
    with ExitStack() as ended:
        running = RunningCloud(tmp_path / "cloud", "--config", str(configuration))
        yield ended.enter_context(running)
        print(running.logged())


def _await(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not come about in {_TIMEOUT_SECONDS} seconds"
        time.sleep(0.5)
    return found


def _service(cloud: RunningCloud) -> dict[str, Any]:
    rows: list[dict[str, Any]] = cloud.ask(
        "compute", "service", "list", "--service", "nova-compute", "--long", cloud=ADMIN
    )
    return rows[0] if rows else {}


def test_a_cluster_says_what_is_wrong_with_it_and_when_it_is_gone(cloud: RunningCloud, flawed: TestVcenter) -> None:
    [row] = _await("the cluster's joining", lambda: cloud.ask("hypervisor", "list", cloud=ADMIN))
    name = row["Hypervisor Hostname"]
    shown = cloud.ask("hypervisor", "show", name, cloud=ADMIN)
    assert shown["hypervisor_type"] == "vmware"
    assert shown["aggregates"] == ["vmware"]
    info = shown["cpu_info"]
    told = "\n".join(info["warnings"])
    assert "DRS" in told
    assert "vMotion is not enabled" in told
    assert len(info["members"]) == 2
    assert {member["state"] for member in info["members"]} == {"up"}
    [datastore] = info["datastores"]
    assert datastore["shared"]
    assert 0 < datastore["free_gb"] <= datastore["capacity_gb"]
    assert all(sentence in cloud.openstack("hypervisor", "show", name, cloud=ADMIN) for sentence in info["warnings"])
    assert all(sentence in cloud.logged() for sentence in info["warnings"])

    flawed.kill()
    gone = _await("the host's going down", lambda: (row := _service(cloud))["State"] == "down" and row)
    assert gone["Disabled Reason"]
    assert gone["Disabled Reason"] in cloud.ask("hypervisor", "show", name, cloud=ADMIN)["cpu_info"]["warnings"]

    flawed.restart()
    back = _await("the host's coming back", lambda: (row := _service(cloud))["State"] == "up" and row)
    assert back["Disabled Reason"] is None
