"""The simulated world itself: guests live in a file, so that they outlive a kill of the process, as real ones do."""

import json
import sqlite3
import threading
from pathlib import Path

import msgspec

from polyvisor.model.nic import Nic
from polyvisor.model.power import Power
from polyvisor.model.record import Record


class SimulatedGuest(Record):
    """A guest of the simulated world."""

    server_id: str
    name: str
    host: str
    power: Power
    foreign: bool = False
    power_at: float = 0.0
    """When `power` becomes true, in seconds since 1970; until then it has the one before."""
    before: Power = Power.OFF
    log: str = ""
    nics: tuple[Nic, ...] = ()


BUSY_SECONDS = 60.0


class SimulatedEstate:
    """Guests and cached images of one connection. Kept in `path` where one is given, else in memory alone.

    Several processes may share the file, as several agents share a vCenter: each sees at once what another did.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._sql = sqlite3.connect(
            path or ":memory:", timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        if path is not None:
            self._sql.execute("PRAGMA journal_mode=WAL")
            self._sql.execute("PRAGMA synchronous=OFF")  # a simulated world may lose a power cut, not a kill
        self._sql.execute("CREATE TABLE IF NOT EXISTS guest (server_id TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self._sql.execute("CREATE TABLE IF NOT EXISTS image (host TEXT, id TEXT, PRIMARY KEY (host, id))")
        self._seen = -1
        self._guests: dict[str, SimulatedGuest] = {}
        self._images: dict[str, set[str]] = {}
        self._refresh()

    def _refresh(self) -> None:
        """Read the file anew when another process has written to it."""
        (version,) = self._sql.execute("PRAGMA data_version").fetchone()
        if version == self._seen:
            return
        self._seen = version
        rows = self._sql.execute("SELECT value FROM guest")
        self._guests = {guest.server_id: guest for guest in (_read(value) for (value,) in rows)}
        self._images = {}
        for host, id in self._sql.execute("SELECT host, id FROM image"):
            self._images.setdefault(host, set()).add(id)

    def guests(self) -> list[SimulatedGuest]:
        """All of them, foreign ones included."""
        with self._lock:
            self._refresh()
            return list(self._guests.values())

    def get(self, server_id: str) -> SimulatedGuest | None:
        """One guest."""
        with self._lock:
            self._refresh()
            return self._guests.get(server_id)

    def put(self, guest: SimulatedGuest) -> None:
        """Make or change a guest."""
        value = json.dumps(
            {
                "server_id": guest.server_id,
                "name": guest.name,
                "host": guest.host,
                "power": guest.power,
                "foreign": guest.foreign,
                "power_at": guest.power_at,
                "before": guest.before,
                "log": guest.log,
                "nics": msgspec.to_builtins(guest.nics),
            }
        )
        with self._lock:
            self._refresh()
            self._sql.execute("INSERT OR REPLACE INTO guest VALUES (?, ?)", (guest.server_id, value))
            self._guests[guest.server_id] = guest

    def remove(self, server_id: str) -> None:
        """End a guest; one that is not there is nothing to do."""
        with self._lock:
            self._refresh()
            if self._guests.pop(server_id, None) is not None:
                self._sql.execute("DELETE FROM guest WHERE server_id = ?", (server_id,))

    def images(self, host: str) -> frozenset[str]:
        """Ids of the images cached on a host."""
        with self._lock:
            self._refresh()
            return frozenset(self._images.get(host, ()))

    def add_image(self, host: str, id: str) -> None:
        """Cache an image on a host."""
        with self._lock:
            self._refresh()
            held = self._images.setdefault(host, set())
            if id not in held:
                held.add(id)
                self._sql.execute("INSERT OR IGNORE INTO image VALUES (?, ?)", (host, id))

    def remove_image(self, host: str, id: str) -> None:
        """Forget a cached image."""
        with self._lock:
            self._refresh()
            self._images.get(host, set()).discard(id)
            self._sql.execute("DELETE FROM image WHERE host = ? AND id = ?", (host, id))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._sql.close()


def _read(value: str) -> SimulatedGuest:
    found = json.loads(value)
    found["power"], found["before"] = Power(found["power"]), Power(found["before"])
    found["nics"] = msgspec.convert(found.get("nics", ()), tuple[Nic, ...])
    return SimulatedGuest(**found)
