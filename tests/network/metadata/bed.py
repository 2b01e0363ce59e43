"""A cloud's records, the keeper that puts them into OVN, and a metadata station beside each chassis, each a process."""

import http.client
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from polyvisor.model.ip import default_pools
from polyvisor.model.metadata import ADDRESS
from polyvisor.model.network import Network, SegmentRef
from polyvisor.model.network_settings import PhysicalNetwork
from polyvisor.model.port import Binding, Port, PortWanted
from polyvisor.model.server import ServerPort
from polyvisor.model.subnet import Subnet
from testbed.frames import within
from testbed.ovn import TestOvn
from testbed.ovn_chassis import PHYSICAL_NETWORK, TestChassis
from testbed.ovn_guest import TestGuest
from testbed.process import wait_for
from tests.api.metadata.estate import NOW, Estate, server, uid
from tests.databases import sqlite_url, with_tables
from tests.network.beds import settings

PATIENCE_SECONDS = 180.0
REPOSITORY = Path(__file__).parents[3]


def _capabilities() -> list[str]:
    """What the example for the agent's unit gives it: what the tests pass with is what it needs."""
    text = (REPOSITORY / "deploy/systemd/polyvisor-agent.service.d/metadata.conf.example").read_text()
    [line] = [each for each in text.splitlines() if each.startswith("AmbientCapabilities=")]
    return [name.removeprefix("CAP_").lower() for name in line.partition("=")[2].split()]


def _unprivileged() -> list[str]:
    """The command that runs another as a user who is nobody, with these capabilities and no others."""
    allowed = ",".join(("-all", *(f"+{name}" for name in _capabilities())))
    return [
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
        f"--bounding-set={allowed}", f"--inh-caps={allowed}", f"--ambient-caps={allowed}",
    ]  # fmt: skip


