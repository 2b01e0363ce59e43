"""The agent's certificate renews itself: in time, with a new key, tried again until it is done."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from polyvisor.agent.files import AgentFiles
from polyvisor.agent.join import bundle, new_key, request_for
from polyvisor.agent.servers import Servers
from polyvisor.model.errors import Invalid
from polyvisor.operate.link import LinkDown

log = logging.getLogger(__name__)

RENEWED_AT = 2 / 3
"""The part of a certificate's life after which it is renewed."""
LONGEST_LOOK_SECONDS = 3600.0
RETRY_SECONDS = 300.0
SHORTEST_LOOK_SECONDS = 1.0


class Renewal:
    """A thread that looks at the certificate now and then."""

    def __init__(self, files: AgentFiles, servers: Servers, session: str, now: Callable[[], datetime]) -> None:
        self._files, self._servers, self._session, self._now = files, servers, session, now
        self._chance = random.Random()  # noqa: S311 - spreads renewals
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="renew-certificate", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stopping.wait(self.look()):
            pass

    def look(self) -> float:
        """Renew when it is time; returns after how many seconds to look again."""
        due = self._due()
        left = (due - self._now()).total_seconds()
        if left > 0:
            return max(SHORTEST_LOOK_SECONDS, min(LONGEST_LOOK_SECONDS, left))
        try:
            self._renew()
        except (LinkDown, Invalid, OSError, msgspec.MsgspecError) as error:
            end = self._files.certificate().not_valid_after_utc
            log.warning("the certificate, good until %s, could not be renewed yet: %s", end.isoformat(" "), error)
            remaining = (end - self._now()).total_seconds()
            return self._chance.uniform(0.5, 1.0) * max(SHORTEST_LOOK_SECONDS, min(RETRY_SECONDS, remaining / 10))
        return SHORTEST_LOOK_SECONDS

    def _due(self) -> datetime:
        certificate = self._files.certificate()
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        life: timedelta = end - begin
        return begin + life * RENEWED_AT

    def _renew(self) -> None:
        key = new_key()
        body = {"session": self._session, "csr": request_for(key, self._files.identity().name)}
        answer = self._servers.ask("/certificate", lambda _tried: body, read_seconds=30.0)
        self._files.keep_certificate(bundle(key, msgspec.json.decode(answer)["certificate"]))
        self._servers.trust_anew()
        log.info("the certificate was renewed; it is good until %s", self._files.certificate().not_valid_after_utc)
