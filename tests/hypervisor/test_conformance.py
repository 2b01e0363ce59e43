"""What every driver does alike, whatever hypervisor it drives (`conformance.py` says how a driver joins)."""

import base64
import functools
import hashlib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from polyvisor.hypervisor.driver import Driver, GuestSpec, HypervisorError, Unreachable
from polyvisor.model.host import HostReport
from polyvisor.model.image import ImageRef
from polyvisor.model.power import Power
from tests.hypervisor.conformance import (
    BEDS,
    PATIENCE_SECONDS,
    PUBLIC_KEY,
    Bed,
    Source,
    bed_class,
    image_of,
    nic_of,
    no_progress,
    spec_of,
    wait_for,
    wait_until,
)
from tests.hypervisor.conformance_child import Child

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(f"conformance-{kind}")) for kind in BEDS]
)
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """One hypervisor of each kind, for all tests of the module."""
    with bed_class(request.param)() as bed:
        yield bed


@pytest.fixture(scope="module")
def image(bed: Bed) -> ImageRef:
    """An image that most tests share."""
    return image_of(bed)


@pytest.fixture
def driver(bed: Bed) -> Iterator[Driver]:
    driver = bed.connect(bed.recipe)
    yield driver
    driver.close()


@pytest.fixture
def host(driver: Driver) -> str:
    return driver.hosts()[0].name


@pytest.fixture
def source(bed: Bed) -> Source:
    return Source(bed.image_file)


@pytest.fixture
def before(bed: Bed, driver: Driver) -> set[str]:
    """What the hypervisor holds before the test; it holds no more afterwards."""
    return bed.traces()


@pytest.fixture
def guest(
    bed: Bed, driver: Driver, host: str, image: ImageRef, source: Source, before: set[str]
) -> Iterator[GuestSpec]:
    """A guest, made and off."""
    spec = spec_of(image)
    make(driver, host, spec, source)
    yield spec
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def make(driver: Driver, host: str, spec: GuestSpec, source: Source) -> None:
    assert spec.image
    datastore = driver.prepare_image(host, spec.image, source, no_progress)
    driver.create(host, datastore, spec, source, no_progress)


def power_of(driver: Driver, spec: GuestSpec) -> Power | None:
    seen = driver.look(spec.server_id)
    return seen.power if seen else None


# What is there


def test_hosts_are_reported_whole(driver: Driver) -> None:
    for host in driver.hosts():
        assert host.name
        assert host.architecture == "x86_64"
        assert host.hypervisor_version > 0
        assert host.capacity.vcpus >= host.largest_vcpus > 0
        assert host.capacity.memory_mib >= host.largest_memory_mib > 0
        assert host.capacity.disk_gib > 0
        assert host.datastores
        for datastore in host.datastores:
            assert 0 <= datastore.free_bytes <= datastore.capacity_bytes
        assert all(trait.isupper() for trait in host.traits)
        assert all(warning.endswith((".", ")")) for warning in host.warnings)


def test_reports_can_be_sent_and_read_back(driver: Driver) -> None:
    """What a driver says crosses a wire: it holds plain values only, no type of a hypervisor's library."""
    hosts = driver.hosts()
    assert msgspec.json.decode(msgspec.json.encode(hosts), type=list[HostReport]) == hosts


def test_a_host_keeps_its_name(bed: Bed, driver: Driver) -> None:
    other = bed.connect(bed.recipe)
    assert [host.name for host in other.hosts()] == [host.name for host in driver.hosts()]
    other.close()


def test_an_unknown_guest_is_not_there(driver: Driver) -> None:
    assert driver.look(str(uuid.uuid4())) is None


def test_a_guest_that_someone_else_made_is_reported_and_left_alone(bed: Bed, driver: Driver) -> None:
    guest_id = bed.plant_foreign()
    try:
        driver.close()
        driver = bed.connect(bed.recipe)
        untouched = bed.foreign_state(guest_id)
        assert [guest for guest in driver.guests() if guest.server_id is None]
        assert guest_id not in {guest.server_id for guest in driver.guests()}
        assert driver.look(guest_id) is None
        for act in (driver.reset, driver.shut_down, driver.restart, lambda it: driver.set_power(it, Power.OFF)):
            with pytest.raises(HypervisorError):
                act(guest_id)
        driver.destroy(guest_id)
        assert bed.foreign_state(guest_id) == untouched
        driver.close()
    finally:
        bed.remove_foreign(guest_id)


# Making and removing


