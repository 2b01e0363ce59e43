"""What networks cost: from records to OVN, from nothing and one by one, on a real OVN with one chassis.

    python -m bench.network [--networks N] [--ports N]

Each network has a project of its own, with its default security group. Needs root, and the packages of
setup/packages/ovn.txt. Everything shares one machine: northd and the chassis work beside it. What follows is measured
from outside, through the API (bench/network_api.py).
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import event

from bench import network_api
from polyvisor.model.network import Network
from polyvisor.model.network_list import NetworkList
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import Port, PortWanted
from polyvisor.model.subnet import Pool, Subnet
from polyvisor.network.ovn.backend import OvnBackend
from polyvisor.operate.network_keeper import NetworkKeeper
from polyvisor.store.database import Database
from polyvisor.store.store import Store
from polyvisor.store.tables import metadata
from testbed.ovn import TestOvn

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE_BY_ONE = 20
PATIENCE_SECONDS = 1800.0


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.network", description=__doc__)
    parser.add_argument("--networks", type=int, default=1000, help="networks, with a subnet each (default: 1000)")
    parser.add_argument("--ports", type=int, default=10, help="ports of each network (default: 10)")
    options = parser.parse_args()
    with TestOvn(chassis=1) as ovn, tempfile.TemporaryDirectory(prefix="pv-bench-") as folder:
        _print(measure(ovn, Path(folder), options.networks, options.ports))
    with TestOvn() as ovn:
        _print(network_api.measure(ovn))
    return 0


def _print(figures: dict[str, float]) -> None:
    for name, figure in figures.items():
        print(f"{name:36}{figure:12.4g}", flush=True)


def measure(ovn: TestOvn, folder: Path, networks: int, ports: int) -> dict[str, float]:
    """Figures by their names."""
    settings = NetworkSettings(ovn_northbound=ovn.northbound, ovn_southbound=ovn.southbound)
    database = Database(f"sqlite:///{folder}/polyvisor.db")
    metadata.create_all(database.engine)
    figures = {}
    with _keeper(database, settings) as keeper:
        figures["port_to_dhcp_answer_seconds"] = _dhcp(database, settings, ovn)
    begun = time.perf_counter()
    made = _record(database, settings, networks, ports)
    figures["ports_recorded_per_second"] = networks * ports / (time.perf_counter() - begun)
    begun = time.perf_counter()
    with _keeper(database, settings) as keeper:
        _until_done(database)
        figures["empty_ovn_filled_seconds"] = time.perf_counter() - begun
        ovn.nbctl("--wait=sb", "--timeout=1800", "sync")
        figures["and_translated_by_northd_seconds"] = time.perf_counter() - begun
        transactions = keeper.counts.transactions
        figures["port_to_ovn_seconds"] = _one_by_one(database, settings, made[0])
        figures["transactions_a_port"] = (keeper.counts.transactions - transactions) / ONE_BY_ONE
    figures["idle_sweep_seconds"] = _idle_sweep(database, settings)
    figures["ports_listed_seconds"], figures["ports_listed_statements"] = _list(database)
    database.close()
    return figures


@contextmanager
def _keeper(database: Database, settings: NetworkSettings) -> Iterator[NetworkKeeper]:
    keeper = NetworkKeeper(database, OvnBackend(settings), lambda: NOW, time.monotonic, sweep_seconds=3600)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()


def _until_done(database: Database) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with database.read() as store:
            if not store.network_intent.due(1):
                return
        time.sleep(0.002)
    raise TimeoutError("OVN does not become what is recorded")


def _record(database: Database, settings: NetworkSettings, networks: int, ports: int) -> list[Network]:
    """Networks, each with its ports in one transaction, as a bulk request makes them."""
    made = []
    for number in range(networks):
        with database.write() as store:
            made.append(_network(store, number, settings))
            wanted = [
                (str(uuid4()), PortWanted(project_id=made[-1].project_id, network_id=made[-1].id)) for _ in range(ports)
            ]
            store.port.create_many(wanted, now=NOW, settings=settings)
    return made


def _network(store: Store, number: int, settings: NetworkSettings) -> Network:
    id, cidr = str(uuid4()), f"10.{number // 256 % 256}.{number % 256}"
    record = Network(id=id, project_id=f"project-{number}", mtu=0, created_at=NOW, updated_at=NOW)
    store.network.create(record, settings=settings)
    pools = (Pool(start=f"{cidr}.2", end=f"{cidr}.254"),)
    store.subnet.create(
        Subnet(
            id=str(uuid4()), project_id=record.project_id, network_id=id, ip_version=4, cidr=f"{cidr}.0/24",
            gateway_ip=f"{cidr}.1", allocation_pools=pools, created_at=NOW, updated_at=NOW,
        ),
        NOW,
    )  # fmt: skip
    return record


def _port(database: Database, settings: NetworkSettings, network: Network) -> Port:
    with database.write() as store:
        wanted = PortWanted(project_id=network.project_id, network_id=network.id, device_owner="compute:nova")
        return store.port.create(wanted, id=str(uuid4()), now=NOW, settings=settings)


def _one_by_one(database: Database, settings: NetworkSettings, network: Network) -> float:
    """From the commit of a port to its row in OVN, as the record of it is struck off; the median."""
    taken = []
    for _ in range(ONE_BY_ONE):
        _port(database, settings, network)
        taken.append(_timed(lambda: _until_done(database)))
    return statistics.median(taken)


def _dhcp(database: Database, settings: NetworkSettings, ovn: TestOvn) -> float:
    """From the commit of a port to the address in its guest."""
    with database.write() as store:
        network = _network(store, 0, settings)
    _until_done(database)
    port = _port(database, settings, network)
    begun = time.perf_counter()
    with database.write() as store:
        store.port.bind([port.id], host=ovn.chassis[0].name, vif_type="ovs", now=NOW)
    ovn.chassis[0].guest(port.id, port.mac_address).dhcp()
    return time.perf_counter() - begun


def _idle_sweep(database: Database, settings: NetworkSettings) -> float:
    backend = OvnBackend(settings)
    while not backend.term():
        backend.wait(0.1)

    def sweep() -> None:
        with database.read() as store:
            backend.sweep(store.network_snapshot.whole())

    taken = _timed(sweep)
    backend.close()
    return taken


def _list(database: Database) -> tuple[float, float]:
    statements: list[str] = []
    with database.read() as store:
        event.listen(store.connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
        asked = NetworkList(viewer=None, limit=10_000)
        return _timed(lambda: store.port.list(asked)), len(statements)


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
