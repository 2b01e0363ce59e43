"""Guests talk while one part after the other is killed in the middle of a change: what flowed flows on, and what is
recorded is in OVN afterwards."""

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from polyvisor.network.ovn.backend import OvnBackend
from testbed.ovn import TestOvn
from testbed.stream import Stream
from tests.api.metadata.estate import NOW
from tests.network.beds import until
from tests.network.metadata.bed import Bed

pytestmark = [pytest.mark.xdist_group("ovn"), pytest.mark.timeout(600)]

A_HANDFUL = 5
"""Datagrams of fifty a second that may be lost to a crash, and to a machine that has other things to do."""
BEFORE_CLEAR_MILLISECONDS = 1000
"""As `polyvisor up` has it."""
FORWARDS = ("ovsdb-server", "ovs-vswitchd")
"""Of Open vSwitch, which on this datapath passes each packet itself, and none without its database. What it passed
flows again once it is back. (A kernel's datapath would go on with the flows that it has.)"""


@pytest.fixture
def bed(tmp_path: Path, ovn: TestOvn) -> Iterator[Bed]:
    for chassis in ovn.chassis:
        chassis.vsctl("set", "open", ".", f"external_ids:ovn-ofctrl-wait-before-clear={BEFORE_CLEAR_MILLISECONDS}")
    made = Bed(tmp_path, ovn)
    yield made
    made.stop()
    for chassis in ovn.chassis:
        chassis.vsctl("remove", "open", ".", "external_ids", "ovn-ofctrl-wait-before-clear")


def test_what_flows_flows_on_whatever_is_killed_and_all_becomes_as_recorded(bed: Bed) -> None:
    ovn, (here, there) = bed.ovn, bed.ovn.chassis
    network = bed.network("net", "red")
    _, one = bed.guest("one", "red", network, here)
    two_port, two = bed.guest("two", "red", network, there)
    bed.until_told(one, "one")
    lost: dict[str, int] = {}
    with Stream(one, two, two_port.fixed_ips[0].ip_address) as stream:

        def breaks(name: str, kill: Callable[[], object], start: Callable[[], object]) -> None:
            first, begun = stream.mark(), time.monotonic()
            before = bed.port(f"before {name}", "red", network, here.name)
            kill()
            during = bed.port(f"during {name}", "red", network, here.name)
            with bed.database.write() as store:
                store.port.delete([before.id], NOW)
            if name in FORWARDS:
                stream.until_it_stops()
            else:
                stream.until_it_flows()
            start()
            here.plug(during.id)
            bed.until_up(during.id)
            lost[name] = stream.lost(first)
            print(f"{name}: {lost[name]} lost of {stream.mark() - first}; {time.monotonic() - begun:.1f} s")

        for name in ("northd", "nb", "sb"):
            breaks(name, partial(ovn.kill, name), ovn.start)
        for name in ("ovn-controller", *FORWARDS):
            breaks(name, partial(here.kill, name), partial(here.start_again, name))
        heard = bed.stations[here.name]
        breaks("metadata", partial(heard.end, signal.SIGKILL), heard.start)
        breaks("control plane", partial(bed.keeper.end, signal.SIGKILL), bed.keeper.start)
    bed.until_told(one, "one")
    assert {name: count for name, count in lost.items() if count > A_HANDFUL and name not in FORWARDS} == {}
    assert_as_recorded(bed)


def assert_as_recorded(bed: Bed) -> None:
    """Nothing in OVN is otherwise than the records say, by a keeper's own comparison."""
    bed.keeper.end(signal.SIGTERM)
    backend = OvnBackend(bed.settings)
    try:
        until(backend, lambda: bool(backend.term()) and len(backend.chassis) == len(bed.ovn.chassis))
        with bed.database.read() as store:
            assert store.network_intent.due(10) == []
            outcome = backend.sweep(store.network_snapshot.whole())
        assert (outcome.changes, outcome.failed) == (0, {})
    finally:
        backend.close()
        bed.keeper.start()
