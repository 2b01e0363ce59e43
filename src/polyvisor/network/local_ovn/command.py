"""Runs the programs of OVN and Open vSwitch, and says which of their packages are missing."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from polyvisor.network.local_ovn.trouble import Trouble

TIMEOUT_SECONDS = 60
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = {
    "ovsdb-server": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "ovn-northd": "ovn-central",
    "ovn-nbctl": "ovn-central",
    "ovn-controller": "ovn-host",
    "ethtool": "ethtool",
    "ip": "iproute2",
}
"""Programs → the packages that they are in, by the names of Debian and Ubuntu."""


def missing_packages(programs: Iterable[str]) -> list[str]:
    """Packages of the programs that this machine lacks, sorted."""
    return sorted({PACKAGES[each] for each in programs if shutil.which(each, path=PATH) is None})


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """What the program prints. Raises Trouble with its own words."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            # Nothing of ours is in their environment, which holds passwords of hypervisors.
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", **(environment or {})},
        )
    except FileNotFoundError:
        raise Trouble(f"There is no {command[0]} on this machine.") from None
    except subprocess.TimeoutExpired:
        raise Trouble(f"{_name(command)} has not ended within {TIMEOUT_SECONDS} seconds.") from None
    if done.returncode:
        raise Trouble(f"{_name(command)} refused: {_last_line(done.stderr) or f'status {done.returncode}'}")
    return done.stdout


def is_root() -> bool:
    """Whether this process may make network devices and bind to the standard places."""
    return os.geteuid() == 0


def _name(command: tuple[str, ...]) -> str:
    return " ".join(each for each in command[:4] if not each.startswith("-"))


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def log_end(log: Path) -> str:
    """The last line that a daemon logged as an error or a warning; empty where there is none."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-50:]
    except OSError:
        return ""
    told = [line.split("|")[-1] for line in lines if "|ERR|" in line or "|EMER|" in line or "|WARN|" in line]
    return told[-1] if told else ""
