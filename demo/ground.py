"""Where the demonstration's networks are: namespaces with no Open vSwitch in them yet, and an outside to come from."""

import contextlib
import json
from pathlib import Path

from testbed.bare_machine import BareMachine

SHARED, OUTSIDE = "physnet1", "outside"
"""Its physical networks: that of VLANs for both hypervisors, and the one that floating IPs are of."""
SWITCH = "DC0_DVS0"
"""The distributed switch of the test vCenter."""
SWITCH_BRIDGES = f"{SWITCH}=br-{SHARED}"
"""Which bridge stands for it."""
SUBNET, GATEWAY = "203.0.113.0/24", "203.0.113.1"
"""The site's addresses outside, and this machine's own there."""

NETWORK = f"""\
[network]
tenant_network_types = ["vlan"]

[[network.physical]]
name = "{SHARED}"
vlans = ["100:199"]

[[network.physical]]
name = "{OUTSIDE}"
flat = true
"""
"""Of the cloud's configuration: its beginning."""
SWITCHES = f"""\
switches = {{ {SHARED} = "{SWITCH}" }}
"""
"""Of the cloud's configuration: what the vCenter's table ends with."""
SSH = """\
User root
IdentityFile {key}
IdentitiesOnly yes
ConnectTimeout 5
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
"""


class Ground:
    """Where networks are: how guests are reached from outside, and what networks leave behind."""

    def __init__(self, machine: BareMachine, folder: Path) -> None:
        """`folder`: the demonstration's own; the cloud's data are in its `cloud`, and the key is its `ada`."""
        self.machine = machine
        self.switch_database = f"unix:{machine.openvswitch}/db.sock"
        self._northbound = f"unix:{folder}/cloud/ovn/nb.sock"
        self._ssh_settings = folder / "ssh"
        self._ssh_settings.write_text(SSH.format(key=folder / "ada"))

    @property
    def inside(self) -> str:
        """How a command line begins that is typed within."""
        return f"ip netns exec {self.machine.namespace}"

    def ssh(self, address: str) -> str:
        """How a command line begins that runs in a guest: by the key alone."""
        return f"{self.inside} ssh -F {self._ssh_settings} {address}"

    @property
    def show_rows(self) -> str:
        """The command that shows what there is in OVN."""
        return f"ovn-nbctl --db={self._northbound} show"

    def everything(self) -> set[str]:
        """Rows of OVN, ports of Open vSwitch, cards and namespaces: "KIND: NAME" for each thing."""
        return self._rows() | self._ports() | self._cards() | self._namespaces()

    def _rows(self) -> set[str]:
        """Of all tables of the northbound database."""
        dumped = self.machine.run("ovsdb-client", "--format=json", "dump", self._northbound, "OVN_Northbound")
        tables = [json.loads(line) for line in dumped.splitlines() if line]
        return {_row(table["caption"].split()[0], table["headings"], row) for table in tables for row in table["data"]}

    def _ports(self) -> set[str]:
        bridges = self.machine.run("ovs-vsctl", "list-br").split()
        found = {each: self.machine.run("ovs-vsctl", "list-ports", each).split() for each in bridges}
        return {f"port of Open vSwitch: {port} of {bridge}" for bridge, ports in found.items() for port in ports}

    def _cards(self) -> set[str]:
        """Guests' own, and the outer ends of those in the namespaces of the metadata service."""
        return {f"network card: {line.split()[0]}" for line in self.machine.run("ip", "-brief", "link").splitlines()}

    def _namespaces(self) -> set[str]:
        """Those of the metadata service: they have no names, and live while the cloud's process holds them open."""
        pids = self.machine.run("ip", "netns", "pids", self.machine.namespace).split()
        opened = {link for pid in pids for link in _opened(Path(f"/proc/{pid}/fd")) if link.startswith("net:")}
        return {f"namespace of the metadata service: {link}" for link in opened}


def _opened(folder: Path) -> list[str]:
    """What a process has open, as links say it; nothing of one that has ended."""
    found = []
    with contextlib.suppress(OSError):
        for each in folder.iterdir():
            with contextlib.suppress(OSError):
                found.append(str(each.readlink()))
    return found


def _row(table: str, headings: list[str], row: list[object]) -> str:
    columns = dict(zip(headings, row, strict=True))
    return f"row in OVN: {table} {columns['_uuid']} {columns.get('name', '')}".rstrip()
