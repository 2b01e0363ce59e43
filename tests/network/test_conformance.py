"""What every network backend does. A new one joins by a bed in `beds.py` and its name in `conftest.py`."""

import msgspec
import pytest

from polyvisor.network.backend import Records
from polyvisor.network.standing import has_something
from tests.network.beds import Bed, until, until_up
from tests.network.records import (
    FLAT,
    address_group,
    bound,
    gateway_port,
    group,
    metadata_port,
    network,
    port,
    records,
    router,
    router_port,
    rule,
    subject,
    subnet,
)


def cloud(*more: object) -> Records:
    """Some of everything."""
    way_out = gateway_port("gateway", "outside", 1, ("s-outside", "172.24.0.10"))
    return records(
        network("n1"),
        subnet("s1", "n1", "10.0.0.0/24", "10.0.0.1"),
        metadata_port("m1", "n1", 2, ("s1", "10.0.0.2")),
        port("p1", "n1", 3, ("s1", "10.0.0.3"), security_group_ids=("g1",)),
        network("outside", FLAT, external=True),
        subnet("s-outside", "outside", "172.24.0.0/24", "172.24.0.1"),
        group("g1", rule("r1", "g1", remote_address_group_id="a1"), rule("r2", "g1", remote_group_id="g1")),
        address_group("a1", "10.0.0.0/8"),
        router("router", way_out),
        *more,
        interfaces={"router": (way_out, router_port("inside", "n1", 4, ("s1", "10.0.0.1")))},
    )


def real(wanted: Records) -> set[object]:
    """What there is to be something for."""
    return {each for each in wanted.subjects() if has_something(wanted, each) is not None}


def test_everything_at_once_is_one_transaction_and_a_second_time_none(bed: Bed) -> None:
    wanted = cloud()
    made = bed.backend.bring_about(wanted, wanted.subjects())
    assert (made.transactions, made.failed) == (1, {})
    assert bed.backend.known() == real(wanted)
    again = bed.backend.bring_about(wanted, wanted.subjects())
    assert (again.changes, again.transactions) == (0, 0)


def test_one_subject_is_brought_about_and_the_others_stay(bed: Bed) -> None:
    before = cloud()
    bed.backend.bring_about(before, before.subjects())
    after = cloud(port("p2", "n1", 5, ("s1", "10.0.0.5")))
    made = bed.backend.bring_about(after, [subject("port", "p2")])
    assert made.transactions == 1
    assert bed.backend.known() == real(after)


def test_what_was_removed_goes(bed: Bed) -> None:
    wanted = cloud()
    bed.backend.bring_about(wanted, wanted.subjects())
    without = msgspec.structs.replace(wanted, ports={id: each for id, each in wanted.ports.items() if id != "p1"})
    bed.backend.bring_about(without, [subject("port", "p1")])
    assert bed.backend.known() == real(without)
    bed.backend.bring_about(Records(), wanted.subjects())
    assert bed.backend.known() == frozenset()


def test_removing_what_never_was_changes_nothing(bed: Bed) -> None:
    wanted = cloud()
    bed.backend.bring_about(wanted, wanted.subjects())
    gone = [subject(kind, "never") for kind in ("network", "port", "router", "security_group", "address_group")]
    outcome = bed.backend.bring_about(wanted, gone)
    assert (outcome.changes, outcome.failed) == (0, {})


@pytest.mark.parametrize("lost", ["port:p1", "router:router", "security_group:g1", "address_group:a1", "network:n1"])
def test_a_sweep_restores_what_was_lost(bed: Bed, lost: str) -> None:
    wanted = cloud()
    bed.backend.sweep(wanted)
    missing = subject(*lost.split(":"))
    bed.lose(missing)
    until(bed.backend, lambda: missing not in bed.backend.known())
    swept = bed.backend.sweep(wanted)
    assert swept.changes > 0
    assert bed.backend.known() == real(wanted)
    assert bed.backend.sweep(wanted).changes == 0


def test_a_sweep_removes_what_is_recorded_no_longer(bed: Bed) -> None:
    bed.backend.sweep(cloud(port("p2", "n1", 5), network("n2"), group("g2")))
    bed.backend.sweep(cloud())
    assert bed.backend.known() == real(cloud())


def test_an_emptied_backend_is_a_new_term_and_is_filled_again(bed: Bed) -> None:
    wanted = cloud()
    term = bed.backend.term()
    bed.backend.sweep(wanted)
    bed.lose_everything()
    until(bed.backend, lambda: bed.backend.term() not in (0, term))
    assert bed.backend.known() == frozenset()
    assert bed.backend.sweep(wanted).failed == {}
    assert bed.backend.known() == real(wanted)


def test_a_port_is_up_while_it_is_plugged_and_its_routers_ports_are(bed: Bed) -> None:
    wanted = cloud(port("p2", "n1", 5, ("s1", "10.0.0.5"), binding=bound(bed.host)))
    bed.backend.sweep(wanted)
    bed.plug("p2")
    until_up(bed.backend, {"p2": True, "inside": True, "gateway": True})
    bed.unplug("p2")
    unbound = cloud(port("p2", "n1", 5, ("s1", "10.0.0.5")))
    bed.backend.bring_about(unbound, [subject("port", "p2")])
    until_up(bed.backend, {"p2": False})


def test_a_host_with_a_switch_of_the_backend_s_is_in_reach(bed: Bed) -> None:
    assert bed.backend.unreached([bed.host]) == {}
    assert bed.backend.unreached([]) == {}


def test_a_port_that_is_brought_about_again_says_again_whether_it_is_up(bed: Bed) -> None:
    """Whoever binds a port calls it down: the backend's last word from before must not be the last."""
    wanted = cloud(port("p2", "n1", 5, ("s1", "10.0.0.5"), binding=bound(bed.host)))
    bed.backend.sweep(wanted)
    bed.plug("p2")
    until_up(bed.backend, {"p2": True})
    bed.backend.bring_about(wanted, [subject("port", "p2")])
    assert bed.backend.statuses()["p2"] is True


def test_a_wait_ends_when_somebody_calls(bed: Bed) -> None:
    bed.backend.wake()
    bed.backend.wait(3600)
