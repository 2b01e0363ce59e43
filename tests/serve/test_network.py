"""Which backend keeps a process's networks."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from polyvisor.model.errors import Invalid
from polyvisor.network.local_ovn import choice, keeping
from polyvisor.network.local_ovn.keeping import LocalOvn
from polyvisor.network.local_ovn.trouble import Trouble
from polyvisor.network.ovn.backend import OvnBackend
from polyvisor.network.simulated.backend import SimulatedBackend
from polyvisor.serve.configuration import parse
from polyvisor.serve.network import keeper, with_backend
from tests.databases import with_tables

OVN = 'ovn_northbound = "unix:/nowhere/nb"\novn_southbound = "unix:/nowhere/sb"\n'
SIMULATED = '[[hypervisor]]\nname = "sim"\ndriver = "simulated"\n'
KVM = '[[hypervisor]]\nname = "kvm"\ndriver = "kvm"\n'


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ("", "none"),
        (KVM, "none"),
        (SIMULATED, "simulated"),
        (SIMULATED + KVM, "none"),
        (f"[network]\n{OVN}", "ovn"),
        (f"[network]\n{OVN}{SIMULATED}", "ovn"),
        (f'[network]\nbackend = "none"\n{OVN}', "none"),
        (f'[network]\nbackend = "simulated"\n{KVM}', "simulated"),
    ],
)
def test_the_backend_that_fits_is_chosen(text: str, backend: str) -> None:
    assert with_backend(parse(text)).settings.backend == backend


@pytest.mark.parametrize(
    "text", ['[network]\nbackend = "ovn"\n', '[network]\novn_northbound = "unix:/nowhere/nb"\n']
)  # fmt: skip
def test_a_database_that_is_not_named_is_asked_for(text: str) -> None:
    with pytest.raises(Invalid, match="set ovn_northbound and ovn_southbound"):
        with_backend(parse(text))


@pytest.mark.parametrize("text", [f'{KVM}openvswitch_database = "unix:/nowhere/db"\n', SIMULATED, ""])
def test_nothing_is_started_without_a_kvm_host_on_the_machines_switch(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalOvn, "bring_up", lambda _self: pytest.fail("it was started"))
    assert with_backend(parse(text), tmp_path / "ovn").local is None


def test_without_root_there_are_no_networks_and_the_start_message_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "is_root", lambda: False)
    found = with_backend(parse(KVM), tmp_path / "ovn")
    assert (found.settings.backend, found.local) == ("none", None)
    assert found.told.startswith("none, for only root can start OVN")
    assert not (tmp_path / "ovn").exists()
    with pytest.raises(Invalid, match=r"only root can start OVN.*set backend = \"none\""):
        with_backend(parse(f'[network]\nbackend = "ovn"\n{KVM}'), tmp_path / "ovn")


def test_without_the_library_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalOvn, "bring_up", lambda _self: pytest.fail("it was started"))
    monkeypatch.setattr("polyvisor.serve.network.find_spec", lambda _name: None)
    told = with_backend(parse(KVM), tmp_path).told
    assert told == "none, for the Python package ovs is missing; install it with: pip install 'polyvisor[ovn]'"


def test_networks_that_there_were_do_not_go_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_self: LocalOvn) -> None:
        raise Trouble("it cannot")

    monkeypatch.setattr(LocalOvn, "bring_up", cannot)
    assert with_backend(parse(KVM), tmp_path).told == "none, for it cannot"
    choice.write(tmp_path, choice.new(central=False, switch=False, controller=False))
    with pytest.raises(Invalid, match=r'OVN cannot keep the networks: it cannot\. .*set backend = "none"'):
        with_backend(parse(KVM), tmp_path)
    assert with_backend(parse(f'[network]\nbackend = "none"\n{KVM}'), tmp_path).settings.backend == "none"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[network.physical]]\nname = "datacenter-east"\n', "is no name for the bridge of the physical network"),
        ('[[network.physical]]\nname = "e"\nbridge = "a b"\n', "'a b' is no name for the bridge"),
        ('[[hypervisor]]\nname = "k2"\ndriver = "kvm"\nintegration_bridge = "br-x"\n', "several bridges"),
    ],
)
def test_bridges_that_cannot_be_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=sentence):
        with_backend(parse(KVM + text), tmp_path / "ovn")


def test_the_keeper_has_the_backend_that_was_chosen(tmp_path: Path) -> None:
    database = with_tables(f"sqlite:///{tmp_path / 'polyvisor.db'}")

    def made(text: str) -> object:
        found = keeper(with_backend(parse(text)).settings, database, lambda: datetime.now(UTC), lambda: 0.0)
        kind = type(found._backend)
        found._backend.close()
        return kind

    assert made(SIMULATED) is SimulatedBackend
    assert made(f"[network]\n{OVN}") is OvnBackend
    database.close()
