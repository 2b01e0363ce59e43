"""A guest's network without a guest: a namespace with one card, which asks for its address as a guest does."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

# What busybox's client calls at each turn of an exchange: it takes the address, and keeps what the answer said.
DHCP_SCRIPT = """\
#!/bin/sh
[ "$1" = bound ] || exit 0
env >"$TOLD"
ip addr add "$ip/$mask" dev "$interface"
for each in $router; do ip route add default via "$each"; done
"""


class TestGuest:
    """What is plugged into a port: see `TestChassis.guest`, which makes it."""

    __test__ = False

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._within = ("ip", "netns", "exec", namespace)

    def run(self, *command: str) -> str:
        """What a command within prints. Raises ChildProcessError, with its words, where it fails."""
        return run([*self._within, *command])

    def dhcp(self) -> dict[str, str]:
        """Ask for an address and take it; what the answer said, by busybox's names: ip, mask, router, dns, mtu …"""
        with tempfile.TemporaryDirectory(prefix="pv-dhcp-", dir="/tmp") as folder:
            script, told = Path(folder, "script"), Path(folder, "told")
            script.write_text(DHCP_SCRIPT)
            script.chmod(0o755)
            options = ["-O", "staticroutes", "-O", "mtu", "-O", "domain"]
            asking = ["busybox", "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "30", "-T", "1", *options]
            self.run("env", f"TOLD={told}", *asking, "-s", str(script))
            return dict(line.split("=", 1) for line in told.read_text().splitlines() if "=" in line)

    def pings(self, address: str) -> bool:
        """Whether an address answers one packet within a second."""
        command = [*self._within, "busybox", "ping", "-c", "1", "-W", "1", address]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def fetches(self, url: str) -> bool:
        """Whether an HTTP server answers within two seconds."""
        # busybox's wget ends in a crash where its own patience does.
        command = [*self._within, "timeout", "2", "busybox", "wget", "-q", "-O", "/dev/null", url]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def remove(self) -> None:
        """The card goes with its namespace."""
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)


def run(command: Sequence[str]) -> str:
    """What a command prints. Raises ChildProcessError, with its words, where it fails."""
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise ChildProcessError(f"{' '.join(command)}: status {done.returncode}: {done.stderr} {done.stdout}".strip())
    return done.stdout
