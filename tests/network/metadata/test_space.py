"""What a namespace takes, and what is said where it is not there."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from polyvisor.model.metadata import MetadataPort
from polyvisor.network.metadata import space
from polyvisor.network.metadata.space import Trouble
from polyvisor.network.metadata.switch import OpenVSwitch

PORT = MetadataPort(network_id="n", port_id="p", mac_address="fa:16:3e:00:00:01", mtu=1442, addresses=("10.0.0.2/24",))
OUTER = "pmtestspace"


def test_without_privileges_it_is_said_which_are_needed() -> None:
    program = f"from tests.network.metadata.test_space import *\nspace.make(PORT, {OUTER!r}, software_checksums=False)"
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", program],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "start this process as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN" in done.stderr


@pytest.mark.parametrize(
    ("program", "use"), [("ip", lambda: space._ip(["link"])), ("ovs-vsctl", lambda: OpenVSwitch().plugged())]
)
def test_a_program_that_is_missing_is_named(
    program: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Trouble, match=f"There is no {program} here: install"):
        use()


def test_a_switch_that_does_not_answer_is_trouble() -> None:
    with pytest.raises(Trouble, match="Open vSwitch refused"):
        OpenVSwitch(database="unix:/nowhere/db.sock").software_checksums()


def test_what_cannot_be_made_leaves_nothing() -> None:
    wrong = MetadataPort(network_id="n", port_id="p", mac_address="no address", mtu=1442, addresses=())
    with pytest.raises(Trouble, match="ip -batch - refused"):
        space.make(wrong, OUTER, software_checksums=False)
    assert subprocess.run(["ip", "link", "show", OUTER], capture_output=True).returncode != 0


def test_what_an_earlier_one_has_left_by_the_same_name_is_replaced() -> None:
    first = space.make(PORT, OUTER, software_checksums=True)
    second = space.make(PORT, OUTER, software_checksums=False)
    assert len(second.sockets) == 2
    first.close()
    second.close()
    assert subprocess.run(["ip", "link", "show", OUTER], capture_output=True).returncode != 0
