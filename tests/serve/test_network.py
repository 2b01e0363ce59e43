"""Which backend keeps a process's networks."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from polyvisor.model.errors import Invalid
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
    assert with_backend(parse(text)).backend == backend


@pytest.mark.parametrize(
    "text", ['[network]\nbackend = "ovn"\n', '[network]\novn_northbound = "unix:/nowhere/nb"\n']
)  # fmt: skip
def test_a_database_that_is_not_named_is_asked_for(text: str) -> None:
    with pytest.raises(Invalid, match="set ovn_northbound and ovn_southbound"):
        with_backend(parse(text))


def test_the_keeper_has_the_backend_that_was_chosen(tmp_path: Path) -> None:
    database = with_tables(f"sqlite:///{tmp_path / 'polyvisor.db'}")

    def made(text: str) -> object:
        found = keeper(with_backend(parse(text)), database, lambda: datetime.now(UTC), lambda: 0.0)
        if found is None:
            return None
        kind = type(found._backend)
        found._backend.close()
        return kind

    assert made("") is None
    assert made(SIMULATED) is SimulatedBackend
    assert made(f"[network]\n{OVN}") is OvnBackend
    database.close()
