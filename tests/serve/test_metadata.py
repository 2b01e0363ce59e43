"""The way of a guest's question: from a namespace of its own, by a card, to the process that answers it."""

import http.client
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from polyvisor.model.errors import Invalid
from polyvisor.model.metadata import ADDRESS, ADDRESS_6, MetadataAnswer, MetadataPort
from polyvisor.network.metadata import space
from polyvisor.network.metadata.space import Trouble
from polyvisor.operate.link import LinkDown
from polyvisor.operate.metadata_station import MetadataStation, outer_name
from polyvisor.serve.configuration import parse
from polyvisor.serve.local_metadata import LocalMetadataLink
from polyvisor.serve.metadata import station_maker
from polyvisor.serve.observation import Observation, ObserveSettings
from testbed.netns import Network
from testbed.process import wait_for
from tests.api.metadata import crawl
from tests.api.metadata.estate import Estate, uid
from tests.databases import sqlite_url, with_tables

pytestmark = pytest.mark.xdist_group("metadata-spaces")

PATIENCE_SECONDS = 180.0
PROJECTS = ("red", "blue")


class Cables:
    """A switch that leads each network to one guest alone: the card's other end becomes the guest's own.

    A guest is a namespace of the test bed with the address 10.0.0.5, whose route to the metadata service is the one
    that DHCP tells.
    """

    def __init__(self, guests: dict[str, str], macs: dict[str, str]) -> None:
        """`guests`, `macs`: network → the guest's namespace, and its MAC address."""
        self._guests, self._macs = guests, macs
        self._plugged: dict[str, str] = {}
        self.trouble, self.refused = "", 0

    def plugged(self) -> dict[str, str]:
        return dict(self._plugged)

    def plug(self, outer: str, port: MetadataPort) -> None:
        if self.trouble:
            self.refused += 1
            raise Trouble(self.trouble)
        namespace = self._guests[port.network_id]
        _ip(f"link set {outer} netns {namespace}")
        _ip(
            f"link set {outer} address {self._macs[port.network_id]} name guest0\n"
            "addr add 10.0.0.5/24 dev guest0\nlink set guest0 up\n"
            f"route add {ADDRESS} via {port.addresses[0].partition('/')[0]} dev guest0",
            namespace,
        )
        self._plugged[outer] = port.network_id

    def unplug(self, outer: str) -> None:
        network_id = self._plugged.pop(outer, None)
        if network_id is not None:
            _ip("link del guest0", self._guests[network_id])

    def software_checksums(self) -> bool:
        return True


def _ip(commands: str, namespace: str = "") -> None:
    where = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *where, "-batch", "-"], input=commands, text=True, check=True, capture_output=True)


def within(namespace: str, act: Callable[[], MetadataAnswer]) -> MetadataAnswer:
    """What `act` returns in a guest's namespace."""
    entered = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        return space._within(act, entered)
    finally:
        os.close(entered)


def ask(path: str, method: str = "GET", body: bytes = b"", address: str = ADDRESS) -> MetadataAnswer:
    """A request from where the calling thread is."""
    guest = http.client.HTTPConnection(address, 80, timeout=PATIENCE_SECONDS)
    try:
        guest.request(method, path, body or None)
        response = guest.getresponse()
        return MetadataAnswer(status=response.status, body=response.read())
    finally:
        guest.close()


