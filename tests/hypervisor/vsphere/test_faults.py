"""Whatever call is lost on its way there or back, a server comes to be once, and goes without a trace."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.model.power import Power
from testbed.vcenter import TestVcenter

from .conftest import settings_for
from .kit import CLOUD, INJECTIONS, DiskImage, Person, eventually, ignore, spec_of

pytestmark = pytest.mark.xdist_group("vsphere-faults")

CALLS = [
    "RetrievePropertiesEx", "CreateContainerView", "FindAllByUuid", "FindChild", "CreatePropertyCollector", "Login",
    "MakeDirectory", "CreateFolder", "ImportVApp", "POST /nfc", "HttpNfcLeaseComplete", "ReconfigVM_Task",
    "MoveVirtualDisk_Task", "CopyVirtualDisk_Task", "ExtendVirtualDisk_Task", "PUT /folder", "GET /folder",
    "CreateVM_Task", "PowerOnVM_Task", "PowerOffVM_Task", "Destroy_Task", "DeleteDatastoreFile_Task",
    "UnregisterAndDestroy_Task",
]  # fmt: skip


@pytest.fixture(scope="module")
def busy_vcenter() -> Iterator[TestVcenter]:
    with TestVcenter(guests_die_with_me=True) as vcenter:
        yield vcenter


@pytest.fixture
def witness(busy_vcenter: TestVcenter) -> Iterator[Person]:
    session = Session(settings_for(busy_vcenter))
    yield Person(session, busy_vcenter)
    session.close()


@pytest.fixture
def driver(busy_vcenter: TestVcenter, witness: Person, tmp_path: Path) -> Iterator[VsphereDriver]:
    driver = VsphereDriver("vc1", settings_for(busy_vcenter), CLOUD, tmp_path / "state")
    yield driver
    witness.behind("DELETE", INJECTIONS)
    driver.forget_images(driver.hosts()[0].name, frozenset())
    driver.close()


def again(step: Callable[[], object]) -> None:
    """As the operation engine does with a step while the hypervisor is out of reach."""
    for _ in range(20):
        try:
            step()
        except Unreachable:
            continue
        return
    raise AssertionError("out of reach twenty times")


def remains(person: Person) -> list[str]:
    """What is there beside cached images."""
    folders = [f"folder {props['name']}" for _, props in person.all(vim.Folder) if "demo" in props["name"]]
    vms = [f"vm {props['name']}" for _, props in person.all(vim.VirtualMachine)]
    return [path for path in person.files() if "polyvisor-images" not in path] + folders + vms


@pytest.mark.parametrize("how", ["drop-before", "drop-reply"])
@pytest.mark.parametrize("call", CALLS)
def test_a_server_comes_and_goes_though_a_call_is_lost(
    driver: VsphereDriver, witness: Person, tmp_path: Path, call: str, how: str
) -> None:
    image = DiskImage(tmp_path, data_mib=1, size_mib=8)
    spec = spec_of(image=image.ref, config_drive=True)
    again(lambda: driver.hosts())
    host = driver.hosts()[0].name
    if call == "Login":
        witness.end_sessions_but_mine()
    witness.trouble(call, how)
    again(lambda: driver.prepare_image(host, image.ref, image, ignore))
    again(lambda: driver.create(host, "", spec, image, ignore))
    again(lambda: driver.set_power(spec.server_id, Power.ON))
    guests = [guest for guest in driver.guests() if guest.server_id is not None]
    assert [(guest.server_id, guest.power) for guest in guests] == [(spec.server_id, Power.ON)]
    again(lambda: driver.destroy(spec.server_id))
    again(lambda: driver.destroy(spec.server_id))
    assert witness.behind("GET", INJECTIONS) == [], "the trouble was never met"
    assert driver.guests() == []
    eventually(lambda: remains(witness), lambda seen: seen == [])


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("CopyVirtualDisk_Task", "NoDiskSpace"),
        ("CreateVM_Task", "InsufficientResourcesFault"),
        ("CreateVM_Task", "InvalidVmConfig"),
    ],
)
def test_a_refusal_is_told_in_vcenters_words_and_leaves_nothing_after_the_undo(
    driver: VsphereDriver, witness: Person, tmp_path: Path, call: str, fault: str
) -> None:
    image = DiskImage(tmp_path, data_mib=1, size_mib=8)
    spec = spec_of(image=image.ref)
    witness.trouble(call, "task-fault", fault=fault, message="The moon is in the wrong quarter.")
    with pytest.raises(HypervisorError, match=r"could not .*The moon is in the wrong quarter"):
        driver.create(driver.hosts()[0].name, "", spec, image, ignore)
    driver.destroy(spec.server_id)
    assert remains(witness) == []


def test_a_missing_privilege_is_named_as_such(driver: VsphereDriver, witness: Person, tmp_path: Path) -> None:
    host = driver.hosts()[0].name
    witness.trouble("MakeDirectory", "fault", fault="NoPermission")
    with pytest.raises(HypervisorError, match="privilege"):
        driver.create(host, "", spec_of(), DiskImage(tmp_path, data_mib=1, size_mib=8), ignore)


def test_an_esxi_host_that_does_not_answer_is_tried_again_later(driver: VsphereDriver, witness: Person) -> None:
    witness.trouble("RetrievePropertiesEx", "fault", fault="HostNotReachable")
    with pytest.raises(Unreachable):
        driver.hosts()
    assert driver.hosts()
