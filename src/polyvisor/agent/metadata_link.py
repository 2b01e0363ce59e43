"""The way of guests' questions about themselves from an agent: over HTTPS, through whichever server answers."""

from typing import Any

import msgspec

from polyvisor.agent.servers import Servers
from polyvisor.model.metadata import MetadataAnswer, MetadataAsked, MetadataPort
from polyvisor.operate.link import LinkDown

READ_SECONDS = 8.0


class _Ports(msgspec.Struct, frozen=True, kw_only=True):
    # A newer server may tell more: it is passed over.
    ports: tuple[MetadataPort, ...] = ()


class HttpMetadataLink:
    """A MetadataLink for all places of an agent. All threads may use it."""

    def __init__(self, servers: Servers, session: str) -> None:
        """`session` tells this process from the agent's earlier ones."""
        self._servers, self._session = servers, session

    def ports(self) -> tuple[MetadataPort, ...]:
        """The networks that guests here are on. Raises LinkDown."""
        body = {"session": self._session}
        answer = self._servers.ask("/metadata_ports", lambda _tried: body, read_seconds=READ_SECONDS)
        return tuple(_decoded(answer, _Ports).ports)

    def ask(self, asked: MetadataAsked) -> MetadataAnswer:
        """The answer to a guest here. Raises LinkDown."""
        body = {"session": self._session, "asked": asked}
        answer = self._servers.ask("/metadata", lambda _tried: body, read_seconds=READ_SECONDS)
        found: MetadataAnswer = _decoded(answer, MetadataAnswer)
        return found


def _decoded(answer: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError as error:
        raise LinkDown(f"A server's answer cannot be read: {error}. Is it of another release?") from None
