"""The tutorial for a second machine, typed as it stands, on a booted Debian that is both machines."""

import re
from pathlib import Path

import pytest

from testbed.booted import Booted
from testbed.process import wait_for
from tests.deploy.build import ROOT
from tests.deploy.installed import PATIENCE_SECONDS, main_pid, openstack

pytestmark = pytest.mark.xdist_group("package")
TUTORIAL = ROOT / "docs/tutorial/second-machine.md"
BLOCK = re.compile(r"^```(\w+) (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {"server": "/etc/polyvisor/polyvisor.toml", "agent": "/etc/polyvisor/agent.toml"}


def follow(machine: Booted) -> list[str]:
    """Do what the page says, block by block; what each command block printed."""
    printed = []
    for kind, role, text in BLOCK.findall(TUTORIAL.read_text()):
        if kind == "toml":
            machine.path(FILES[role]).write_text(text)
        else:
            printed.append(machine.run("bash", "-euc", text).stdout)
    return printed


def active(machine: Booted, unit: str) -> bool:
    """Whether systemd says so; the unit tells it when it is ready."""
    return machine.run("systemctl", "is-active", unit, check=False).stdout.strip() == "active"


def test_the_tutorial_leads_to_a_server_on_the_second_machines_hosts(machine: Booted, tmp_path: Path) -> None:
    """Under the units' own bounds, and again after both have been killed."""
    machine.run("hostname", "cloud-1")
    machine.path("/etc/hosts").write_text("127.0.0.1 localhost cloud-1\n")
    printed = follow(machine)
    assert len(printed) == 2, "the page has a block for each machine"
    assert active(machine, "polyvisor-server")
    assert active(machine, "polyvisor-agent")
    told = machine.run("systemctl", "show", "--property=StatusText,WatchdogUSec", "polyvisor-server").stdout
    assert "StatusText=serves at https://" in told
    assert "WatchdogUSec=1min" in told

    def hosts_up() -> bool:
        rows = openstack(machine, tmp_path, "hypervisor", "list")
        return sorted(row["State"] for row in rows) == ["up", "up"]

    wait_for(hosts_up, PATIENCE_SECONDS, lambda: "the hosts do not come up")
    services = openstack(machine, tmp_path, "compute", "service", "list")
    assert "polyvisor-agent-active" in {row["Binary"] for row in services}

    killed = {unit: main_pid(machine, unit) for unit in ("polyvisor-agent", "polyvisor-server")}
    for unit in killed:
        machine.run("systemctl", "kill", "--signal=KILL", unit)

    def started_again() -> bool:
        """A unit stays active for a moment after its process was killed, until systemd hears of the death."""
        return all(main_pid(machine, unit) != pid and active(machine, unit) for unit, pid in killed.items())

    wait_for(started_again, PATIENCE_SECONDS, lambda: "they are not started again")
    wait_for(hosts_up, PATIENCE_SECONDS, lambda: "the hosts do not come up again")
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(1024**2))
    openstack(machine, tmp_path, "image", "create", "--disk-format", "raw", "--file", str(image), "small")
    created = openstack(
        machine,
        tmp_path,
        "server",
        "create",
        "--image",
        "small",
        "--flavor",
        "m1.nano",
        "--nic",
        "none",
        "--wait",
        "one",
    )
    assert created["status"] == "ACTIVE"
