"""keepalived moves the address that clients use, by the deployment's own file, between two machines."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.deploy.pair import Pair

WELL = "VRRP_Script(haproxy) succeeded"


def moves(pair: Pair, fault: Callable[[], None], to: str, why: str) -> None:
    """The address goes to the other machine after a fault."""
    began = time.monotonic()
    fault()
    pair.wait_until_served_by(to)
    print(f"{why}: the address was at {to} after {time.monotonic() - began:.1f} s")


def test_the_address_goes_where_haproxy_works_and_stays_there(tmp_path: Path) -> None:
    with Pair(tmp_path) as pair:
        first, other = pair.wait_for_one()

        well = pair.said(first, WELL)
        moves(pair, lambda: pair.kill_haproxy(first), other, "HAProxy was killed")
        pair.start_haproxy(first)
        pair.wait_for_log(first, WELL, well + 1)
        assert pair.holders() == [other], "it is not given back: that would break connections"

        well = pair.said(other, WELL)
        moves(pair, lambda: pair.lose_servers(other), first, "HAProxy reached no server")
        pair.find_servers(other)
        pair.wait_for_log(other, WELL, well + 1)

        moves(pair, lambda: pair.unplug(first), other, "the machine lost its network")
        pair.plug(first)
        pair.wait_until_served_by(other)
