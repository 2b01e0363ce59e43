"""The cloud that runs on a booted machine, and the unmodified client on that machine's network."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from testbed.booted import Booted

OPENSTACK = str(Path(sys.executable).parent / "openstack")
PATIENCE_SECONDS = 180
SIMULATED = '[[hypervisor]]\nname = "simulated"\ndriver = "simulated"\nhosts = 2\n'


def configure(machine: Booted, text: str) -> None:
    """Write polyvisor.toml."""
    machine.path("/etc/polyvisor/polyvisor.toml").write_text(text)


def wait_until_up(machine: Booted, unit: str = "polyvisor-up", times: int = 1) -> None:
    """Until the unit has said so often that it is up. Raises AssertionError with what it wrote instead."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (text := machine.journal(unit)).count("Polyvisor is up at ") < times:
        assert time.monotonic() < deadline, text
        time.sleep(0.2)


def main_pid(machine: Booted, unit: str = "polyvisor-up") -> int:
    """The process of a unit, by its number within."""
    return int(machine.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout)


def openstack(machine: Booted, folder: Path, *words: str, cloud: str = "polyvisor-admin") -> Any:
    """What the client of this environment answers from the machine's network; it must succeed."""
    clouds = folder / "clouds.yaml"
    text = machine.path("/var/lib/polyvisor/clouds.yaml").read_text()
    # The client runs outside: it reads the authority's certificate by the way that leads in.
    clouds.write_text(text.replace('"/var/lib/polyvisor/tls', f'"{machine.path("/var/lib/polyvisor/tls")}'))
    done = subprocess.run(
        machine.network_command(OPENSTACK, "--os-cloud", cloud, *words, "-f", "json"),
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(clouds)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, f"openstack {' '.join(words)}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)