class Process:
    """A process to be killed."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command, self.log = command, log
        self.start()

    def start(self) -> None:
        """Begin, or begin anew."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=REPOSITORY, stdout=log, stderr=log)

    def end(self, how: signal.Signals) -> None:
        """By SIGTERM in order, by SIGKILL in none."""
        self.tell(how)
        self.wait()

    def tell(self, how: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(how)

    def wait(self) -> None:
        """Until it has ended."""
        self._process.wait(PATIENCE_SECONDS)


def station(url: str, chassis: TestChassis, log: Path) -> Process:
    """What hears the guests of a chassis."""
    module = [sys.executable, "-m", "tests.network.metadata.station", url, chassis.name]
    within = ["ip", "netns", "exec", chassis.namespace]
    return Process([*within, *_unprivileged(), *module, f"unix:{chassis.directory}/db.sock"], log)


class Bed:
    """A cloud's records, what keeps them in OVN, and a station beside each chassis."""

    def __init__(self, folder: Path, ovn: TestOvn) -> None:
        self.ovn, self.url = ovn, sqlite_url(folder)
        self.database = with_tables(self.url)
        self.estate = Estate(self.database)
        physical = (PhysicalNetwork(name=PHYSICAL_NETWORK, vlans=("100:199",)),)
        self.settings = msgspec.structs.replace(settings(ovn), backend="ovn", physical=physical)
        command = [sys.executable, "-m", "tests.network.keeper_child", self.url, ovn.northbound, ovn.southbound]
        self.keeper = Process(command, folder / "keeper.log")
        self.stations = {}
        for chassis in ovn.chassis:
            self.estate.host(chassis.name, chassis.name, physical=(PHYSICAL_NETWORK,))
            self.stations[chassis.name] = station(self.url, chassis, folder / f"{chassis.name}.log")

    def network(self, name: str, project_id: str, *, ipv6: bool = False, segments: tuple[SegmentRef, ...] = ()) -> str:
        """With a subnet of IPv4, the same for everybody, perhaps one of IPv6, and its metadata port."""
        common: dict[str, Any] = {"project_id": project_id, "created_at": NOW, "updated_at": NOW}
        subnets: list[dict[str, Any]] = [{"ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1"}]
        if ipv6:
            slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
            subnets.append({"ip_version": 6, "cidr": "2001:db8::/64", "gateway_ip": "2001:db8::1", **slaac})
        with self.database.write() as store:
            wanted = Network(id=uid(name), name=name, mtu=0, **common)
            made = store.network.create(wanted, segments=segments, settings=self.settings)
            for each in subnets:
                pools = default_pools(each["cidr"], each["gateway_ip"])
                id = uid(f"{name} {each['cidr']}")
                store.subnet.create(Subnet(id=id, network_id=made.id, allocation_pools=pools, **each, **common), NOW)
            store.metadata_port.keep(made.id, now=NOW, settings=self.settings)
        return made.id

    def port(self, name: str, project_id: str, network_id: str, host: str, vif_type: str = "ovs") -> Port:
        """A server on a host, and its port."""
        port_id = str(uuid.uuid4())
        made = server(name, project_id, host=host, ports=(ServerPort(port_id=port_id),))
        wanted = PortWanted(
            network_id=network_id, project_id=project_id, device_id=made.id, device_owner="compute:nova",
            binding=Binding(host=host, vif_type=vif_type),
        )  # fmt: skip
        with self.database.write() as store:
            store.server.create([made])
            return store.port.create(wanted, id=port_id, now=NOW, settings=self.settings)

    def guest(self, name: str, project_id: str, network_id: str, chassis: TestChassis) -> tuple[Port, TestGuest]:
        """A server on a chassis, and its guest, which has asked DHCP for an address and a route."""
        port = self.port(name, project_id, network_id, chassis.name)
        guest = chassis.guest(port.id, port.mac_address)
        self.until_up(port.id)
        take_address(guest, port)
        return port, guest

    def gateway(self, port_id: str) -> TestChassis:
        """The chassis that answers for a port whose hypervisor is none."""
        found = ""

        def is_found() -> bool:
            nonlocal found
            shown = self.ovn.sbctl("--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port={port_id}")
            found = self.ovn.sbctl("get", "Chassis", shown.strip(), "name").strip() if shown.strip() else ""
            return bool(found)

        wait_for(is_found, PATIENCE_SECONDS, lambda: f"no chassis answers for {port_id}: {self.keeper.log.read_text()}")
        return next(each for each in self.ovn.chassis if each.name == found.strip('"'))

    def until_up(self, port_id: str) -> None:
        """Wait until OVN passes a port's packets."""

        def is_up() -> bool:
            with self.database.read() as store:
                return store.port.get(port_id).status == "ACTIVE"

        wait_for(is_up, PATIENCE_SECONDS, lambda: f"{port_id} stays down: {self.keeper.log.read_text()}")

    def until_told(self, guest: TestGuest, hostname: str, address: str = ADDRESS) -> None:
        """Wait until the guest is told its name."""
        said = ""

        def is_told() -> bool:
            nonlocal said
            said = ask(guest, address)
            return said == hostname

        def complaint() -> str:
            logs = "".join(each.log.read_text() for each in self.stations.values())
            return f"{guest.namespace} is told {said!r}\n{logs}"

        wait_for(is_told, PATIENCE_SECONDS, complaint)

    def stop(self) -> None:
        """End all."""
        processes = (*self.stations.values(), self.keeper)
        for each in processes:
            each.tell(signal.SIGTERM)
        for each in processes:
            each.wait()
        self.database.close()


def ask(guest: TestGuest, address: str = ADDRESS, source: str = "") -> str:
    """What a guest is told that it is called; "" while nobody answers. `source`: from this address of its card."""

    def get() -> str:
        asking = http.client.HTTPConnection(
            address, 80, timeout=1 if source else 5, source_address=(source, 0) if source else None
        )
        try:
            asking.request("GET", "/latest/meta-data/hostname")
            return asking.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            asking.close()

    return within(guest.namespace, get)


def take_address(guest: TestGuest, port: Port) -> None:
    """As a guest's DHCP client does, with the route to the metadata service."""
    told = guest.dhcp()
    assert told["ip"] in [each.ip_address for each in port.fixed_ips]
    routes = dict(zip(*[iter(told["staticroutes"].split())] * 2, strict=True))
    guest.run("ip", "route", "add", ADDRESS, "via", routes[f"{ADDRESS}/32"], "dev", "eth0")
