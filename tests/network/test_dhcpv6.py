"""An IPv6 address by DHCPv6 (RFC 8415), asked for by a client of the tests' own: busybox has none in Debian."""

import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest

from polyvisor.network.ovn.backend import OvnBackend
from testbed.frames import within
from testbed.ovn import TestOvn
from testbed.ovn_guest import TestGuest
from testbed.process import wait_for
from tests.network.beds import connected, until
from tests.network.records import bound, group, mac, network, port, records, router, router_port, rule, subnet

pytestmark = pytest.mark.xdist_group("ovn")

PATIENCE_SECONDS = 180.0
SOLICIT, ADVERTISE, REQUEST, REPLY, INFORMATION_REQUEST = 1, 2, 3, 7, 11
CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, ELAPSED, DNS_SERVERS = 1, 2, 3, 5, 8, 23
CLIENT = (546, 547)
SERVERS = "ff02::1:2"
ADDRESS, RESOLVER = "fd00:5::11", "fd00:5::53"
Options = dict[int, bytes]


@pytest.fixture
def backend(ovn: TestOvn) -> Iterator[OvnBackend]:
    made = connected(ovn)
    yield made
    made.close()


def plugged(ovn: TestOvn, backend: OvnBackend, mode: str, address: str) -> TestGuest:
    """A guest on a subnet of this mode, which a router advertises."""
    backend.sweep(
        records(
            network("n1"),
            subnet(
                "s6",
                "n1",
                "fd00:5::/64",
                "fd00:5::1",
                ipv6_ra_mode=mode,
                ipv6_address_mode=mode,
                dns_nameservers=(RESOLVER,),
            ),
            group("open", rule("out6", "open", "egress", ethertype="IPv6")),
            port("one", "n1", 1, ("s6", address), binding=bound("hv1"), security_group_ids=("open",)),
            router("router"),
            interfaces={"router": (router_port("way-in", "n1", 9, ("s6", "fd00:5::1")),)},
        )
    )
    guest = ovn.chassis[0].guest("one", mac(1))
    up: dict[str, bool] = {}

    def is_up() -> bool:
        up.update(backend.statuses())
        return up.get("one", False)

    until(backend, is_up)
    ovn.settle()
    return guest


def option(code: int, content: bytes) -> bytes:
    return struct.pack("!HH", code, len(content)) + content


def options_of(content: bytes) -> Options:
    """Options by their code (21.1 of the RFC)."""
    found = {}
    while content:
        code, length = struct.unpack("!HH", content[:4])
        found[code] = content[4 : 4 + length]
        content = content[4 + length :]
    return found


def answered(guest: TestGuest, kind: int, wanted: int, *asked: bytes) -> Options:
    """Ask all servers on the link, again until one answers; the options of its answer, which is of the kind wanted."""
    told: list[Options] = []

    def ask() -> bool:
        # The card's own address may not be there yet: then nothing can be sent.
        try:
            answer = within(guest.namespace, lambda: exchange(kind, asked))
        except OSError:
            return False
        assert answer[0] == wanted, f"the answer is a message of kind {answer[0]}"
        told.append(options_of(answer[4:]))
        return True

    wait_for(ask, PATIENCE_SECONDS, lambda: "nobody answers by DHCPv6")
    return told[0]


def exchange(kind: int, asked: tuple[bytes, ...]) -> bytes:
    """One message and its answer, within two seconds. Raises OSError where none comes."""
    transaction = kind.to_bytes(3, "big")
    own_id = option(CLIENT_ID, struct.pack("!HH", 3, 1) + bytes.fromhex(mac(1).replace(":", "")))
    card = socket.if_nametoindex("eth0")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.bind(("::", CLIENT[0], 0, card))
        message = bytes([kind]) + transaction + own_id + option(ELAPSED, bytes(2)) + b"".join(asked)
        asking.sendto(message, (SERVERS, CLIENT[1], 0, card))
        answer = asking.recv(65536)
    assert answer[1:4] == transaction
    return answer


def given(options: Options) -> str:
    """The address of the answer's one lease."""
    return str(ipaddress.IPv6Address(options_of(options[IA_NA][12:])[IA_ADDRESS][:16]))


def resolver(options: Options) -> str:
    return str(ipaddress.IPv6Address(options[DNS_SERVERS]))


def test_a_guest_is_given_its_ports_address_and_resolver(ovn: TestOvn, backend: OvnBackend) -> None:
    guest = plugged(ovn, backend, "dhcpv6-stateful", ADDRESS)
    lease = option(IA_NA, struct.pack("!III", 1, 0, 0))
    offered = answered(guest, SOLICIT, ADVERTISE, lease)
    assert (given(offered), resolver(offered)) == (ADDRESS, RESOLVER)
    taken = answered(guest, REQUEST, REPLY, option(SERVER_ID, offered[SERVER_ID]), option(IA_NA, offered[IA_NA]))
    assert given(taken) == ADDRESS


def test_who_makes_its_own_address_is_told_the_rest(ovn: TestOvn, backend: OvnBackend) -> None:
    guest = plugged(ovn, backend, "dhcpv6-stateless", "fd00:5::f816:3eff:fe00:1")
    wait_for(
        lambda: "fd00:5::f816:3eff:fe00:1" in guest.run("ip", "-6", "addr"),
        PATIENCE_SECONDS,
        lambda: "no address came of advertisements",
    )
    told = answered(guest, INFORMATION_REQUEST, REPLY)
    assert resolver(told) == RESOLVER
    assert IA_NA not in told
