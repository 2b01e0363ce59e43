"""Whether KVM works is found by trying."""

from pathlib import Path

import pytest

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.kvm import capabilities, trial, trial_guest
from polyvisor.hypervisor.kvm.capabilities import HostCapabilities
from polyvisor.hypervisor.kvm.connection import Connection
from polyvisor.hypervisor.kvm.settings import KvmSettings, VirtType
from polyvisor.hypervisor.kvm.trial import Trial
from tests.hypervisor.conformance import PATIENCE_SECONDS
from tests.hypervisor.kvm.bed import KvmBed

pytestmark = pytest.mark.xdist_group("kvm-trial")


class Told(Trial):
    """A trial whose guests live as the test says, and are counted."""

    def __init__(self, bed: KvmBed, directory: Path, silent: dict[str, str], **settings: object) -> None:
        self.tried: list[str] = []
        self._silent = silent
        self.connection = Connection("kvm-1", bed.host.uri)
        super().__init__(self.connection, KvmSettings(**settings), directory)  # type: ignore[arg-type]

    def _silence(self, virt_type: str, host: HostCapabilities) -> str | None:
        self.tried.append(virt_type)
        return self._silent.get(virt_type)


@pytest.fixture
def host(bed: KvmBed) -> HostCapabilities:
    link = bed.host.connect()
    found = capabilities.read_host(link)
    link.close()
    return HostCapabilities(**{name: getattr(found, name) for name in found.__struct_fields__} | {
        "virt_types": frozenset({"qemu", "kvm"})})  # fmt: skip


def test_a_trial_guest_lives_where_guests_live(bed: KvmBed, host: HostCapabilities, tmp_path: Path) -> None:
    connection = Connection("kvm-1", bed.host.uri)
    settings = KvmSettings(trial_seconds=PATIENCE_SECONDS)
    assert Trial(connection, settings, tmp_path)._silence("qemu", host) is None
    connection.close()
    assert not list(tmp_path.iterdir())
    assert not bed.host.guests()


def test_a_guest_that_does_not_get_through_its_start_counts_as_silent(
    bed: KvmBed, host: HostCapabilities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trial_guest.disk()
    into_an_interrupt = whole.index(bytes.fromhex("cd20"))
    stuck = whole[:into_an_interrupt] + bytes.fromhex("ebfe") + whole[into_an_interrupt + 2 :]  # it jumps to itself
    monkeypatch.setattr(trial_guest, "disk", lambda: stuck)
    connection = Connection("kvm-1", bed.host.uri)
    silence = Trial(connection, KvmSettings(trial_seconds=3), tmp_path)._silence("qemu", host)
    connection.close()
    assert silence
    assert "no life within 3 s" in silence
    assert not bed.host.guests()


class Patient(Trial):
    """A trial that waits long for a guest that will show life, and not long for one that may hang."""

    def _silence(self, virt_type: str, host: HostCapabilities) -> str | None:
        self._settings = KvmSettings(trial_seconds=8 if virt_type == "kvm" else PATIENCE_SECONDS)
        return super()._silence(virt_type, host)


def test_what_is_found_is_what_a_real_guest_finds(bed: KvmBed, host: HostCapabilities, tmp_path: Path) -> None:
    """Here KVM may work or not: the finding must be certain, and KVM must carry the trial guest where it is chosen."""
    connection = Connection("kvm-1", bed.host.uri)
    finding = Patient(connection, KvmSettings(), tmp_path).find(host)
    assert finding.certain
    if finding.virt_type == "kvm":
        assert Trial(connection, KvmSettings(trial_seconds=PATIENCE_SECONDS), tmp_path)._silence("kvm", host) is None
    assert bool(finding.reason) == (finding.virt_type == "qemu")
    connection.close()


def test_kvm_is_chosen_where_a_guest_lives_under_it(bed: KvmBed, host: HostCapabilities, tmp_path: Path) -> None:
    tried = Told(bed, tmp_path, {})
    assert tried.find(host).virt_type == "kvm"
    assert tried.tried == ["kvm"]
    tried.connection.close()


def test_kvm_is_blamed_only_where_emulation_lives(bed: KvmBed, host: HostCapabilities, tmp_path: Path) -> None:
    tried = Told(bed, tmp_path, {"kvm": "it stayed silent"})
    finding = tried.find(host)
    assert (finding.virt_type, finding.certain) == ("qemu", True)
    assert "it stayed silent" in finding.reason
    tried.connection.close()


def test_a_finding_lasts_until_the_machine_is_booted_again(
    bed: KvmBed, host: HostCapabilities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Told(bed, tmp_path, {"kvm": "silent"})
    second = Told(bed, tmp_path, {})
    assert first.find(host) == first.find(host) == second.find(host)
    assert first.tried == ["kvm", "qemu"]
    assert not second.tried
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("another boot\n")
    monkeypatch.setattr(trial, "_BOOT_ID", boot_id)
    assert second.find(host).virt_type == "kvm"
    assert second.tried == ["kvm"]
    for tried in (first, second):
        tried.connection.close()


def test_where_nothing_lives_it_is_tried_again(bed: KvmBed, host: HostCapabilities, tmp_path: Path) -> None:
    tried = Told(bed, tmp_path, {"kvm": "silent", "qemu": "silent as well"})
    for _ in range(2):
        finding = tried.find(host)
        assert (finding.virt_type, finding.certain) == ("qemu", False)
    assert tried.tried == ["kvm", "qemu"] * 2
    tried.connection.close()


def test_what_the_operator_chose_is_not_tried(bed: KvmBed, host: HostCapabilities, tmp_path: Path) -> None:
    tried = Told(bed, tmp_path, {}, virt_type=VirtType.QEMU)
    assert tried.find(host).virt_type == "qemu"
    assert not tried.tried
    tried.connection.close()


def test_kvm_that_libvirt_does_not_offer_is_refused_by_a_sentence(
    bed: KvmBed, host: HostCapabilities, tmp_path: Path
) -> None:
    without = HostCapabilities(
        **{name: getattr(host, name) for name in host.__struct_fields__} | {"virt_types": frozenset({"qemu"})}
    )
    chosen = Told(bed, tmp_path, {}, virt_type=VirtType.KVM)
    with pytest.raises(HypervisorError, match="auto"):
        chosen.find(without)
    automatic = Told(bed, tmp_path, {})
    assert "firmware" in automatic.find(without).reason
    for tried in (chosen, automatic):
        tried.connection.close()
