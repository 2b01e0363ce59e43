"""Wires what a process tells of itself: its registry, its health, its traces, and the listener that serves them."""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry

from polyvisor.agent.steady import since_boot
from polyvisor.api.kit.log import Observer, write_access
from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.observe import traces
from polyvisor.observe.certificates import Files
from polyvisor.observe.connections import Connections
from polyvisor.observe.estate import Estate
from polyvisor.observe.guests import GuestMetrics
from polyvisor.observe.health import Check, Health
from polyvisor.observe.listener import Listener, Textfile
from polyvisor.observe.networks import NetworkMetrics
from polyvisor.observe.process import Process
from polyvisor.observe.pulse import Followed, Pulse
from polyvisor.observe.requests import Requests
from polyvisor.observe.settings import MetricsSettings, TracesSettings
from polyvisor.observe.station import LinkMetrics, StationMetrics
from polyvisor.observe.telemetry import Telemetry
from polyvisor.operate.heartbeat import Heartbeat
from polyvisor.operate.link import Link
from polyvisor.operate.metadata_station import MetadataStation
from polyvisor.operate.network_keeper import NetworkKeeper
from polyvisor.operate.station import Station
from polyvisor.operate.watch import UNWATCHED, Watch
from polyvisor.serve.configuration import listen_address
from polyvisor.serve.http import bind, is_loopback
from polyvisor.serve.tls import own_certificate
from polyvisor.store.database import Database

log = logging.getLogger(__name__)

USUAL = ("127.0.0.1", 9464)
"""Where `auto` listens first: the port that OpenTelemetry gives to exporters for Prometheus."""


HEARTBEAT_SECONDS = 60.0
"""A heartbeat that was not even tried for so long hangs: it tries every 2.5 seconds, every 30 while it is refused."""


class ObserveSettings(Record):
    """The two tables of the configuration that are meant for this."""

    metrics: MetricsSettings = MetricsSettings()
    traces: TracesSettings = TracesSettings()


class Observation:
    """Made first, handed to the parts as they are made, started when all are there."""

    def __init__(self, settings: ObserveSettings, service: str, instance: str = "") -> None:
        """`service`: "polyvisor-server" or "polyvisor-agent"; `instance`: which of them, the machine's name if empty.

        Raises Invalid for settings that cannot be followed.
        """
        self._settings = settings.metrics
        self.registry = CollectorRegistry()
        self.traces = traces.start(settings.traces, service, instance or socket.gethostname())
        self._counts = settings.metrics.listen != "none" or bool(settings.metrics.textfile)
        """Whether anybody can read what is counted; else nothing is."""
        watched = self._counts or self.traces is not None
        self.watch: Watch = Telemetry(self.registry, self.traces) if watched else UNWATCHED
        self._link = LinkMetrics(self.registry)
        self._pulses: list[Pulse] = []
        self._checks: list[Check] = []
        self._disks: dict[str, Path] = {}
        self._certificates: dict[str, Path] = {}
        self._health: Health | None = None
        self._listener: Listener | None = None
        self._textfile: Textfile | None = None

    # What there is to tell

    def pulse(self, name: str, sentence: str, limit_seconds: float) -> Pulse:
        """For a loop that must turn; see Pulse."""
        made = Pulse(name, sentence, limit_seconds)
        self._pulses.append(made)
        return made

    def counted(self, link: Link) -> Link:
        """The link, with its calls counted."""
        return cast("Link", self._link.counted(link)) if self._counts else link

    def api_observers(self) -> list[Observer]:
        """What sees each request to the API: the log, the metrics, and the traces."""
        counting = [Requests(self.registry)] if self._counts else []
        recording = [self.traces.request] if self.traces is not None else []
        return [write_access, *counting, *recording]

    def store(self, database: Database, clock: Callable[[], datetime]) -> None:
        """Tell what the store knows, and how this process uses it."""
        if not self._counts:
            return
        Connections(database, self.registry)
        self.registry.register(Estate(database, clock, self._settings.most_hosts))

    def station(self, station: Station, drivers: Mapping[str, str]) -> None:
        """Tell of the places that this process serves; `drivers`: place → the driver's kind."""
        StationMetrics(
            self.registry, drivers, station.observers, station.holds.epoch, lambda: station.heartbeat.trouble
        )
        if drivers:
            silent = partial(_since, station.heartbeat)
            self._pulses.append(Followed("heartbeat", "its places go to others.", HEARTBEAT_SECONDS, silent))

    def guests(self, station: MetadataStation) -> None:
        """Tell of the guests that this process hears."""
        GuestMetrics(
            self.registry, lambda: (station.wanted, len(station.networks)), lambda: dict(station.listener.answered)
        )

    def networks(self, keeper: NetworkKeeper) -> None:
        """Tell of the networks that this process keeps."""
        NetworkMetrics(self.registry, keeper)

    def files(self, disks: Mapping[str, Path], certificates: Mapping[str, Path]) -> None:
        """Tell of the file systems behind these directories, and of the certificates in these files."""
        self._disks.update(disks)
        self._certificates.update(certificates)

    def checks(self, checks: Sequence[Check]) -> None:
        """What must hold before this process is given requests."""
        self._checks.extend(checks)

    # Serving it

    @property
    def health(self) -> Health:
        """Of this process; asked for once everything that it looks at is known."""
        if self._health is None:
            self._health = Health(self._pulses, self._checks)
        return self._health

    def drain(self, seconds: float) -> float:
        """The process is about to stop: /readyz says so from now on. Returns `seconds`."""
        self.health.draining = True
        return seconds

    def start(self, data: Path) -> str:
        """Serve it; returns the address of /metrics, empty where there is no listener. Raises Invalid."""
        Process(self.registry, self._pulses, self._disks)
        if self._settings.textfile:
            self._textfile = Textfile(Path(self._settings.textfile), self.registry)
            self._textfile.start()
        sock, host = _socket(self._settings)
        token_file = Path(self._settings.token_file) if self._settings.token_file else None
        tls: tuple[Path, Path] | None = None
        if sock is not None and not is_loopback(host):
            made = own_certificate(data / "metrics-tls", host)
            tls = made.chain, made.key
            self._certificates["metrics"] = made.chain
        if self._certificates:
            self.registry.register(Files(self._certificates, lambda: datetime.now(UTC)))
        if sock is None:
            return ""
        self._listener = Listener(sock, self.registry, self.health, token_file, tls)
        self._listener.start()
        log.info("metrics are at %s", self._listener.url)
        return self._listener.url

    def close(self) -> None:
        """Tell no more, and send the spans that are left."""
        for part in (self._listener, self._textfile, self.traces):
            if part is not None:
                part.close()


def _since(heartbeat: Heartbeat) -> float:
    return since_boot() - heartbeat.tried_at


def _socket(settings: MetricsSettings) -> tuple[socket.socket | None, str]:
    if settings.listen == "none":
        return None, ""
    if settings.listen == "auto":
        try:
            return bind(*USUAL), USUAL[0]
        except Invalid:
            return bind(USUAL[0], 0), USUAL[0]
    host, port = listen_address(settings.listen)
    if not is_loopback(host) and not settings.token_file:
        raise Invalid(
            f"[metrics] listen = {settings.listen!r} is not loopback: give a token_file too, for not all may read it."
        )
    return bind(host, port), host
