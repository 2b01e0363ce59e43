"""What this service needs of the control plane; `operate` has it, and `serve` brings the two together."""

from collections.abc import Sequence
from typing import Protocol

from polyvisor.model.agent import Party
from polyvisor.model.errors import PolyvisorError
from polyvisor.model.image import ImageRef
from polyvisor.model.link import Beat, Exchange, Glimpse, Held, Inventory, Lease, Timetable
from polyvisor.store.store import Store

Asked = tuple[Party, Exchange | Beat]
Answer = list[Lease] | Held | PolyvisorError


class Pace(Protocol):
    """Is told whether this server keeps up."""

    def waits_since(self, moment: float | None) -> None:
        """When the oldest sign of life that is not answered yet came, by the steady clock; None where all are."""

    def lagged(self, seconds: float) -> None:
        """The listener did nothing for so long, and read nothing of what had come."""


class Gate(Protocol):
    """The server's side of agents' links."""

    @property
    def pace(self) -> Pace:
        """Is told for how long agents' signs of life wait."""

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Answer exchanges and beats, all in one transaction."""

    def inventory(self, party: Party, found: Inventory) -> None:
        """Take a place's word about itself."""

    def glimpse(self, party: Party, found: Glimpse) -> None:
        """Take a place's word about one guest."""

    def note(self, party: Party, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Keep what whoever serves the place must remember."""

    def admit(self, store: Store, party: Party) -> None:
        """Raise Unauthorized or Conflict unless the party may speak for its agent."""

    def image_of_step(self, store: Store, party: Party, operation_id: str, epoch: int) -> ImageRef:
        """The image of a step that the party's agent has leased. Raises NotFound."""

    def timetable(self, store: Store) -> Timetable:
        """When something will be due."""
