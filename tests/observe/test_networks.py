"""What the keeper of networks tells in `/metrics`."""

from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from polyvisor.model.network_intent import Unit
from polyvisor.network.backend import Subject
from polyvisor.observe.networks import NetworkMetrics
from polyvisor.operate.network_keeper import NetworkKeeper
from tests.databases import sqlite_url, with_tables
from tests.operate.networks import put_network
from tests.operate.rows_backend import RowsBackend

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_it_tells_who_leads_what_is_done_and_what_is_stuck(tmp_path: Path) -> None:
    database, backend, registry = with_tables(sqlite_url(tmp_path)), RowsBackend(), CollectorRegistry()
    keeper = NetworkKeeper(database, backend, lambda: NOW, lambda: 0.0, sweep_seconds=60)
    NetworkMetrics(registry, keeper)

    def told(name: str) -> float | None:
        return registry.get_sample_value(f"polyvisor_network_{name}")

    assert (told("keeper_leads"), told("changes_total")) == (0, 0)
    keeper.turn()
    with database.write() as store:
        made = put_network(store, 1, project_id="mine", now=NOW)
        store.network_intent.touch(Unit.PORT, ["refused"])
    backend.refused = {Subject(unit=Unit.PORT, id="refused")}
    keeper.turn()
    assert Subject(unit=Unit.NETWORK, id=made.id) in backend.known()
    assert (told("keeper_leads"), told("backend_up"), told("stuck")) == (1, 1, 1)
    assert told("changes_total") == keeper.counts.brought_about > 0
    assert (told("transactions_total"), told("sweeps_total"), told("repairs_total")) == (2, 1, 0)
    backend.trouble = "it is away"
    backend.number = 0
    keeper.turn()
    assert (told("keeper_leads"), told("backend_up")) == (0, 0)
    database.close()
