"""A process of its own that hears the guests of one chassis, as an agent does: python -m …station URL PLACE SWITCH."""

import signal
import sys
import time

from polyvisor.network.metadata.plugs import OpenVSwitchPlugs
from polyvisor.network.metadata.switch import OpenVSwitch
from polyvisor.operate.metadata_station import MetadataStation
from polyvisor.serve.local_metadata import LocalMetadataLink
from polyvisor.serve.logs import log_to_stderr
from polyvisor.store.database import Database


def main(url: str, place: str, switch: str) -> None:
    """Until SIGTERM. `switch`: where its Open vSwitch's database answers."""
    log_to_stderr("info", "text", {})
    # No Event: its lock may be this thread's own when the signal comes.
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    database = Database(url)
    station = MetadataStation(
        LocalMetadataLink(database, [place]), OpenVSwitch("br-int", switch), 0.2, OpenVSwitchPlugs(switch)
    )
    station.start()
    while not told:
        time.sleep(0.1)
    station.stop()
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
