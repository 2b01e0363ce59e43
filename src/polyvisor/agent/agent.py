"""The agent itself: link, station, fence, renewal and status of one process, from its start to its end."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import polyvisor
from polyvisor.agent import status
from polyvisor.agent.fence import Fence, boot_id
from polyvisor.agent.files import AgentFiles
from polyvisor.agent.image_source import LinkImageSource
from polyvisor.agent.link import HttpLink
from polyvisor.agent.metadata_link import HttpMetadataLink
from polyvisor.agent.notify import notify, watchdog_seconds
from polyvisor.agent.renewal import Renewal
from polyvisor.agent.servers import Servers
from polyvisor.agent.status import PlaceStatus, Status
from polyvisor.agent.steady import since_boot
from polyvisor.hypervisor.driver import Driver
from polyvisor.model.link import Role
from polyvisor.model.settings import OperateSettings
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.link import Link
from polyvisor.operate.metadata_link import MetadataLink
from polyvisor.operate.metadata_station import MetadataStation
from polyvisor.operate.station import Station
from polyvisor.operate.turned_off import TurnedOff
from polyvisor.operate.watch import UNWATCHED, Watch

log = logging.getLogger(__name__)

STATUS_SECONDS = 2.0
LONG_POLL_SECONDS = 20.0
HUNG_SECONDS = 60.0
"""A heartbeat that was not even tried for so long hangs: systemd starts the agent anew."""
ANEW_PATIENCE_SECONDS = 10.0
FENCE_FILE = "fence.json"


def utc_now() -> datetime:
    """The wall clock: for what people read, never to count time."""
    return datetime.now(UTC)


class Agent:
    """One process of an agent that has joined."""

    def __init__(
        self,
        files: AgentFiles,
        drivers: Mapping[str, Driver],
        driver_kinds: Mapping[str, str],
        settings: OperateSettings,
        now: Callable[[], datetime] = utc_now,
        steady: Callable[[], float] = since_boot,
        watch: Watch = UNWATCHED,
        counted: Callable[[Link], Link] = lambda link: link,
        guests: Callable[[MetadataLink], MetadataStation] | None = None,
    ) -> None:
        """`driver_kinds`: place → "kvm", "vsphere" or "simulated"; `counted` puts something before the link that counts
        its calls; `guests` makes what hears guests that ask for metadata, where this machine has some. Raises Invalid
        when it has not joined.
        """
        self._files, self._drivers, self._driver_kinds = files, drivers, driver_kinds
        self._now, self._steady = now, steady
        self._identity = files.identity()
        self._session = files.new_session()
        self._servers = Servers(files.servers(), files.context)
        self._link = HttpLink(self._servers, self._session, steady, self._keep_servers)
        turned_off = TurnedOff()
        self._station = Station(
            counted(self._link),
            drivers,
            driver_kinds,
            KINDS,
            lambda step: LinkImageSource(self._servers, self._session, step),
            now,
            steady,
            threads=settings.threads,
            inventory_seconds=settings.inventory_seconds,
            look_seconds=LONG_POLL_SECONDS,
            watch=watch,
            turned_off=turned_off,
        )
        self._fence = Fence(self._station.holds, drivers, steady, files.path(FENCE_FILE), boot_id(), turned_off)
        self._guests = guests(HttpMetadataLink(self._servers, self._session)) if guests is not None else None
        self._renewal = Renewal(files, self._servers, self._session, now)

    @property
    def station(self) -> Station:
        """What serves its places."""
        return self._station

    @property
    def guests(self) -> MetadataStation | None:
        """What hears the guests beside it; None where there is no KVM host."""
        return self._guests

    def run(self, stopping: threading.Event, patience_seconds: float, anew: threading.Event | None = None) -> bool:
        """Serve until `stopping`; then let steps end within `patience_seconds`, and give the places back.

        `anew`: set where this process starts anew right after, for which its steps are not waited for as long. Returns
        whether every step has ended.
        """
        self._station.start()
        self._fence.start()
        self._renewal.start()
        if self._guests is not None:
            self._guests.start()
        log.info("the agent %s serves %s", self._identity.name, ", ".join(self._drivers) or "nothing")
        notify("READY=1", f"STATUS=serves {len(self._drivers)} places")
        try:
            self._watch(stopping)
        finally:
            if anew is not None and anew.is_set():
                # To systemd this is no end: READY=1 follows from the same process, and soon, for it goes on watching.
                notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "WATCHDOG=1")
                ended = self._stop(min(patience_seconds, ANEW_PATIENCE_SECONDS))
                notify("WATCHDOG=1")
            else:
                notify("STOPPING=1")
                ended = self._stop(patience_seconds)
        return ended

    def _watch(self, stopping: threading.Event) -> None:
        pause = min(STATUS_SECONDS, watchdog_seconds() or STATUS_SECONDS)
        status.write(self._files, self.status())
        while not stopping.wait(pause):
            status.write(self._files, self.status())
            if self._steady() - self._station.heartbeat.tried_at < HUNG_SECONDS:
                notify("WATCHDOG=1")

    def _stop(self, patience_seconds: float) -> bool:
        self._fence.stop()
        if self._guests is not None:
            self._guests.stop()
        ended = self._station.stop(patience_seconds)
        self._renewal.stop()
        self._servers.close()
        for driver in self._drivers.values():
            driver.close()
        return ended

    def _keep_servers(self, urls: tuple[str, ...]) -> None:
        """Beside those that are told, the one it joined at is known for good."""
        self._servers.learn(tuple(dict.fromkeys((*urls, self._identity.url))))
        try:
            self._files.keep_servers(urls)
        except OSError as error:
            log.warning("the list of servers could not be kept: %s", error)

    def status(self) -> Status:
        """How it stands."""
        heartbeat = self._station.heartbeat
        return Status(
            name=self._identity.name,
            agent_id=self._identity.agent_id,
            cloud_id=self._identity.cloud_id,
            running=True,
            pid=os.getpid(),
            version=polyvisor.__version__,
            certificate_until=self._files.certificate().not_valid_after_utc,
            servers=self._servers.urls,
            server=self._servers.preferred,
            trouble=heartbeat.trouble,
            steps=len(self._station.worker.at_work()),
            places=tuple(self._place(name) for name in self._drivers),
            written_at=self._now(),
        )

    def _place(self, name: str) -> PlaceStatus:
        holds = self._station.holds
        held, role = holds.held().get(name), holds.roles().get(name)
        left = max(0.0, held.until - self._steady()) if held is not None else 0.0
        if self._station.heartbeat.trouble and not left:
            role = None
        return PlaceStatus(
            name=name,
            driver=self._driver_kinds.get(name, ""),
            role=role.value if isinstance(role, Role) else "unknown",
            epoch=held.epoch if held is not None else 0,
            held_seconds=round(left, 1),
            trouble=self._station.observers[name].trouble,
            fence_seconds=held.fence_seconds if held is not None else 0.0,
            fenced=name in self._fence.fenced,
        )
