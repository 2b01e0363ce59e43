"""What must hold of every decision, whatever the cloud and the request."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from polyvisor.model.errors import NoHost
from polyvisor.model.host import HypervisorType
from polyvisor.model.place import AggregateView, HostView, PlaceRequest, Plan
from polyvisor.schedule.place import place
from polyvisor.schedule.settings import ScheduleSettings, Strategy
from polyvisor.schedule.table import HostTable
from tests.schedule.cloud import (
    aggregate_lists,
    answer,
    clouds,
    easy_requests,
    host_view,
    image,
    request,
    requests,
    room,
)
from tests.schedule.plain_rules import fits

SETTINGS = st.builds(
    ScheduleSettings,
    strategy=st.sampled_from(Strategy),
    memory_weight=st.sampled_from([0.0, 1.0]),
    servers_weight=st.sampled_from([0.0, 2.0]),
    subset_size=st.sampled_from([1, 2, 50]),
)


@given(clouds(), aggregate_lists, requests, SETTINGS, st.integers())
def test_a_plan_names_a_host_that_fits_and_a_refusal_names_every_host_once(
    views: list[HostView], aggregates: list[AggregateView], request: PlaceRequest, settings: ScheduleSettings, seed: int
) -> None:
    fitting = {view.host.name: view for view in views if fits(view, aggregates, request)}
    table = HostTable(views, aggregates)
    if not fitting:
        with pytest.raises(NoHost) as refusal:
            place(table, request, settings, seed=seed)
        assert list(refusal.value.refusals) == sorted(view.host.name for view in views)
        assert all(refusal.value.refusals.values())
        assert refusal.value.sentence.endswith(".")
        return
    plan = place(table, request, settings, seed=seed)
    host = fitting[plan.host].host
    assert (plan.place, plan.generation) == (host.place, host.generation)
    assert plan.limits is not None
    assert tuple(structs.astuple(plan.limits)) == room(fitting[plan.host], aggregates)


@given(clouds(), aggregate_lists, st.lists(easy_requests, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_claims_one_after_another_never_exceed_what_a_host_allows(
    views: list[HostView], aggregates: list[AggregateView], asked: list[PlaceRequest], chance: Random
) -> None:
    table = HostTable(views, aggregates)
    held = {
        view.host.name: [view.host.used_vcpus, view.host.used_memory_mib, view.host.used_disk_gib] for view in views
    }
    limits = {view.host.name: room(view, aggregates) for view in views}
    for one in asked:
        try:
            plan = place(table, one, seed=chance.getrandbits(64))
        except NoHost:
            continue
        amounts = (one.vcpus, one.memory_mib, one.disk_gib)
        table.claim(plan.host, *amounts)
        held[plan.host] = [had + more for had, more in zip(held[plan.host], amounts, strict=True)]
        for had, more, limit in zip(held[plan.host], amounts, limits[plan.host], strict=True):
            assert more == 0 or had <= limit


@given(clouds(least=1), aggregate_lists, easy_requests | requests)
def test_a_larger_empty_host_more_makes_no_request_impossible(
    views: list[HostView], aggregates: list[AggregateView], request: PlaceRequest
) -> None:
    table = HostTable(views, aggregates)
    before = answer(table, request)
    table.update(host_view("huge", vcpus=1024, memory_mib=1 << 22, disk_gib=1 << 20))
    after = answer(table, request)
    assert isinstance(after, Plan) or not isinstance(before, Plan)
    if not isinstance(after, Plan):
        assert after[1].keys() == {*(view.host.name for view in views), "huge"}


@given(clouds(), aggregate_lists, requests, st.integers(0, 1000), SETTINGS, st.randoms(use_true_random=False))
def test_the_order_in_which_hosts_come_does_not_matter(
    views: list[HostView],
    aggregates: list[AggregateView],
    request: PlaceRequest,
    seed: int,
    settings: ScheduleSettings,
    chance: Random,
) -> None:
    shuffled = chance.sample(views, len(views))
    other = HostTable(shuffled[:1], chance.sample(aggregates, len(aggregates)))
    other.update(host_view("passing"))
    other.remove("passing")
    for view in shuffled:
        other.update(view)
    first = answer(HostTable(views, aggregates), request, settings, seed=seed)
    assert first == answer(other, request, settings, seed=seed)


def test_a_storm_of_equal_requests_spreads_over_equal_hosts_without_any_claim() -> None:
    table = HostTable([host_view(f"kvm-{number}") for number in range(10)])
    chosen = [place(table, request(server_id=f"server-{number}")).host for number in range(400)]
    counts = [chosen.count(f"kvm-{number}") for number in range(10)]
    assert min(counts) > 15
    assert max(counts) < 80


def test_spreading_fills_hosts_evenly_and_packing_fills_one_first() -> None:
    def counts(strategy: Strategy) -> list[int]:
        table = HostTable([host_view(f"kvm-{number}", memory_mib=8192) for number in range(4)])
        for number in range(8):
            plan = place(table, request(server_id=f"server-{number}"), ScheduleSettings(strategy=strategy))
            table.claim(plan.host, 1, 1024, 5)
        return sorted(table.servers[: table.size].tolist())

    assert counts(Strategy.SPREAD) == [2, 2, 2, 2]
    assert counts(Strategy.PACK) == [0, 0, 0, 8]


def test_among_equal_hosts_the_one_that_has_the_image_is_taken() -> None:
    near = host_view("near", cached_images=frozenset({"image-1"}))
    table = HostTable([host_view(f"kvm-{number}") for number in range(20)] + [near])
    assert place(table, request(image=image())).host == "near"
    assert {place(table, request(server_id=str(seed), image=image(id="other"))).host for seed in range(40)} != {"near"}


def test_among_equal_hosts_the_one_that_needs_no_conversion_is_taken() -> None:
    clusters = [host_view(f"cluster-{number}", hypervisor_type=HypervisorType.VMWARE) for number in range(20)]
    table = HostTable([*clusters, host_view("kvm")])
    assert place(table, request(image=image())).host == "kvm"
    table.claim("kvm", 4, 4096, 5)
    assert place(table, request(image=image())).host != "kvm"


def test_a_forced_host_is_asked_nothing_but_whether_it_exists() -> None:
    table = HostTable([host_view("full", enabled=False, used_memory_mib=32768), host_view("empty")])
    plan = place(table, request(host="full", force=True))
    assert (plan.host, plan.limits) == ("full", None)
    with pytest.raises(NoHost, match="There is no host named gone"):
        place(table, request(host="gone", force=True))
    with pytest.raises(NoHost, match="full, which was asked for, failed when tried"):
        place(table, request(host="full", force=True, avoid=frozenset({"full"})))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"extra_specs": {"trait:HW_X": "maybe"}}, "trait:HW_X is 'maybe'; set it to 'required' or 'forbidden'."),
        (
            {"extra_specs": {"trait:HW_X": "forbidden"}, "image": image(properties={"trait:HW_X": "required"})},
            "both required and forbidden",
        ),
        ({"extra_specs": {"capabilities:vcpus_total": ">= many"}}, "compares numbers, and 'many' is none"),
        (
            {"extra_specs": {"aggregate_instance_extra_specs:a": "<in>"}},
            "the operator <in> has nothing to compare with",
        ),
        ({"image": image(disk_format="floppy")}, "floppy in bare is not one that servers run from"),
    ],
)
def test_what_no_host_could_ever_meet_is_said_of_every_host(changes: dict[str, object], sentence: str) -> None:
    table = HostTable([host_view("kvm-1"), host_view("kvm-2")])
    with pytest.raises(NoHost) as refusal:
        place(table, request(**changes))
    assert sentence in refusal.value.sentence
    assert refusal.value.refusals == dict.fromkeys(["kvm-1", "kvm-2"], refusal.value.sentence)
