"""A keeper of networks in a process of its own, to be killed: python -m tests.network.keeper_child DATABASE NB SB."""

import signal
import sys
import time
from datetime import UTC, datetime

from polyvisor.model.network_settings import NetworkSettings
from polyvisor.network.ovn.backend import OvnBackend
from polyvisor.operate.network_keeper import NetworkKeeper
from polyvisor.serve.logs import log_to_stderr
from polyvisor.store.database import Database


def main(url: str, northbound: str, southbound: str) -> None:
    """Until SIGTERM."""
    log_to_stderr("info", "text", {})
    # No Event: its lock may be this thread's own when the signal comes.
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    settings = NetworkSettings(backend="ovn", ovn_northbound=northbound, ovn_southbound=southbound)
    database = Database(url)
    backend = OvnBackend(settings)
    keeper = NetworkKeeper(database, backend, lambda: datetime.now(UTC), time.monotonic, settings.sweep_seconds)
    keeper.start()
    while not told:
        time.sleep(0.1)
        backend.wake()  # SQLite tells no other process of a commit
    keeper.stop()
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
