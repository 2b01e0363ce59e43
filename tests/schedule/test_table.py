"""The table keeps itself true: whatever changes come, it answers as one built anew."""

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import structs

from polyvisor.model.errors import NoHost
from polyvisor.model.place import AggregateView, HostView
from polyvisor.schedule.place import place, refusals
from polyvisor.schedule.table import MEMORY, HostTable
from tests.schedule.cloud import NAMES, aggregate, aggregate_lists, answer, host_view, host_views, request, requests

ANY_HOST = st.sampled_from(NAMES).flatmap(host_views)


class TableChanges(RuleBasedStateMachine):
    """Hosts and aggregates come, change and go, while the same questions are asked of the table and of a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.table = HostTable()
        self.views: dict[str, HostView] = {}
        self.aggregates: list[AggregateView] = []

    @rule(view=ANY_HOST)
    def update(self, view: HostView) -> None:
        known = self.views.get(view.host.name)
        if known is not None:
            newer = structs.replace(view.host, generation=known.host.generation + 1)
            view = structs.replace(view, host=newer)
        self.views[view.host.name] = view
        self.table.update(view)

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        self.views.pop(name, None)
        self.table.remove(name)

    @rule(aggregates=aggregate_lists)
    def set_aggregates(self, aggregates: list[AggregateView]) -> None:
        self.aggregates = aggregates
        self.table.set_aggregates(aggregates)

    @rule(asked=requests)
    def ask(self, asked: Any) -> None:
        fresh = HostTable(self.views.values(), self.aggregates)
        assert refusals(self.table, asked) == refusals(fresh, asked)
        assert answer(self.table, asked) == answer(fresh, asked)

    @invariant()
    def names(self) -> None:
        assert self.table.names() == sorted(self.views)
        assert len(self.table) == len(self.views)


TestTableChanges = TableChanges.TestCase


def test_a_table_of_a_thousand_hosts_finds_each_of_them() -> None:
    table = HostTable(
        [host_view(f"kvm-{number}", traits=frozenset({f"CUSTOM_{number % 3}"})) for number in range(1000)]
    )
    for name in ("kvm-0", "kvm-63", "kvm-64", "kvm-999"):
        assert place(table, request(host=name)).host == name
    assert len(refusals(table, request(extra_specs={"trait:CUSTOM_1": "required"}))) == 667


def test_the_smallest_ratio_of_a_hosts_aggregates_wins_over_its_own() -> None:
    view = host_view("kvm-1", vcpu_ratio=1.0)
    table = HostTable([view], [aggregate(1, {"cpu_allocation_ratio": "8"}, "kvm-1")])
    assert table.limits(0).vcpus == 128
    table.set_aggregates(
        [aggregate(1, {"cpu_allocation_ratio": "8"}, "kvm-1"), aggregate(2, {"cpu_allocation_ratio": "2.5"}, "kvm-1")]
    )
    assert table.limits(0).vcpus == 40
    table.set_aggregates([])
    assert table.limits(0).vcpus == 16


def test_a_host_that_joins_after_its_aggregate_is_in_it() -> None:
    table = HostTable([], [aggregate(1, {"filter_tenant_id": "green"}, "kvm-1")])
    table.update(host_view("kvm-1"))
    with pytest.raises(NoHost, match="kept for other projects"):
        place(table, request(project_id="blue"))


def free_memory(table: HostTable) -> int:
    return int(table.free[MEMORY, 0])


def test_a_claim_holds_until_a_view_comes_that_contains_it() -> None:
    before = host_view("kvm-1", generation=5)
    table = HostTable([before])
    table.claim("kvm-1", 1, 1024, 5)
    table.claim("kvm-1", 1, 2048, 5)
    assert free_memory(table) == 32768 - 3072
    assert place(table, request()).generation == 7
    table.update(before)
    assert free_memory(table) == 32768 - 3072
    table.update(host_view("kvm-1", generation=6, used_memory_mib=1024, servers=1))
    assert (free_memory(table), int(table.servers[0])) == (32768 - 3072, 2)
    table.update(host_view("kvm-1", generation=7, used_memory_mib=3072, servers=2))
    assert (free_memory(table), int(table.servers[0])) == (32768 - 3072, 2)
    assert place(table, request()).generation == 7


def test_a_late_view_changes_no_claims_but_all_else() -> None:
    table = HostTable([host_view("kvm-1", generation=6, used_memory_mib=1024, servers=1)])
    table.update(host_view("kvm-1", generation=5, memory_mib=65536))
    assert free_memory(table) == 65536 - 1024
    assert place(table, request()).generation == 6


def test_a_claim_that_the_store_refused_is_given_back_once() -> None:
    table = HostTable([host_view("kvm-1")])
    table.claim("kvm-1", 1, 1024, 5)
    table.release("kvm-1", 1, 1024, 5)
    table.release("kvm-1", 1, 1024, 5)
    table.release("gone", 1, 1024, 5)
    assert free_memory(table) == 32768


def test_an_exact_view_drops_every_claim_made_here() -> None:
    table = HostTable([host_view("kvm-1")])
    table.claim("kvm-1", 1, 1024, 5)
    table.update(host_view("kvm-1", used_memory_mib=512), exact=True)
    assert free_memory(table) == 32768 - 512
    assert place(table, request()).generation == 0


def test_a_host_made_anew_under_its_old_name_starts_without_claims() -> None:
    table = HostTable([host_view("kvm-1", generation=9, used_memory_mib=1024)])
    table.claim("kvm-1", 1, 1024, 5)
    table.update(host_view("kvm-1", uuid="7d1b1ad1-4f5c-4c35-b9f4-0d5a3c1b6f57"))
    assert free_memory(table) == 32768


def test_a_claim_on_an_unknown_host_is_an_error() -> None:
    with pytest.raises(KeyError):
        HostTable().claim("gone", 1, 1, 1)


def test_removed_rows_are_used_again() -> None:
    table = HostTable()
    for number in range(1000):
        table.update(host_view(f"kvm-{number}", traits=frozenset({f"CUSTOM_{number}"})))
        if number:
            table.remove(f"kvm-{number - 1}")
    assert table.size == 2
    assert np.count_nonzero(table.alive) == 1
