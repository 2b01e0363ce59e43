"""Makes this machine's Open vSwitch a chassis of an OVN: its settings, its bridges, and the datapath they have."""

import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from polyvisor.model.record import Record
from polyvisor.network.local_ovn.command import TIMEOUT_SECONDS, run
from polyvisor.network.local_ovn.trouble import Trouble

OWNER = "polyvisor_owner"
"""In external_ids: whose chassis this machine is, where it became one by us."""
KERNEL, USERSPACE = "system", "netdev"
_TRIAL = "pv-trial"
_BEFORE_CLEAR_MILLISECONDS = 1000
"""How long an ovn-controller that starts finds out what flows there are to be before it clears those that are: with
many of them guests would lose packets after a crash."""
_OURS = (
    "ovn-remote",
    "ovn-encap-type",
    "ovn-encap-ip",
    "ovn-bridge-datapath-type",
    "ovn-bridge",
    "ovn-ofctrl-wait-before-clear",
)


class Wanted(Record):
    """What this machine's switch is to be like."""

    integration_bridge: str = "br-int"
    physical: Mapping[str, str] = {}
    """Physical networks → their bridges."""


class Chassis:
    """Open vSwitch by ovs-vsctl. All of it may be done again; every method raises Trouble."""

    def __init__(self, database: Path, wanted: Wanted) -> None:
        self._database, self._wanted = database, wanted

    def initialise(self) -> None:
        """Put the one row into a new database, without which nothing else goes; ovs-vswitchd need not run."""
        self._vsctl("--no-wait", "init")

    def owner(self) -> tuple[str, str]:
        """Which OVN this machine is a chassis of, and our mark: each "" where there is none."""
        ids = self._ids()
        return ids.get("ovn-remote", ""), ids.get(OWNER, "")

    def join(self, southbound: str, owner: str) -> None:
        """Become a chassis. What an operator has set before is kept."""
        ids = self._ids()
        datapath = self._possible_datapath()
        ours = {
            "ovn-remote": southbound,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": _address(),
            "ovn-bridge-datapath-type": datapath,
            "ovn-bridge": self._wanted.integration_bridge,
            "ovn-ofctrl-wait-before-clear": str(_BEFORE_CLEAR_MILLISECONDS),
        }
        if ids.get(OWNER) != owner:
            ours = {key: value for key, value in ours.items() if key not in ids}
        mappings = _mappings({**self._wanted.physical, **_parsed(ids.get("ovn-bridge-mappings", ""))})
        once = {} if ids.get("system-id") else {"system-id": socket.gethostname()}
        told = {**ours, **once, OWNER: owner, **({"ovn-bridge-mappings": mappings} if mappings else {})}
        secure = ["--", "set", "Bridge", self._wanted.integration_bridge, "fail_mode=secure"]
        self._add(self._wanted.integration_bridge, datapath, *secure)
        for bridge in self._wanted.physical.values():
            self._add(bridge, datapath)
        self._vsctl("set", "Open_vSwitch", ".", *(f"external_ids:{key}={json.dumps(told[key])}" for key in told))
        self.raise_bridges()

    def leave(self, owner: str) -> None:
        """Be no chassis any longer, where it became one by us."""
        if self._ids().get(OWNER) == owner:
            self._vsctl("--no-wait", "remove", "Open_vSwitch", ".", "external_ids", *_OURS, OWNER)

    def raise_bridges(self) -> None:
        """Let the machine itself speak on the bridges of its physical networks: after each start of ovs-vswitchd."""
        userspace = self.datapath() == USERSPACE
        for bridge in self._wanted.physical.values():
            run("ip", "link", "set", bridge, "up")
            if userspace:
                # A switch in user space passes on packets without the checksums that a card would have filled in.
                with contextlib.suppress(Trouble):
                    run("ethtool", "-K", bridge, "tx", "off")

    def datapath(self) -> str:
        """ "system" where the kernel forwards, "netdev" where ovs-vswitchd does, "" without an integration bridge."""
        told = self._vsctl("--columns=datapath_type", "find", "Bridge", f"name={self._wanted.integration_bridge}")
        rows = list(msgspec.json.decode(told)["data"])
        return (str(rows[0][0]) or KERNEL) if rows else ""

    def _possible_datapath(self) -> str:
        """That of the integration bridge, or where there is none yet: the kernel's where a bridge comes up on it."""
        known = self.datapath()
        if known:
            return known
        try:
            self._vsctl("--may-exist", "add-br", _TRIAL, "--", "set", "Bridge", _TRIAL, f"datapath_type={KERNEL}")
            return KERNEL if self._has_datapath(_TRIAL) else USERSPACE
        finally:
            self._vsctl("--if-exists", "del-br", _TRIAL)

    def _add(self, bridge: str, datapath: str, *more: str) -> None:
        if bridge in self._vsctl("list-br").split():
            return
        self._vsctl("add-br", bridge, "--", "set", "Bridge", bridge, f"datapath_type={datapath}", *more)

        if not self._has_datapath(bridge):
            self._vsctl("del-br", bridge)
            raise Trouble(f"Open vSwitch can make no bridge {bridge} here: it may lack CAP_NET_ADMIN or /dev/net/tun")

    def _has_datapath(self, bridge: str) -> bool:
        """A bridge whose datapath could not be made has no id."""
        return self._vsctl("get", "Bridge", bridge, "datapath_id").strip() != "[]"

    def _ids(self) -> dict[str, str]:
        rows = msgspec.json.decode(self._vsctl("--no-wait", "--columns=external_ids", "list", "Open_vSwitch"))["data"]
        return dict(rows[0][0][1]) if rows else {}

    def _vsctl(self, *arguments: str) -> str:
        where = [f"--db=unix:{self._database}", f"--timeout={TIMEOUT_SECONDS // 2}"]
        return run("ovs-vsctl", *where, "--format=json", *arguments)


def _parsed(mappings: str) -> dict[str, str]:
    """ovn-bridge-mappings: physical networks → bridges."""
    pairs = (each.strip().partition(":") for each in mappings.split(","))
    return {name: bridge for name, _, bridge in pairs if bridge}


def _mappings(pairs: Mapping[str, str]) -> str:
    return ",".join(f"{name}:{bridge}" for name, bridge in sorted(pairs.items()))


def _address() -> str:
    """The address that this machine sends from. Tunnels would end there; a chassis must name one, alone or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.1"
        return str(asked.getsockname()[0])
