"""The way of guests' questions about themselves to a server: by calls in one process, over HTTPS from an agent."""

from typing import Protocol

from polyvisor.model.metadata import MetadataAnswer, MetadataAsked, MetadataPort


class MetadataLink(Protocol):
    """What a host needs in order to answer its guests. Both raise LinkDown."""

    def ports(self) -> tuple[MetadataPort, ...]:
        """The networks that guests of this process's hosts are on, each with its metadata port."""

    def ask(self, asked: MetadataAsked) -> MetadataAnswer:
        """The answer to a guest of one of these hosts."""
