"""A steady load of creates and deletes, which writes down every answer that it was given."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ha.client import Client, NoAnswer, Refused
from testbed.audit import Ledger

MOST_SERVERS = 4
"""How many servers one user keeps at a time."""
_SERVERS = "/compute/v2.1/servers"
NOT_FOUND = 404


@dataclass(frozen=True)
class Sample:
    """One request: when it was begun and ended, by time.monotonic, and whether there was an answer."""

    begun: float
    ended: float
    answered: bool


@dataclass(frozen=True)
class Wish:
    """What a user asks for: the name says who, the image decides where."""

    user: str
    image_id: str
    flavor_id: str


class Load:
    """Users that create and delete, each in a thread of its own, until `stop`; which, is decided by the seed."""

    def __init__(self, client: Callable[[], Client], wishes: Sequence[Wish], seed: int, pause_seconds: float) -> None:
        """`pause_seconds`: how long each user rests after a request, on average."""
        self.ledger = Ledger()
        self.samples: list[Sample] = []
        self.refusals: list[str] = []
        self._pause_seconds = pause_seconds
        self._lock = threading.Lock()
        self._going = threading.Event()
        self._stopping = threading.Event()
        self._found: dict[str, list[str]] = {wish.user: [] for wish in wishes}
        self._again: set[str] = set()
        """Undecided ones that their users have again."""
        self._busy = threading.Semaphore(len(wishes))
        self._users = len(wishes)
        self._threads = [
            threading.Thread(target=self._use, args=(client(), wish, random.Random(f"{seed}-{wish.user}")), daemon=True)
            for wish in wishes
        ]

    def start(self) -> None:
        """Begin, or go on after a pause."""
        self._going.set()
        for thread in self._threads:
            if not thread.ident:
                thread.start()

    def pause(self) -> None:
        """Send no more requests, and return when those that are under way have ended."""
        self._going.clear()
        for _ in range(self._users):
            self._busy.acquire()
        for _ in range(self._users):
            self._busy.release()

    def stop(self) -> None:
        """End for good."""
        self._stopping.set()
        self._going.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()

    def adopt(self, present: Mapping[str, str]) -> None:
        """Tell the users which of their servers are there (id → name): what got no answer is theirs to delete, too.

        A delete without an answer stays undecided until another one is answered: a server that was cut off from its
        database may still take it, after this look.
        """
        with self._lock:
            for id, name in present.items():
                if name in self.ledger.unanswered:
                    self.ledger.unanswered.discard(name)
                    self.ledger.created[id] = name
                elif id not in self.ledger.undecided or id in self._again:
                    continue
                else:
                    self._again.add(id)
                self._found[name.rpartition("-")[0]].append(id)

    def answered_after(self, moment: float) -> float | None:
        """Seconds from `moment` until the first answer to a request that was begun after it; None = none yet."""
        with self._lock:
            ends = [sample.ended for sample in self.samples if sample.begun >= moment and sample.answered]
        return min(ends) - moment if ends else None

    def asked_since(self, moment: float) -> tuple[int, int]:
        """How many requests ended since `moment`, and how many of them without an answer."""
        with self._lock:
            ended = [sample for sample in self.samples if sample.ended >= moment]
        return len(ended), sum(not sample.answered for sample in ended)

    def _use(self, client: Client, wish: Wish, chance: random.Random) -> None:
        mine: list[str] = []
        number = 0
        while not self._stopping.is_set():
            self._going.wait()
            with self._busy:
                if not self._going.is_set() or self._stopping.is_set():
                    continue
                with self._lock:
                    mine += self._found[wish.user]
                    self._found[wish.user].clear()
                if len(mine) < MOST_SERVERS and (not mine or chance.random() < 0.6):
                    number += 1
                    self._create(client, wish, f"{wish.user}-{number}", mine)
                else:
                    self._delete(client, mine.pop(chance.randrange(len(mine))))
            self._stopping.wait(self._pause_seconds * chance.uniform(0.5, 1.5))
        client.close()

    def _create(self, client: Client, wish: Wish, name: str, mine: list[str]) -> None:
        server = {"name": name, "imageRef": wish.image_id, "flavorRef": wish.flavor_id, "networks": "none"}
        begun = time.monotonic()
        try:
            answer = client.ask("POST", _SERVERS, {"server": server})
        except NoAnswer:
            with self._lock:
                self.ledger.unanswered.add(name)
                self.samples.append(Sample(begun, time.monotonic(), answered=False))
            return
        except Refused as refused:
            with self._lock:
                self.refusals.append(str(refused))
            return
        id = str(answer.json()["server"]["id"])
        with self._lock:
            self.ledger.created[id] = name
            self.samples.append(Sample(begun, time.monotonic(), answered=True))
        mine.append(id)

    def _delete(self, client: Client, id: str) -> None:
        begun = time.monotonic()
        try:
            client.ask("DELETE", f"{_SERVERS}/{id}")
        except NoAnswer:
            with self._lock:
                self.ledger.undecided.add(id)
                self._again.discard(id)
                self.samples.append(Sample(begun, time.monotonic(), answered=False))
            return
        except Refused as refused:
            with self._lock:
                if refused.status != NOT_FOUND or id not in self.ledger.undecided:
                    self.refusals.append(str(refused))
                    return
        with self._lock:
            self.ledger.undecided.discard(id)
            self.ledger.deleted.add(id)
            self.samples.append(Sample(begun, time.monotonic(), answered=True))
