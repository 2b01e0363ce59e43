"""Every filter: what it lets pass in arrays is what it has no reason against, and both follow the documented rules."""

import numpy as np
import pytest
from hypothesis import given

from polyvisor.model.network import SegmentRef
from polyvisor.model.place import AggregateView, HostView, NetworkNeed, PlaceRequest
from polyvisor.schedule.ask import read
from polyvisor.schedule.filters import FILTERS, filters_for
from polyvisor.schedule.place import refusals
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable
from tests.schedule.cloud import FLAT, GENEVE, VLAN, aggregate_lists, clouds, host_view, requests
from tests.schedule.cloud import request as asked
from tests.schedule.plain_rules import fits

EVERY = filters_for(ScheduleSettings(image_property_isolation=True))


@given(clouds(), aggregate_lists, requests)
def test_a_mask_is_false_exactly_where_there_is_a_reason(
    views: list[HostView], aggregates: list[AggregateView], request: PlaceRequest
) -> None:
    table, ask = HostTable(views, aggregates), read(request)
    for condition in EVERY:
        mask = condition.mask(table, ask)
        passed = np.ones(table.size, dtype=np.bool_) if mask is None else mask
        for row in range(table.size):
            reason = condition.reason(table, row, ask)
            assert bool(passed[row]) == (reason is None), (condition, reason)
            if reason is not None:
                assert reason.strip()
                assert all(condition.phrase(table, row, ask))


@given(clouds(), aggregate_lists, requests)
def test_the_hosts_refused_are_those_that_the_plain_rules_refuse(
    views: list[HostView], aggregates: list[AggregateView], request: PlaceRequest
) -> None:
    expected = {view.host.name for view in views if not fits(view, aggregates, request)}
    assert set(refusals(HostTable(views, aggregates), request)) == expected


@pytest.mark.parametrize("condition", EVERY, ids=lambda one: getattr(one, "__name__", one.ADVICE).rpartition(".")[2])
def test_advice_goes_into_the_middle_of_a_sentence(condition: object) -> None:
    advice: str = condition.ADVICE  # type: ignore[attr-defined]
    assert advice
    assert advice[0].islower()
    assert not advice.endswith(".")


def test_image_properties_keep_nothing_apart_unless_set() -> None:
    assert {*EVERY} - {*FILTERS} == {EVERY[-1]}
    assert filters_for(ScheduleSettings()) == FILTERS


@pytest.mark.parametrize(
    ("segment", "sentence"),
    [
        (GENEVE, "carries no geneve networks, and the network private is one"),
        (VLAN, "is not connected to site, which carries the network private"),
        (FLAT, None),
    ],
)
def test_a_host_that_cannot_carry_a_network_is_refused_in_a_sentence(segment: SegmentRef, sentence: str | None) -> None:
    table = HostTable([host_view("esx", physical_networks=frozenset({"dmz"}))])
    wanted = asked(networks=(NetworkNeed(name="private", segments=(segment,)),))
    assert refusals(table, wanted) == ({} if sentence is None else {"esx": sentence})
