"""Two agents of one vCenter: whenever the active one is stopped and its place taken, there is one VM or none, and
nothing else; woken up, the old one can write nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.hypervisor.permit import Fenced, permitted
from polyvisor.hypervisor.vsphere.driver import SESSION_NOTE, VsphereDriver
from polyvisor.model.power import Power
from tests.hypervisor.conformance import CLOUD_ID, Source, image_of, no_progress
from tests.hypervisor.conformance import spec_of as server_of

from .bed import PLACE, VsphereBed
from .conftest import Connect, settings_for
from .kit import NO_IMAGES, Person, ignore, spec_of
from .stopped_child import Ended, StoppingAgent

pytestmark = pytest.mark.xdist_group("vsphere_two_agents")
MOST_MOMENTS = 9


@pytest.fixture(scope="module")
def bed() -> Iterator[VsphereBed]:
    """One test vCenter for all."""
    with VsphereBed() as made:
        yield made


class Pair:
    """The active agent, which stops itself, and the one that takes over."""

    def __init__(self, bed: VsphereBed, folder: Path) -> None:
        self.bed, self.folder = bed, folder
        self.active = StoppingAgent(folder, {**bed.recipe, "state_dir": str(folder / "active")}, bed.image_file)
        self.source = Source(bed.image_file)
        self.standby = self.connect("standby")
        self.host = self.standby.hosts()[0].name

    def connect(self, name: str) -> VsphereDriver:
        """An agent with a directory of its own."""
        recipe = {**self.bed.recipe, "state_dir": str(self.folder / name)}
        driver = self.bed.connect(recipe)
        assert isinstance(driver, VsphereDriver)
        return driver

    def take_over(self, notes: dict[str, str]) -> None:
        """As an observer does when the place is gained."""
        self.standby.recall(notes)
        self.standby.end_predecessor()

    def make(self, spec: GuestSpec) -> None:
        """The same steps again."""
        datastore = ""
        if spec.image is not None:
            datastore = self.standby.prepare_image(self.host, spec.image, self.source, no_progress)
        self.standby.create(self.host, datastore, spec, self.source, no_progress)

    def close(self) -> None:
        """End both."""
        self.active.__exit__()
        self.standby.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def pair(bed: VsphereBed, tmp_path: Path) -> Iterator[Pair]:
    """On the one vCenter."""
    made = Pair(bed, tmp_path)
    yield made
    made.close()


def moments_of(pair: Pair, spec: GuestSpec) -> list[int]:
    """Some of the requests that one whole run sends, from the first to the last; how many it takes to wait for
    vCenter's tasks differs a little, so that the last ones may not be reached."""
    assert not pair.active.begin(pair.host, spec)
    whole = pair.active.end()
    assert not whole.error
    pair.standby.destroy(spec.server_id)
    step = max(1, -(-whole.moments // MOST_MOMENTS))
    return [*range(0, whole.moments, step), whole.moments - 1]


def check_refused(ended: Ended, moment: int) -> None:
    """The one that was woken up has said that it may do no more, unless that was its last word anyway: then it may
    have ended well, or have been told that what it asked for is gone."""
    done = ended.moments <= moment + 1 and (not ended.error or ended.error.startswith("Unreachable"))
    assert ended.error.startswith("Fenced") or done, (moment, ended)


def test_one_that_wakes_up_after_the_other_has_finished_changes_nothing(bed: VsphereBed, pair: Pair) -> None:
    image = image_of(bed)
    pair.make(whole := server_of(image))
    pair.standby.destroy(whole.server_id)
    before = bed.traces()
    for moment in moments_of(pair, server_of(image)):
        spec = server_of(image)
        stopped = pair.active.begin(pair.host, spec, stop_at=moment)
        pair.take_over(pair.active.lose())
        pair.make(spec)
        found = bed.traces()
        check_refused(pair.active.wake() if stopped else pair.active.end(), moment)
        assert bed.traces() == found, f"stopped at {moment}"
        guest = pair.standby.look(spec.server_id)
        assert guest is not None, f"stopped at {moment}"
        assert guest.power is Power.OFF
        pair.standby.destroy(spec.server_id)
        assert bed.traces() == before, f"stopped at {moment}"


def test_one_that_wakes_up_after_a_delete_makes_nothing(bed: VsphereBed, pair: Pair) -> None:
    image = image_of(bed)
    pair.make(whole := server_of(image))
    pair.standby.destroy(whole.server_id)
    before = bed.traces()
    for moment in moments_of(pair, server_of(image)):
        spec = server_of(image)
        stopped = pair.active.begin(pair.host, spec, stop_at=moment)
        pair.take_over(pair.active.lose())
        pair.standby.destroy(spec.server_id)
        check_refused(pair.active.wake() if stopped else pair.active.end(), moment)
        assert bed.traces() == before, f"stopped at {moment}"
        assert pair.standby.look(spec.server_id) is None


def test_an_upload_that_was_stopped_is_made_anew_and_leaves_nothing(bed: VsphereBed, pair: Pair) -> None:
    before = bed.traces()
    images = set()
    for moment in moments_of(pair, server_of(image_of(bed))):
        image = image_of(bed)  # it lies nowhere yet
        images.add(image.id)
        spec = server_of(image)
        stopped = pair.active.begin(pair.host, spec, stop_at=moment)
        pair.take_over(pair.active.lose())
        pair.make(spec)
        check_refused(pair.active.wake() if stopped else pair.active.end(), moment)
        assert pair.standby.look(spec.server_id) is not None, f"stopped at {moment}"
        pair.standby.destroy(spec.server_id)
        assert bed.traces() == before, f"stopped at {moment}"
    assert images <= pair.standby.hosts()[0].cached_images


def test_a_server_that_the_old_ones_task_made_after_all_is_not_made_twice(
    vcenter: Any, connect: Connect, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task runs on at vCenter, whatever became of the agent."""
    active, standby = connect(vcenter, state="one"), connect(vcenter, state="two")
    host, spec = active.hosts()[0].name, spec_of()
    held = [True]

    def ensure_held() -> None:
        if not held[0]:
            raise Fenced("lost")

    real = active.session.stub.InvokeMethod

    def losing(mo: Any, info: Any, args: Any, outer: Any = None) -> Any:
        answer = real(mo, info, args, outer)
        if info.wsdlName == "CreateVM_Task":
            held[0] = False
        return answer

    monkeypatch.setattr(active.session.stub, "InvokeMethod", losing)
    with permitted(ensure_held), pytest.raises(Fenced):
        active.create(host, "", spec, NO_IMAGES, ignore)
    standby.recall(active.notes())
    standby.end_predecessor()
    standby.create(host, "", spec, NO_IMAGES, ignore)
    vms = [props for _, props in person.all(vim.VirtualMachine, "config.instanceUuid")]
    assert [props["config.instanceUuid"] for props in vms].count(spec.server_id) == 1
    assert len(vms) == 1
    standby.destroy(spec.server_id)
    assert person.all(vim.VirtualMachine) == []


def test_a_standby_names_clusters_as_the_active_one_did(vcenter: Any, connect: Connect, person: Person) -> None:
    active, standby = connect(vcenter, state="one"), connect(vcenter, state="two")
    assert [each.name for each in active.hosts()] == ["DC0_C0.vc1"]
    cluster = person.named(vim.ClusterComputeResource, "DC0_C0")
    person.do(lambda: cluster.Rename("Renamed"))
    assert [each.name for each in standby.hosts()] == ["Renamed.vc1"], "it cannot know yet"
    standby.recall(active.notes())
    assert [each.name for each in standby.hosts()] == ["DC0_C0.vc1"]
    assert {key: name for key, name in standby.notes().items() if key != SESSION_NOTE} == {
        key: name for key, name in active.notes().items() if key != SESSION_NOTE
    }


def test_the_session_of_the_one_before_is_ended_and_no_other(vcenter: Any, connect: Connect, person: Person) -> None:
    active, standby, other = (connect(vcenter, state=name) for name in ("one", "two", "three"))
    for each in (active, standby, other):
        each.hosts()
    notes = active.notes()
    assert active.session.mark not in ("", standby.session.mark)
    assert str(active.session.stub.cookie) not in str(notes), "a session's key is as good as a password"
    standby.recall(notes)
    standby.end_predecessor()
    logins = [each.session.logins for each in (active, standby, other)]
    for each in (active, standby, other):
        each.hosts()
    assert [each.session.logins for each in (active, standby, other)] == [logins[0] + 1, logins[1], logins[2]]


def test_a_user_who_may_not_end_sessions_takes_over_all_the_same(
    vcenter: Any, connect: Connect, person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    active, standby = connect(vcenter, state="one"), connect(vcenter, state="two")
    active.hosts()
    standby.hosts()
    person.trouble("TerminateSession", "fault", fault="NoPermission")
    standby.recall(active.notes())
    with caplog.at_level("INFO"):
        standby.end_predecessor()
    assert "Sessions.TerminateSession" in caplog.text


def test_the_settings_of_both_may_differ_but_for_their_place(vcenter: Any, tmp_path: Path) -> None:
    driver = VsphereDriver(PLACE, settings_for(vcenter, folder="elsewhere"), CLOUD_ID, tmp_path)
    driver.recall({"i/c1": "Given.vc1"})
    assert driver.notes() == {"i/c1": "Given.vc1"}
    driver.close()