class Bed:
    """Two projects, a network and a guest of each; both networks have the same subnet."""

    def __init__(self, folder: Path, namespaces: Network) -> None:
        self.database = with_tables(sqlite_url(folder))
        self.estate = Estate(self.database)
        self.estate.host("kvm1", "kvm")
        self.guests, macs = {}, {}
        for number, name in enumerate(PROJECTS):
            id = self.estate.network(f"{name}-net", name)
            self.guests[name], macs[id] = namespaces.namespace(name), f"fa:16:3e:00:00:0{number}"
            self.estate.server(f"{name}-server", name, f"{name}-net", "10.0.0.5", "kvm1", mac=macs[id])
        self.cables = Cables({uid(f"{name}-net"): guest for name, guest in self.guests.items()}, macs)
        self.link = LocalMetadataLink(self.database, ["kvm"])
        self.station = self.new_station()

    def new_station(self) -> MetadataStation:
        """As a process makes one at its start."""
        return MetadataStation(self.link, self.cables, look_seconds=0.05)

    def start(self) -> None:
        """Begin, and return when both networks are served."""
        self.station.start()
        self.until(*PROJECTS)

    def until(self, *names: str) -> None:
        """Wait until these networks are served, and no others."""
        wanted = {uid(f"{name}-net") for name in names}
        wait_for(lambda: self.station.networks == wanted, PATIENCE_SECONDS, lambda: str(self.station.networks))

    def ask(self, name: str, path: str, method: str = "GET", body: bytes = b"") -> MetadataAnswer:
        """What the guest of a project is answered."""
        return within(self.guests[name], lambda: ask(path, method, body))


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Network]:
    with Network(*PROJECTS) as network:
        yield network


@pytest.fixture
def bed(tmp_path: Path, namespaces: Network) -> Iterator[Bed]:
    made = Bed(tmp_path, namespaces)
    yield made
    made.station.stop()
    made.database.close()


def names_of(bed: Bed) -> list[str]:
    """Who each guest is told that it is."""
    return [bed.ask(name, "/latest/meta-data/hostname").body.decode() for name in PROJECTS]


def test_two_projects_with_the_same_subnet_see_only_their_own(bed: Bed) -> None:
    bed.start()
    assert names_of(bed) == ["red-server", "blue-server"]
    for name in PROJECTS:
        found = crawl.openstack(lambda path, name=name: bed.ask(name, path))  # type: ignore[misc]
        assert found["meta_data.json"]["project_id"] == name
    assert bed.ask("red", "/openstack/latest/password", "POST", b"c2VjcmV0").status == 200
    assert bed.ask("red", "/openstack/latest/password").body == b"c2VjcmV0"
    assert bed.ask("blue", "/openstack/latest/password").body == b""


def test_another_address_of_the_subnet_is_told_nothing(bed: Bed) -> None:
    bed.start()
    _ip("addr del 10.0.0.5/24 dev guest0\naddr add 10.0.0.6/24 dev guest0", bed.guests["red"])
    _ip(f"route replace {ADDRESS} via 10.0.0.2 dev guest0", bed.guests["red"])
    assert bed.ask("red", "/openstack/latest/meta_data.json").status == 404
    assert bed.ask("blue", "/openstack/latest/meta_data.json").status == 200


def test_a_guest_without_ipv4_asks_on_its_own_link(bed: Bed) -> None:
    bed.start()

    def told() -> MetadataAnswer:
        return ask("/latest/meta-data/hostname", address=f"{ADDRESS_6}%guest0")

    def is_ready() -> bool:  # the kernel first asks whether anybody else has the address
        try:
            return within(bed.guests["blue"], told).status == 200
        except OSError:
            return False

    wait_for(is_ready, PATIENCE_SECONDS, lambda: "no answer by IPv6")
    assert within(bed.guests["blue"], told).body == b"blue-server"


def test_a_network_is_served_from_its_first_guest_to_its_last(bed: Bed) -> None:
    store = bed.database
    bed.start()
    with store.write() as changing:
        changing.port.bind([uid("port of red-server")], host="", vif_type="unbound", now=bed.estate.now)
    bed.until("blue")
    assert bed.cables.plugged() == {outer_name(uid("blue-net")): uid("blue-net")}
    assert bed.ask("blue", "/latest/meta-data/hostname").body == b"blue-server"
    with store.write() as changing:
        changing.port.bind([uid("port of red-server")], host="kvm1", vif_type="ovs", now=bed.estate.now)
    bed.until("red", "blue")
    assert names_of(bed) == ["red-server", "blue-server"]


def test_nothing_passes_through_a_namespace(bed: Bed) -> None:
    bed.start()
    made = bed.station._spaces[uid("red-net")]
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/meta0/accept_ra"):
        setting = Path("/proc/sys/net", name)
        assert space._within(setting.read_text, made._namespace).strip() == "0"


