"""The server's side of every link: workers of this process and of agents far away come in by the same rules."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from polyvisor.model.agent import Party
from polyvisor.model.errors import Conflict, NotFound, PolyvisorError
from polyvisor.model.image import ImageRef
from polyvisor.model.link import Beat, Exchange, Glimpse, Held, Inventory, Lease, Timetable
from polyvisor.model.operation import OperationState
from polyvisor.operate import holding
from polyvisor.operate import inventory as inventories
from polyvisor.operate.engine import Engine
from polyvisor.operate.pace import Pace
from polyvisor.operate.round import Answer, Asked, Round
from polyvisor.store.database import Database
from polyvisor.store.outage import is_outage, was_undone
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

_LIVE = (OperationState.RUNNING, OperationState.UNWINDING)


class Gate:
    """Takes what workers bring, and gives them their steps. Any number of gates may stand before one database."""

    def __init__(self, database: Database, engine: Engine, clock: Callable[[], datetime]) -> None:
        self.database, self.engine = database, engine
        self._clock = clock
        self.pace = Pace()
        """Whether the agents that come by this gate are answered in time."""
        self._waiting: list[_Group] = []
        self._line = threading.Lock()
        self._turn = threading.Lock()

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Answer exchanges and beats, each with its leases, its holds, or the error that it meets.

        Whoever comes while another's transaction is under way is served by the next one, together with all who wait:
        many callers share one commit. Raises what the database raises, when it cannot be reached.
        """
        group = _Group(asked)
        with self._line:
            self._waiting.append(group)
        with self._turn:
            if group.answers is None and group.error is None:
                self._serve()
        if group.error is not None:
            raise group.error
        return group.answers or []

    def _serve(self) -> None:
        """One transaction for all who wait. What breaks it is found by serving them one by one."""
        groups: list[_Group] = []
        for tries_left in (2, 1, 0):
            try:
                with self.database.write() as store:
                    # Taken once the transaction has begun: whoever came while it had to wait is in it, too.
                    groups += self._take_waiting()
                    answers = self._round(store, [each for group in groups for each in group.asked])
                break
            except Exception as error:  # noqa: BLE001 - each caller is to meet it
                if was_undone(error) and tries_left:
                    continue
                groups += [] if groups else self._take_waiting()
                if len(groups) > 1 and not is_outage(error):
                    self._serve_each(groups)
                else:
                    for group in groups:
                        group.error = error
                return
        for group in groups:
            count = len(group.asked)
            group.answers, answers = answers[:count], answers[count:]

    def _take_waiting(self) -> "list[_Group]":
        with self._line:
            groups, self._waiting = self._waiting, []
        return groups

    def _serve_each(self, groups: "list[_Group]") -> None:
        for group in groups:
            try:
                with self.database.write() as store:
                    group.answers = self._round(store, group.asked)
            except Exception as error:  # noqa: BLE001 - this caller is to meet it
                group.error = error

    def _round(self, store: Store, asked: Sequence[Asked]) -> list[Answer]:
        return Round(store, self.engine, self._clock(), asked).run()

    def exchange(self, party: Party, asked: Exchange) -> list[Lease]:
        """Hand in what has ended, and take new steps. Raises Unauthorized, Conflict."""
        return _leases(self.answer([(party, asked)])[0])

    def beat(self, party: Party, asked: Beat) -> Held:
        """Take or keep places, and prolong the leases of running steps. Raises Unauthorized, Conflict."""
        [answer] = self.answer([(party, asked)])
        if isinstance(answer, Held):
            return answer
        raise answer if isinstance(answer, PolyvisorError) else TypeError(answer)

    def admit(self, store: Store, party: Party) -> None:
        """Raise Unauthorized or Conflict unless the party may speak for its agent, in its newest process."""
        if party.agent_id:
            why = holding.refusal(store.agent.find(party.agent_id), party, self._clock())
            if why is not None:
                raise why

    def timetable(self, store: Store) -> Timetable:
        """When steps are due and holds end, and where the servers are; three statements for all places."""
        now = self._clock()
        servers = (url for one in store.control.list() if one.alive(now) for url in one.agent_urls)
        return Timetable(
            now=now, due=store.operation.soonest(), held=store.place.holds(), servers=tuple(dict.fromkeys(servers))
        )

    def inventory(self, party: Party, found: Inventory) -> None:
        """Take a place's word about itself into the store. Raises Unauthorized, Conflict."""

        def take(store: Store) -> None:
            self._check_hold(store, party, found.place, found.epoch)
            inventories.take(store, self.engine.tools, found, self._clock())
            # Looked at again: taking a large inventory takes its time. The place is not locked, for whoever waited here
            # for a beat would hold up in turn what that one's transaction waits for.
            self._check_hold(store, party, found.place, found.epoch)

        self._write(take)

    def glimpse(self, party: Party, found: Glimpse) -> None:
        """Take a place's word about one guest into the store. Raises Unauthorized, Conflict."""

        def take(store: Store) -> None:
            self._check_hold(store, party, found.place, found.epoch)
            inventories.take_glimpse(store, found, self._clock())

        self._write(take)

    def _write(self, act: Callable[[Store], None]) -> None:
        """One transaction, run again where it was undone so that another could go on."""
        for tries_left in (2, 1, 0):
            try:
                with self.database.write() as store:
                    act(store)
                return
            except Exception as error:
                if not (was_undone(error) and tries_left):
                    raise

    def note(self, party: Party, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Keep what whoever serves the place must remember. Raises Unauthorized, Conflict."""
        with self.database.write() as store:
            self._check_hold(store, party, place, epoch, lock=True)
            store.place.note(place, notes)

    def _check_hold(self, store: Store, party: Party, place: str, epoch: int, *, lock: bool = False) -> None:
        self.admit(store, party)
        held = store.place.find(place, lock=lock)
        if held is None or held.holder != party.owner or held.epoch != epoch:
            raise Conflict(f"The place {place} is not this process's, or no longer: what it says of it is passed over.")

    def image_of_step(self, store: Store, party: Party, operation_id: str, epoch: int) -> ImageRef:
        """The image that a step needs which the party's agent has leased under `epoch`. Raises NotFound otherwise."""
        self.admit(store, party)
        row = store.operation.many([operation_id]).get(operation_id)
        kind = self.engine.kinds.get(row.kind) if row is not None else None
        if row is not None and kind is not None and row.state in _LIVE and row.lease_epoch == epoch:
            until = row.lease_until
            owned = row.lease_owner == party.owner or row.lease_owner.startswith(f"{party.agent_id}:")
            image = _image(kind.args(row))
            if owned and until is not None and until > self._clock() and image is not None:
                return image
        raise NotFound(f"No step of operation {operation_id} that needs an image is leased to this agent.")


class _Group:
    """What one caller asks, until it is answered."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.answers: list[Answer] | None = None
        self.error: Exception | None = None


def _leases(answer: Answer) -> list[Lease]:
    if isinstance(answer, list):
        return answer
    raise answer if isinstance(answer, PolyvisorError) else TypeError(answer)


def _image(args: Any) -> ImageRef | None:
    """The image that an operation's arguments name, on the server they are about or by themselves."""
    for holder in (args, getattr(args, "server", None)):
        image = getattr(holder, "image", None)
        if isinstance(image, ImageRef):
            return image
    return None
