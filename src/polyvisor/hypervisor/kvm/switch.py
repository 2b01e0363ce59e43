"""The Open vSwitch of one KVM host: what its integration bridge is like, and which networks it reaches."""

import subprocess
from typing import Any

import msgspec

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.kvm.settings import KvmSettings
from polyvisor.model.host import Reach

_TIMEOUT_SECONDS = 10


class Switch:
    """Asks Open vSwitch's database by ovs-vsctl. Nothing is kept: all of it may change under a running host."""

    def __init__(self, place: str, settings: KvmSettings) -> None:
        self._place = place
        self._bridge = settings.integration_bridge
        self._database = settings.openvswitch_database

    def is_userspace(self) -> bool:
        """Whether the integration bridge forwards in ovs-vswitchd itself, not in the kernel (datapath_type netdev).

        Raises HypervisorError where the host has no such bridge, Unreachable where Open vSwitch does not answer.
        """
        rows = self._ask("--columns=datapath_type", "find", "Bridge", f"name={self._bridge}")
        if not rows:
            raise HypervisorError(
                f"{self._place} has no Open vSwitch bridge {self._bridge}, so its guests can have no network cards; "
                f"start ovn-controller there, or set integration_bridge."
            )
        return bool(rows[0][0] == "netdev")

    def reach(self) -> Reach:
        """Which networks ovn-controller connects guests to (ovn-controller(8), external_ids of Open_vSwitch).

        None where Open vSwitch is not installed, not running or not OVN's.
        """
        try:
            rows = self._ask("--columns=external_ids", "list", "Open_vSwitch")
        except HypervisorError:
            return Reach()
        told = dict(rows[0][0][1]) if rows else {}
        mappings = str(told.get("ovn-bridge-mappings", "")).split(",")
        encapsulations = str(told.get("ovn-encap-type", "")).split(",")
        return Reach(
            overlay="geneve" in encapsulations and bool(told.get("ovn-encap-ip")),
            physical_networks=frozenset(
                name for name, _, bridge in (each.partition(":") for each in mappings) if bridge
            ),
        )

    def _ask(self, *arguments: str) -> list[list[Any]]:
        """The rows of a table, each a list of columns in OVSDB's notation (RFC 7047, 5.1)."""
        where = [f"--db={self._database}"] if self._database else []
        command = ["ovs-vsctl", *where, f"--timeout={_TIMEOUT_SECONDS}", "--format=json", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=2 * _TIMEOUT_SECONDS)
        except FileNotFoundError:
            raise HypervisorError(
                f"{self._place} has no ovs-vsctl, so its guests can have no network cards; install the package "
                f"openvswitch-switch there."
            ) from None
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = str(getattr(error, "stderr", "") or "").strip()
            raise Unreachable(f"Open vSwitch of {self._place} does not answer: {said or 'it hangs'}") from None
        return list(msgspec.json.decode(done.stdout)["data"])
