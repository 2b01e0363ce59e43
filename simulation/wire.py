"""What a server does with an agent's request: read and written by the product's own records, decided by its gate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from polyvisor.api.agent import wire
from polyvisor.model.agent import Party
from polyvisor.model.errors import Conflict, Invalid, PolyvisorError, Unauthorized, Unavailable

if TYPE_CHECKING:
    from simulation.processes import Server

_STATUS = ((Unauthorized, 401), (Conflict, 409), (Unavailable, 503), (Invalid, 400))
_LONGEST_WAIT_SECONDS = 30.0


class Response(msgspec.Struct, frozen=True):
    """As much of urllib3's response as the link reads."""

    status: int
    data: bytes


def serve(server: Server, agent_id: str, serial: str, path: str, body: bytes) -> Response:
    """One request, answered as the agents' listener answers it."""
    if not server.ready:
        return _refused(503, "The server is starting.")
    try:
        return Response(200, msgspec.json.encode(_answer(server, agent_id, serial, path, body)))
    except PolyvisorError as error:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        return _refused(status, error.sentence)
    except SQLAlchemyError:
        return _refused(503, "The database does not answer this server now.")


def _refused(status: int, sentence: str) -> Response:
    return Response(status, json.dumps({"error": sentence}).encode())


def _answer(server: Server, agent_id: str, serial: str, path: str, body: bytes) -> Any:
    gate = server.desk.gate

    def party(session: str) -> Party:
        return Party(agent_id=agent_id, session=session, serial=serial)

    if path == "/exchange":
        exchange = wire.decode(body, wire.ExchangeAsked)
        return wire.Leases(leases=tuple(gate.exchange(party(exchange.session), exchange)))
    if path == "/beat":
        beat = wire.decode(body, wire.BeatAsked)
        return gate.beat(party(beat.session), beat.beat)
    if path == "/wait":
        wait = wire.decode(body, wire.WaitAsked)
        server.desk.wait(wait.places, min(wait.timeout_seconds, _LONGEST_WAIT_SECONDS))
        return wire.Woken(woken=True)
    if path == "/inventory":
        inventory = wire.decode(body, wire.InventoryAsked)
        gate.inventory(party(inventory.session), inventory.inventory)
        return wire.Done()
    if path == "/glimpse":
        glimpse = wire.decode(body, wire.GlimpseAsked)
        gate.glimpse(party(glimpse.session), glimpse.glimpse)
        return wire.Done()
    raise Invalid(f"Agents have no {path}.")
