"""The way of guests' questions about themselves in `polyvisor up`: by calls, for the hosts that it serves itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from polyvisor.api.metadata.service import MetadataService, Speaker
from polyvisor.model.metadata import MetadataAnswer, MetadataAsked, MetadataPort
from polyvisor.operate.link import LinkDown
from polyvisor.store.database import Database
from polyvisor.store.outage import said_elsewhere


class LocalMetadataLink:
    """A MetadataLink by calls, for the places that this process serves itself."""

    def __init__(self, database: Database, places: Sequence[str]) -> None:
        self._service, self._speaker = MetadataService(database), Speaker(places=tuple(places))

    def ports(self) -> tuple[MetadataPort, ...]:
        """The networks that guests here are on. Raises LinkDown."""
        with _reaching():
            return self._service.ports(self._speaker)

    def ask(self, asked: MetadataAsked) -> MetadataAnswer:
        """The answer to a guest here. Raises LinkDown."""
        with _reaching():
            return self._service.answer(self._speaker, asked)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if said_elsewhere(error):
            raise LinkDown("The database does not answer, or gave way to another transaction.") from error
        raise