def test_a_guest_is_made_off_and_is_found_by_its_id(driver: Driver, host: str, guest: GuestSpec) -> None:
    seen = driver.look(guest.server_id)
    assert seen
    assert (seen.server_id, seen.name, seen.host, seen.power) == (guest.server_id, guest.name, host, Power.OFF)
    assert [each for each in driver.guests() if each.server_id == guest.server_id] == [seen]


def test_a_guest_that_is_made_twice_is_there_once(
    bed: Bed, driver: Driver, host: str, guest: GuestSpec, source: Source
) -> None:
    once = bed.traces()
    make(driver, host, guest, source)
    assert bed.traces() == once
    assert power_of(driver, guest) is Power.OFF


def test_destroying_leaves_nothing_and_may_be_repeated(
    bed: Bed, driver: Driver, host: str, image: ImageRef, source: Source, before: set[str]
) -> None:
    spec = spec_of(image)
    make(driver, host, spec, source)
    driver.set_power(spec.server_id, Power.ON)
    wait_for(driver, spec.server_id, Power.ON)
    driver.destroy(spec.server_id)
    assert driver.look(spec.server_id) is None
    assert bed.traces() == before
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def test_destroying_what_never_was_is_silent(bed: Bed, driver: Driver, before: set[str]) -> None:
    driver.destroy(str(uuid.uuid4()))
    assert bed.traces() == before


