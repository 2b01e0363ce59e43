"""What people ask of the cloud in a history, and what they were answered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from polyvisor.model.aggregate import AUTOMATIC, EVACUATE_DISKS_KEY, EVACUATE_KEY, REBUILD
from polyvisor.model.errors import PolyvisorError
from polyvisor.model.order import HostDrain
from polyvisor.operate import host_drain
from polyvisor.operate.evacuation import OPERATOR
from polyvisor.operate.unasked import begin_unasked
from polyvisor.store.outage import MaybeCommitted
from polyvisor.store.store import Store
from simulation.api import Answer
from simulation.database import Lost
from simulation.hub import Process
from simulation.network import NoAnswer
from simulation.standins import new_uuid

if TYPE_CHECKING:
    from simulation.world import World

FLAVOR = "1"
IMAGES = tuple(f"22222222-2222-4222-8222-22222222222{n}" for n in range(2))
ANSWER_SECONDS = 20.0
MOST_TRIES = 3

ACTIONS: dict[str, dict[str, Any]] = {
    "start": {"os-start": None},
    "stop": {"os-stop": None},
    "pause": {"pause": None},
    "unpause": {"unpause": None},
    "suspend": {"suspend": None},
    "resume": {"resume": None},
    "reboot": {"reboot": {"type": "SOFT"}},
    "hard reboot": {"reboot": {"type": "HARD"}},
    "console log": {"os-getConsoleOutput": {"length": 10}},
}


class Wish(msgspec.Struct, frozen=True):
    """Something that somebody asks for at a moment."""

    at: float
    kind: str
    which: int
    """Chooses the server, the image or the host: its number modulo how many there are."""
    to: int
    """Chooses the server process that is asked first."""


class Users:
    """Sends the wishes, tries again where no answer comes, and remembers what was answered with success."""

    def __init__(self, world: World, wishes: tuple[Wish, ...]) -> None:
        self.world = world
        self.process = Process(world.hub, "users")
        self.servers: list[str] = []
        """Ids of the servers whose creation was answered with success."""
        self.deleted: set[str] = set()
        """Ids of those whose deletion was answered with success."""
        self.delete_asked: set[str] = set()
        self.images_deleted: set[str] = set()
        self.refused = self.granted = 0
        for wish in wishes:
            world.hub.at(wish.at, lambda wish=wish: self._begin(wish))  # type: ignore[misc]

    def _begin(self, wish: Wish) -> None:
        self.process.spawn(lambda: self._ask(wish), wish.kind)

    def _ask(self, wish: Wish) -> None:
        if wish.kind == "create":
            body = {"name": f"s{wish.which}", "flavorRef": FLAVOR, "imageRef": IMAGES[wish.which % len(IMAGES)],
                    "networks": "none"}  # fmt: skip
            answer = self._request(wish, "POST", "/servers", {"server": body})
            if answer is not None and answer.status == 202:
                self.servers.append(answer.body["server"]["id"])
            return
        if wish.kind == "image delete":
            self._delete_image(wish)
            return
        if wish.kind in ("drain", "undrain"):
            self._drain(wish)
            return
        if wish.kind in ("disable", "enable"):
            host = self.world.host_names[wish.which % len(self.world.host_names)]
            body = {"host": host, "binary": "nova-compute"}
            self._request(wish, "PUT", f"/os-services/{wish.kind}", body, version="2.1")
            return
        if not self.servers:
            return
        id = self.servers[wish.which % len(self.servers)]
        if wish.kind == "delete":
            self.delete_asked.add(id)
            answer = self._request(wish, "DELETE", f"/servers/{id}", None)
            if answer is not None and answer.status == 204:
                self.deleted.add(id)
        else:
            self._request(wish, "POST", f"/servers/{id}/action", ACTIONS[wish.kind])

    def _request(self, wish: Wish, method: str, path: str, body: Any, version: str = "2.95") -> Answer | None:
        world = self.world
        for number in range(MOST_TRIES):
            server = world.servers[(wish.to + number) % len(world.servers)]
            world.say("users", "ask %s to %s %s", server.name, method, path if body is None else f"{path} {body}")
            try:
                answer: Answer = world.network.call(
                    self.process,
                    server.process,
                    lambda server=server: server.answer(method, path, body, version),  # type: ignore[misc]
                    ANSWER_SECONDS,
                    f"{method} {path}",
                )
            except (NoAnswer, Lost, MaybeCommitted) as error:
                world.say("users", "have no answer from %s: %s", server.name, error)
                continue
            world.say("users", "are answered %d %s", answer.status, _short(answer.body))
            if answer.status >= 500:
                world.note_error_answer(answer, method, path)
                continue
            self.granted += answer.status < 400
            self.refused += answer.status >= 400
            return answer
        return None

    def ask_for_automatic_evacuation(self) -> None:
        """The administrator sets the policy of the aggregate that simulated hosts join."""
        self.process.spawn(self._set_policy, "policy")

    def _set_policy(self) -> None:
        wish = Wish(at=0.0, kind="policy", which=0, to=0)
        for _ in range(MOST_TRIES):
            found = self._request(wish, "GET", "/os-aggregates", None)
            aggregates = found.body["aggregates"] if found is not None else []
            aggregates = [each for each in aggregates if each["name"] == "simulated"]
            if aggregates:
                told = {"metadata": {EVACUATE_KEY: AUTOMATIC, EVACUATE_DISKS_KEY: REBUILD}}
                self._request(wish, "POST", f"/os-aggregates/{aggregates[0]['id']}/action", {"set_metadata": told})
                return
            self.world.hub.sleep(2.0)

    def evacuate(self, place: str) -> None:
        """The administrator knows that the place's hosts are off, and has their servers brought up elsewhere."""
        there = self.world.hypervisors[place]
        ours = [guest for guest in there.estate.guests() if guest.server_id not in there.strangers]
        for number, guest in enumerate(ours):
            wish = Wish(at=0.0, kind="evacuate", which=0, to=number)
            path = f"/servers/{guest.server_id}/action"
            self.process.spawn(functools.partial(self._request, wish, "POST", path, {"evacuate": {}}), "evacuate")

    def _delete_image(self, wish: Wish) -> None:
        """As the Image API does it: the record goes first."""
        id = IMAGES[wish.which % len(IMAGES)]

        def delete(store: Store, now: datetime) -> None:
            if id in store.image.ids():
                store.image.delete(id, now)

        if self._write(wish, f"delete image {id}", delete):
            self.images_deleted.add(id)

    def _drain(self, wish: Wish) -> None:
        """As `polyvisor host drain` and `undrain` do it on a server's machine."""
        host = self.world.host_names[wish.which % len(self.world.host_names)]
        order = HostDrain(host=host, rebuild=not self.world.plan.shared)
        id = str(new_uuid())

        def drain(store: Store, now: datetime) -> None:
            host_drain.check_can_be_drained(store.host.get(host))
            target = host_drain.target(host)
            if not store.operation.unfinished(target):
                begin_unasked(store, id, "host.drain", target, order, now, user_id=OPERATOR)

        def undrain(store: Store, now: datetime) -> None:
            end_drain(store, store.host.get(host).name, now)

        self._write(wish, f"{wish.kind} {host}", drain if wish.kind == "drain" else undrain)

    def _write(self, wish: Wish, what: str, act: Callable[[Store, datetime], None]) -> bool:
        """Have a server write what is none of the Compute API's; whether it is known to have happened."""
        world = self.world
        server = world.servers[wish.to % len(world.servers)]

        def write() -> None:
            if not server.ready:
                raise NoAnswer("connection refused")
            with server.database.write() as store:
                act(store, server.clock())

        try:
            world.network.call(self.process, server.process, write, ANSWER_SECONDS, what)
        except (NoAnswer, Lost, MaybeCommitted) as error:
            world.say("users", "do not know whether they %s: %s", what, error)
            return False
        except PolyvisorError as error:
            world.say("users", "may not %s: %s", what, error.sentence)
            return False
        world.say("users", "%s", what)
        return True


def end_drain(store: Store, host: str, now: datetime) -> None:
    """What is on its way goes on; nothing comes back."""
    store.operation.cancel(host_drain.target(host), now)
    store.host.enable(host, True, "")


def _short(body: Any) -> str:
    text = str(body)
    return text if len(text) <= 200 else text[:200] + "…"
