"""An agent's own HTTPS link, with the simulated network in place of sockets and TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import urllib3

from polyvisor.agent.link import HttpLink
from polyvisor.agent.servers import Servers
from polyvisor.model.agent import Party
from polyvisor.model.link import Beat, Held, Lease, Report
from simulation.network import NoAnswer
from simulation.wire import Response, serve

if TYPE_CHECKING:
    from simulation.processes import Agent
    from simulation.world import World

SERIAL = "01"


class SimulatedServers(Servers):
    """The servers of the cloud, as an agent asks them in turn; only what is sent is sent otherwise."""

    def __init__(self, world: World, agent: Agent) -> None:
        super().__init__([f"https://{server.name}:1" for server in world.servers], _no_context)
        self._world, self._agent = world, agent
        self._process = agent.process
        self._by_url = {f"https://{server.name}:1": server for server in world.servers}

    def _send(self, url: str, path: str, body: bytes, read_seconds: float, connect_seconds: float) -> Any:
        server, agent = self._by_url[url], self._agent
        try:
            response: Response = self._world.network.call(
                self._process, server.process, lambda: serve(server, agent.id, SERIAL, path, body), read_seconds, path
            )
        except NoAnswer as error:
            raise urllib3.exceptions.HTTPError(str(error)) from None
        return response


def _no_context() -> ssl.SSLContext:
    """There is no TLS here."""
    return None  # type: ignore[return-value]


class WatchedLink(HttpLink):
    """The link itself, with its traffic in the trace and under the eyes of the invariants."""

    def __init__(self, world: World, agent: Agent, session: str) -> None:
        super().__init__(SimulatedServers(world, agent), session, agent.steady)
        self._world, self._name = world, agent.name
        self._owner = Party(agent_id=agent.id, session=session).owner

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """As HttpLink has it."""
        say, watch = self._world.say, self._world.watch
        for report in reports:
            say(self._name, "reports %s %s %s", report.operation_id[:8], report.outcome, report.error)
        before = watch.owned(self._owner)
        leases = super().exchange(places, reports, most, running)
        for lease in leases:
            row = lease.operation
            what = "undo of step" if lease.undo else "step"
            say(self._name, "leases %s %s %s %d, epoch %d", row.id[:8], row.kind, what, row.step, row.lease_epoch)
        known = {*running, *(lease.operation.id for lease in leases), *(report.operation_id for report in reports)}
        if places and most:
            watch.exchanged(self._owner, before, known)
        return leases

    def beat(self, beat: Beat) -> Held:
        """As HttpLink has it."""
        sent_at = self._world.time()
        held = super().beat(beat)
        self._world.hub.soon(lambda: self._world.watch.beaten(self._owner, beat.running, sent_at))
        return held