def test_a_guest_without_an_image_or_config_drive_is_made_too(
    bed: Bed, driver: Driver, host: str, before: set[str]
) -> None:
    spec = spec_of(None, config_drive=False, metadata={}, ephemeral_gib=0, swap_mib=0)
    driver.create(host, "", spec, Source(bed.image_file), no_progress)
    assert power_of(driver, spec) is Power.OFF
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def test_a_create_that_is_killed_at_any_moment_is_finished_or_removed(
    bed: Bed, driver: Driver, host: str, image: ImageRef, source: Source, before: set[str]
) -> None:
    driver.prepare_image(host, image, source, no_progress)
    with Child(bed) as child:
        whole = spec_of(image)
        outcome = child.make(host, whole)
        assert not outcome.error
        moments = range(outcome.moments + 1)  # the last one: all was done, and the reply was lost
        step = max(1, -(-len(moments) // bed.most_moments))
        driver.close()
        killed = 0
        for moment in moments[::step]:
            spec = spec_of(image)
            killed += child.make(host, spec, die_at=moment).killed
            driver = bed.connect(bed.recipe)
            make(driver, host, spec, source)
            assert power_of(driver, spec) is Power.OFF, f"killed at {moment}"
            driver.destroy(spec.server_id)
            child.make(host, spec, die_at=moment)
            driver.close()
            driver = bed.connect(bed.recipe)
            driver.destroy(spec.server_id)
            assert driver.look(spec.server_id) is None, f"killed at {moment}"
            driver.destroy(whole.server_id)
            assert bed.traces() == before, f"killed at {moment}"
            driver.close()
    assert killed or not outcome.moments


# Images


def test_an_image_that_many_ask_for_at_once_is_fetched_once(
    bed: Bed, driver: Driver, host: str, source: Source
) -> None:
    image = image_of(bed)
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(driver.prepare_image, host, image, source, no_progress) for _ in range(6)]
        datastores = {each.result(PATIENCE_SECONDS) for each in asked}
    assert len(datastores) == 1
    assert source.fetched == (1 if bed.has_images else 0)
    assert image.id in next(each for each in driver.hosts() if each.name == host).cached_images


def test_an_image_is_forgotten_unless_it_is_kept_or_used(
    bed: Bed, driver: Driver, host: str, source: Source, guest: GuestSpec
) -> None:
    kept, unused = image_of(bed), image_of(bed)
    for each in (kept, unused):
        driver.prepare_image(host, each, source, no_progress)
    gone = driver.forget_images(host, frozenset({kept.id}))
    assert unused.id in gone
    assert kept.id not in gone
    cached = next(each for each in driver.hosts() if each.name == host).cached_images
    assert kept.id in cached
    assert unused.id not in cached
    driver.set_power(guest.server_id, Power.ON)  # whether its image was kept or not, the guest still has its disk
    wait_for(driver, guest.server_id, Power.ON)


# Power

ROUTES = [
    [Power.ON, Power.OFF],
    [Power.ON, Power.PAUSED, Power.ON, Power.PAUSED, Power.OFF],
    [Power.ON, Power.SUSPENDED, Power.ON, Power.SUSPENDED, Power.OFF, Power.ON],
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: "-".join(route))
def test_power_goes_where_it_is_asked_to_and_stays_there(
    bed: Bed, driver: Driver, guest: GuestSpec, route: list[Power]
) -> None:
    if bed.kind in ("vsphere", "esxi") and Power.PAUSED in route:
        with pytest.raises(HypervisorError, match=r"(?i)paus"):  # vSphere has no such state
            driver.set_power(guest.server_id, Power.PAUSED)
        return
    for power in (Power.OFF, *route):
        for _ in range(2):
            driver.set_power(guest.server_id, power)
            wait_for(driver, guest.server_id, power)


@pytest.mark.parametrize("power", [Power.PAUSED, Power.SUSPENDED])
def test_a_guest_that_is_off_is_neither_paused_nor_suspended(driver: Driver, guest: GuestSpec, power: Power) -> None:
    with pytest.raises(HypervisorError):
        driver.set_power(guest.server_id, power)
    assert power_of(driver, guest) is Power.OFF


@pytest.mark.parametrize("first", [Power.OFF, Power.ON, Power.SUSPENDED])
def test_a_reset_ends_in_a_guest_that_runs(driver: Driver, guest: GuestSpec, first: Power) -> None:
    if first is not Power.OFF:
        driver.set_power(guest.server_id, Power.ON)
        wait_for(driver, guest.server_id, Power.ON)
        driver.set_power(guest.server_id, first)
        wait_for(driver, guest.server_id, first)
    for _ in range(2):
        driver.reset(guest.server_id)
        wait_for(driver, guest.server_id, Power.ON)


def test_what_is_asked_of_no_guest_is_refused_in_a_sentence(bed: Bed, driver: Driver) -> None:
    nobody = str(uuid.uuid4())
    acts = (driver.reset, driver.shut_down, driver.restart, driver.console_log, driver.console)
    more = (lambda it: driver.set_power(it, Power.ON), lambda it: driver.attach_nic(it, nic_of(bed)))
    for act in (*acts, *more):
        with pytest.raises(HypervisorError, match=r".{15,}") as refused:
            act(nobody)
        assert not isinstance(refused.value, Unreachable)


# Network cards


def test_a_guest_is_made_with_its_cards_in_order_and_keeps_them(
    bed: Bed, driver: Driver, host: str, image: ImageRef, source: Source, before: set[str]
) -> None:
    nics = (nic_of(bed, 1), nic_of(bed, 2))
    spec = spec_of(image, nics=nics)
    make(driver, host, spec, source)
    macs = [nic.mac_address for nic in nics]
    assert bed.plugged(driver, spec.server_id) == macs
    driver.set_power(spec.server_id, Power.ON)
    wait_for(driver, spec.server_id, Power.ON)
    assert bed.plugged(driver, spec.server_id) == macs
    driver.reset(spec.server_id)
    wait_for(driver, spec.server_id, Power.ON)
    assert bed.plugged(driver, spec.server_id) == macs
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def test_a_card_is_plugged_and_unplugged_where_the_guest_is_off(bed: Bed, driver: Driver, guest: GuestSpec) -> None:
    nic = nic_of(bed)
    for _ in range(2):
        driver.attach_nic(guest.server_id, nic)
        assert bed.plugged(driver, guest.server_id) == [nic.mac_address]
    driver.set_power(guest.server_id, Power.ON)
    wait_for(driver, guest.server_id, Power.ON)
    assert bed.plugged(driver, guest.server_id) == [nic.mac_address]
    driver.set_power(guest.server_id, Power.OFF)
    wait_for(driver, guest.server_id, Power.OFF)
    for _ in range(2):
        assert driver.detach_nic(guest.server_id, nic.port_id)
        assert bed.plugged(driver, guest.server_id) == []


def test_a_card_is_plugged_and_unplugged_while_the_guest_runs(
    bed: Bed, driver: Driver, host: str, image: ImageRef, source: Source, before: set[str]
) -> None:
    first, second = nic_of(bed, 1), nic_of(bed, 2)
    spec = spec_of(image, nics=(first,))
    make(driver, host, spec, source)
    driver.set_power(spec.server_id, Power.ON)
    # Its operating system has a say in what is taken out of it.
    wait_until(lambda: _boots(driver, spec) == 1, lambda: f"no CLOUD-READY: {driver.console_log(spec.server_id)!r}")
    for _ in range(2):
        driver.attach_nic(spec.server_id, second)
        assert bed.plugged(driver, spec.server_id) == [first.mac_address, second.mac_address]
    for nic, left in ((first, [second.mac_address]), (second, [])):
        unplugged = functools.partial(driver.detach_nic, spec.server_id, nic.port_id)
        wait_until(unplugged, lambda: "the guest keeps its card")
        assert driver.detach_nic(spec.server_id, nic.port_id)
        assert bed.plugged(driver, spec.server_id) == left
    driver.attach_nic(spec.server_id, second)
    driver.reset(spec.server_id)
    wait_for(driver, spec.server_id, Power.ON)
    assert bed.plugged(driver, spec.server_id) == [second.mac_address]
    driver.destroy(spec.server_id)
    assert bed.traces() == before


# What others do


def test_a_change_behind_our_back_is_told(bed: Bed, driver: Driver, guest: GuestSpec) -> None:
    told: list[str] = []
    driver.watch(told.append)
    for power in (Power.ON, Power.OFF):
        told.clear()
        bed.change_power(driver, guest.server_id, power)
        wait_until(lambda: guest.server_id in told, lambda: "nobody told of the guest whose power changed")
        wait_for(driver, guest.server_id, power)
    told.clear()
    bed.vanish(driver, guest.server_id)
    wait_until(lambda: guest.server_id in told, lambda: "nobody told of the guest that vanished")
    assert driver.look(guest.server_id) is None


def test_a_hypervisor_that_went_and_came_back_is_used_again(
    bed: Bed, driver: Driver, host: str, guest: GuestSpec
) -> None:
    told: list[str] = []
    driver.watch(told.append)
    driver.set_power(guest.server_id, Power.ON)
    wait_for(driver, guest.server_id, Power.ON)
    bed.kill(driver)
    try:
        for ask in (
            driver.hosts,
            driver.guests,
            lambda: driver.look(guest.server_id),
            lambda: driver.reset(guest.server_id),
        ):
            with pytest.raises(Unreachable):
                ask()
    finally:
        bed.revive(driver)
    wait_until(lambda: _answers(driver), lambda: "the driver did not find the hypervisor that came back")
    assert host in {each.name for each in driver.hosts()}
    wait_for(driver, guest.server_id, Power.ON)  # one that just came up may still be finding its guests again
    told.clear()
    bed.change_power(driver, guest.server_id, Power.OFF)
    wait_until(lambda: guest.server_id in told, lambda: "after the hypervisor came back, nothing was told any more")


def _answers(driver: Driver) -> bool:
    try:
        return bool(driver.hosts())
    except Unreachable:
        return False


# What a user looks at


def test_a_console_answers_while_the_guest_runs(bed: Bed, driver: Driver, guest: GuestSpec) -> None:
    with pytest.raises(HypervisorError):
        driver.console(guest.server_id)
    driver.set_power(guest.server_id, Power.ON)
    wait_for(driver, guest.server_id, Power.ON)
    if not bed.has_console:
        with pytest.raises(HypervisorError, match="console"):
            driver.console(guest.server_id)
        return
    console = driver.console(guest.server_id)
    assert console.kind in ("vnc", "webmks")
    assert console.host
    assert 0 < console.port < 65536


def test_a_guest_boots_with_its_name_and_key_and_obeys(
    bed: Bed, driver: Driver, host: str, image: ImageRef, source: Source, before: set[str]
) -> None:
    script = base64.b64encode(b"#!/bin/sh\necho user-data-ran\n").decode()
    spec = spec_of(image, user_data=script, ephemeral_gib=0, swap_mib=0)
    make(driver, host, spec, source)
    driver.set_power(spec.server_id, Power.ON)
    wait_until(
        lambda: _boots(driver, spec) == 1, lambda: f"no CLOUD-READY: {driver.console_log(spec.server_id)[-2000:]!r}"
    )
    log = driver.console_log(spec.server_id).decode(errors="replace")
    line = next(line for line in log.splitlines() if "CLOUD-READY" in line)
    assert f"host={spec.hostname} " in line
    assert f"uuid={spec.server_id} " in line
    assert "keys=1" in line
    if bed.boots:
        assert f"key={_fingerprint(PUBLIC_KEY)} " in line
        assert "user-data-ran" in log
        driver.restart(spec.server_id)
        wait_until(
            lambda: _boots(driver, spec) == 2, lambda: f"no restart: {driver.console_log(spec.server_id)[-2000:]!r}"
        )
    driver.shut_down(spec.server_id)
    wait_for(driver, spec.server_id, Power.OFF)
    driver.destroy(spec.server_id)
    assert bed.traces() == before


def _boots(driver: Driver, spec: GuestSpec) -> int:
    return driver.console_log(spec.server_id).count(b"CLOUD-READY")


def _fingerprint(public_key: str) -> str:
    digest = hashlib.md5(base64.b64decode(public_key.split()[1])).hexdigest()
    return ":".join(digest[start : start + 2] for start in range(0, 32, 2))
