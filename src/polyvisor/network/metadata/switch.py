"""Where the outer ends of the namespaces' cards are plugged in: Open vSwitch, by ovs-vsctl."""

import subprocess
from typing import Any, Protocol

import msgspec

from polyvisor.model.metadata import MetadataPort
from polyvisor.network.metadata.space import Trouble

_TIMEOUT_SECONDS = 10
MARK = "polyvisor-metadata"
"""In external_ids of an interface of ours: the network's id."""


class Switch(Protocol):
    """A switch that ports can be plugged into. Every method may be called again; all raise Trouble."""

    def plugged(self) -> dict[str, str]:
        """Cards that this class has plugged in → the networks that they are of."""

    def plug(self, outer: str, port: MetadataPort) -> None:
        """Plug a card in as the network's metadata port."""

    def unplug(self, outer: str) -> None:
        """Take it out; without it, all is well."""

    def software_checksums(self) -> bool:
        """Whether cards must fill in checksums themselves."""


class OpenVSwitch:
    """The integration bridge of this host, whose ports OVN recognises by their iface-id."""

    def __init__(self, bridge: str = "br-int", database: str = "") -> None:
        """`database`: where Open vSwitch's database answers, as ovs-vsctl's --db takes it; empty = its default."""
        self._bridge, self._database = bridge, database

    def plugged(self) -> dict[str, str]:
        """Names of our interfaces, whether their cards are there or not."""
        rows = self._rows("--columns=name,external_ids", "list", "Interface")
        told = ((row[0], dict(row[1][1])) for row in rows)
        return {str(name): str(ids[MARK]) for name, ids in told if MARK in ids}

    def plug(self, outer: str, port: MetadataPort) -> None:
        """Add the port."""
        self._run(
            "--may-exist", "add-port", self._bridge, outer,
            "--", "set", "Interface", outer, f"external_ids:iface-id={port.port_id}",
            f"external_ids:{MARK}={port.network_id}",
        )  # fmt: skip

    def unplug(self, outer: str) -> None:
        """Remove the port."""
        self._run("--if-exists", "del-port", self._bridge, outer)

    def software_checksums(self) -> bool:
        """A bridge that forwards in user space (datapath_type netdev) fills in none."""
        rows = self._rows("--columns=datapath_type", "find", "Bridge", f"name={self._bridge}")
        if not rows:
            raise Trouble(f"There is no Open vSwitch bridge {self._bridge} here: start ovn-controller.")
        return bool(rows[0][0] == "netdev")

    def _rows(self, *arguments: str) -> list[list[Any]]:
        """A table in OVSDB's notation (RFC 7047, 5.1)."""
        return list(msgspec.json.decode(self._run("--format=json", *arguments))["data"])

    def _run(self, *arguments: str) -> str:
        where = [f"--db={self._database}"] if self._database else []
        command = ["ovs-vsctl", *where, f"--timeout={_TIMEOUT_SECONDS}", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=2 * _TIMEOUT_SECONDS)
        except FileNotFoundError:
            raise Trouble("There is no ovs-vsctl here: install the package openvswitch-switch.") from None
        except subprocess.TimeoutExpired:
            raise Trouble("Open vSwitch does not answer.") from None
        if done.returncode:
            raise Trouble(f"Open vSwitch refused: {done.stderr.strip()}")
        return done.stdout