def test_the_end_leaves_nothing(bed: Bed) -> None:
    bed.start()
    spaces = list(bed.station._spaces.values())
    bed.station.stop()
    assert bed.cables.plugged() == {}
    assert all(each.fileno() == -1 for made in spaces for each in made.sockets)
    with pytest.raises(OSError, match="no interface"):
        socket.if_nametoindex(outer_name(uid("red-net")))


def test_an_address_that_is_added_is_served_without_a_pause(bed: Bed) -> None:
    bed.start()
    before = bed.station._spaces[uid("red-net")]
    made = bed.link.ports()
    ports = tuple(
        msgspec.structs.replace(each, addresses=("10.0.9.2/24",)) if each.network_id == uid("red-net") else each
        for each in made
    )
    bed.station._link = _Ports(ports, bed.link)
    wait_for(lambda: bed.station._made[uid("red-net")].addresses == ("10.0.9.2/24",), PATIENCE_SECONDS, lambda: "")
    assert bed.station._spaces[uid("red-net")] is before
    _ip("addr add 10.0.9.5/24 dev guest0", bed.guests["red"])
    _ip(f"route replace {ADDRESS} via 10.0.9.2 dev guest0 src 10.0.9.5", bed.guests["red"])
    assert bed.ask("red", "/latest/meta-data/hostname").status == 404, "it is the address of no server"


class _Ports:
    """A link with a word of its own on the ports."""

    def __init__(self, ports: tuple[MetadataPort, ...], link: LocalMetadataLink) -> None:
        self.ports = lambda: ports
        self.ask = link.ask


def test_while_no_server_answers_guests_are_told_to_come_again(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    bed.start()

    class Down:
        looks = 0

        def ports(self) -> tuple[MetadataPort, ...]:
            Down.looks += 1
            raise LinkDown("Nobody answers.")

        def ask(self, _asked: object) -> MetadataAnswer:
            raise LinkDown("Nobody answers.")

    bed.station._link = Down()
    wait_for(lambda: Down.looks > 3, PATIENCE_SECONDS, lambda: "it does not look")
    assert bed.ask("red", "/openstack").status == 503
    assert caplog.text.count("Nobody answers.") < Down.looks, "it is said once"
    bed.station._link = bed.link
    wait_for(lambda: bed.ask("red", "/openstack").status == 200, PATIENCE_SECONDS, lambda: "it stays away")


def test_what_cannot_be_plugged_in_is_tried_again_and_said_once(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    bed.cables.trouble = "The switch is away."
    bed.station.start()
    wait_for(lambda: bed.cables.refused >= 6, PATIENCE_SECONDS, lambda: f"tried {bed.cables.refused} times")
    assert bed.station.networks == frozenset()
    assert caplog.text.count("The switch is away.") == 2, "once for each network"
    bed.cables.trouble = ""
    bed.until(*PROJECTS)
    assert names_of(bed) == ["red-server", "blue-server"]


def test_what_is_heard_and_answered_is_counted(bed: Bed) -> None:
    observation = Observation(ObserveSettings(), "polyvisor-agent")
    observation.guests(bed.station)
    bed.start()
    for path in ("/openstack", "/openstack/none", "/openstack"):
        bed.ask("red", path)

    def told(name: str, **labels: str) -> float | None:
        return observation.registry.get_sample_value(name, labels)

    assert told("polyvisor_metadata_networks", state="wanted") == 2
    assert told("polyvisor_metadata_networks", state="heard") == 2
    assert told("polyvisor_metadata_answers_total", status="200") == 2
    assert told("polyvisor_metadata_answers_total", status="404") == 1
    observation.close()


def test_only_a_process_with_a_kvm_host_hears_guests() -> None:
    simulated = parse('[[hypervisor]]\nname = "s"\ndriver = "simulated"\n')
    assert station_maker(simulated.hypervisor) is None
    kvm = parse('[[hypervisor]]\nname = "k"\ndriver = "kvm"\nintegration_bridge = "br-x"\n')
    assert station_maker(kvm.hypervisor) is not None
    with pytest.raises(Invalid, match="integration_bridge"):
        station_maker(parse('[[hypervisor]]\nname = "k"\ndriver = "kvm"\nintegration_bridge = 5\n').hypervisor)
