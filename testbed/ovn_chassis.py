"""A host of OVN's: Open vSwitch and ovn-controller in a namespace, on the userspace datapath."""

import subprocess
from typing import TYPE_CHECKING

from testbed.ovn_guest import TestGuest, run

if TYPE_CHECKING:
    from testbed.ovn import TestOvn

PHYSICAL_NETWORK = "physnet1"
TAP, PHYSICAL = "tap", "phy"
"""How the devices of guests, and those that lead to the physical network, begin."""


class TestChassis:
    """A host of OVN's: Open vSwitch and ovn-controller in a namespace, with a bridge to `physnet1`."""

    __test__ = False

    def __init__(self, ovn: "TestOvn", name: str) -> None:
        self.name = name
        self.namespace = ovn.underlay.namespace(name)
        self.address = ovn.underlay.address(name)
        self.directory = ovn.directory / name
        self._ovn = ovn
        self.guests: list[TestGuest] = []
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Bring it up; return when OVN knows it."""
        self.directory.mkdir()
        database = self.directory / "conf.db"
        run(["ovsdb-tool", "create", str(database), "/usr/share/openvswitch/vswitch.ovsschema"])
        self._spawn("ovsdb-server")
        self.vsctl("--no-wait", "init")
        settings = {
            "system-id": self.name,
            "hostname": self.name,
            "ovn-remote": self._ovn.southbound,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": self.address,
            "ovn-bridge-datapath-type": "netdev",
            "ovn-bridge-mappings": f"{PHYSICAL_NETWORK}:br-ex",
            # Every chassis answers those who ask for a router: by the router's own address each would be taken for it.
            "ovn-chassis-mac-mappings": f"{PHYSICAL_NETWORK}:{self._own_mac}",
            "ovn-monitor-all": "true",
        }
        self.vsctl(
            "--no-wait", "set", "open", ".", *(f'external_ids:{key}="{value}"' for key, value in settings.items())
        )
        self._spawn("ovs-vswitchd")
        self._bridges()
        self._spawn("ovn-controller")
        self._ovn.wait_for(
            lambda: self.name in self._ovn.sbctl("--bare", "--columns=name", "list", "Chassis"),
            f"{self.name}-ovn-controller",
        )

    def kill(self, program: str) -> None:
        """End "ovsdb-server", "ovs-vswitchd" or "ovn-controller" here as a crash does (SIGKILL)."""
        self._daemons[program].kill()
        self._daemons[program].wait()

    def start_again(self, program: str) -> None:
        """Start what was killed; return when it answers."""
        self._spawn(program)
        if program == "ovs-vswitchd":
            # Which returns when the switch has done what its database says; its bridges may be new devices then.
            self.vsctl("set", "open", ".", f"external_ids:started={self._daemons[program].pid}")
            self._address_underlay()

    def vsctl(self, *arguments: str) -> str:
        """What `ovs-vsctl` prints. Raises ChildProcessError."""
        return run(["ovs-vsctl", f"--db=unix:{self.directory}/db.sock", "--timeout=60", *arguments])

    def plug(self, port_id: str) -> None:
        """Give a port an interface that nobody is behind: OVN calls it up."""
        name = _interface(port_id)
        self.vsctl(
            *("--may-exist", "add-port", "br-int", name),
            *("--", "set", "interface", name, "type=internal", f"external_ids:iface-id={port_id}"),
        )

    def unplug(self, port_id: str) -> None:
        """Take its interface away."""
        self.vsctl("--if-exists", "del-port", "br-int", _interface(port_id))

    def clear(self) -> None:
        """Take every interface away, with the guests behind them."""
        for bridge in ("br-int", "br-ex"):
            for name in self.vsctl("list-ports", bridge).split():
                if name.startswith((TAP, PHYSICAL)):
                    self.vsctl("del-port", bridge, name)
                    # With its other end, and at once; interfaces of a namespace that is removed go some time later.
                    command = ["ip", "-n", self.namespace, "link", "del", name]
                    subprocess.run(command, check=False, capture_output=True)
        for guest in self.guests:
            guest.remove()
        self.guests.clear()

    def guest(self, port_id: str, mac_address: str) -> TestGuest:
        """A namespace whose `eth0` is plugged into a port; it has no address yet."""
        guest = TestGuest(f"{self.namespace}-{_interface(port_id)}")
        self.guests.append(guest)
        name = _interface(port_id)
        run(["ip", "netns", "add", guest.namespace])
        pair = ["type", "veth", "peer", "name", "eth0", "address", mac_address, "netns", guest.namespace]
        run(["ip", "link", "add", name, "netns", self.namespace, *pair])
        run(["ip", "-n", self.namespace, "link", "set", name, "up"])
        guest.run("ip", "link", "set", "lo", "up")
        guest.run("ip", "link", "set", "eth0", "up")
        # The userspace datapath passes packets on without the checksums that a card would have added.
        guest.run("ethtool", "-K", "eth0", "tx", "off")
        self.vsctl("add-port", "br-int", name, "--", "set", "interface", name, f"external_ids:iface-id={port_id}")
        return guest

    def wire(self, name: str, outside: TestGuest) -> None:
        """Connect the bridge of the physical network to a switch in a namespace."""
        pair = ["type", "veth", "peer", "name", name, "netns", outside.namespace]
        run(["ip", "link", "add", name, "netns", self.namespace, *pair])
        run(["ip", "-n", self.namespace, "link", "set", name, "up"])
        outside.run("ip", "link", "set", name, "master", "switch", "up")
        outside.run("ethtool", "-K", name, "tx", "off")
        self.vsctl("--may-exist", "add-port", "br-ex", name)

    def _bridges(self) -> None:
        mac = self._card_mac()
        netdev = "datapath_type=netdev"
        self.vsctl(
            *("add-br", "br-int", "--", "set", "bridge", "br-int", netdev, "fail_mode=secure"),
            *("--", "add-br", "br-ex", "--", "set", "bridge", "br-ex", netdev),
            # Tunnels of the userspace datapath leave by a bridge of the same datapath, which has their address.
            *("--", "add-br", "br-phy", "--", "set", "bridge", "br-phy", netdev, f"other_config:hwaddr={mac}"),
            *("--", "add-port", "br-phy", "eth0"),
        )
        self._address_underlay()

    def _address_underlay(self) -> None:
        within = ["ip", "netns", "exec", self.namespace]
        run([*within, "ip", "addr", "flush", "dev", "eth0"])
        run([*within, "ip", "addr", "replace", f"{self.address}/24", "dev", "br-phy"])
        for device in ("br-phy", "br-ex"):
            run([*within, "ip", "link", "set", device, "up"])
        for device in ("eth0", "br-phy"):
            run([*within, "ethtool", "-K", device, "tx", "off"])

    def _card_mac(self) -> str:
        return run(["ip", "netns", "exec", self.namespace, "cat", "/sys/class/net/eth0/address"]).strip()

    @property
    def _own_mac(self) -> str:
        """One that nobody else has, made of the card on the underlay."""
        first, _, rest = self._card_mac().partition(":")
        return f"{int(first, 16) ^ 0x40:02x}:{rest}"

    def _spawn(self, program: str) -> None:
        socket = self.directory / "db.sock"
        database = (f"--remote=punix:{socket}", str(self.directory / "conf.db"))
        arguments = database if program == "ovsdb-server" else (f"unix:{socket}",)
        # ovn-controller finds that place by OVN_RUNDIR alone.
        control = [] if program == "ovn-controller" else [f"--unixctl={self.directory}/{program}.ctl"]
        command = ["ip", "netns", "exec", self.namespace, program, *arguments, *control]
        if program == "ovsdb-server":
            socket.unlink(missing_ok=True)
        self._daemons[program] = self._ovn.spawn(f"{self.name}-{program}", command, self.directory)
        self._ovn.wait_for(socket.exists, f"{self.name}-{program}")


def _interface(port_id: str) -> str:
    """A device's name has 15 characters at most."""
    return f"{TAP}{port_id[:11]}"
