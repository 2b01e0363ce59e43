"""Keeps a namespace on this host for each network that its guests are on, where they can ask about themselves."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from polyvisor.model.metadata import MetadataAnswer, MetadataAsked, MetadataPort
from polyvisor.network.metadata import space
from polyvisor.network.metadata.listener import Listener
from polyvisor.network.metadata.plugs import Plugs
from polyvisor.network.metadata.space import Space, Trouble
from polyvisor.network.metadata.switch import Switch
from polyvisor.operate.link import LinkDown
from polyvisor.operate.metadata_link import MetadataLink

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often the networks are asked for where no card is plugged in: guests on vSphere have none here."""
SWEEP_SECONDS = 60.0
"""How often the switch is asked whether all is still plugged in."""
_NAME_DIGITS = 13
_OTHERS = ("the cloud", "the switch")
"""What there may be trouble with, besides networks."""


def outer_name(network_id: str) -> str:
    """What the outer end of a network's card is called: 15 characters, Linux's most."""
    return "pm" + network_id.replace("-", "")[:_NAME_DIGITS]


class MetadataStation:
    """A thread that compares what should be there with what is, and a listener that serves it."""

    def __init__(
        self, link: MetadataLink, switch: Switch, look_seconds: float = LOOK_SECONDS, plugs: Plugs | None = None
    ) -> None:
        """`plugs`: has it look at once where a guest's card is plugged in or taken out."""
        self._link, self._switch, self._look_seconds, self._plugs = link, switch, look_seconds, plugs
        self.listener = Listener(self._answer)
        self._spaces: dict[str, Space] = {}
        self._made: dict[str, MetadataPort] = {}
        self._said: dict[str, str] = {}
        self._swept_at: float | None = None
        self.wanted = 0
        """How many networks had guests here at the last look."""
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="metadata", daemon=True)

    @property
    def networks(self) -> frozenset[str]:
        """Those whose guests are answered here now."""
        return frozenset(self._made)

    def start(self) -> None:
        """Begin."""
        self.listener.start()
        self._thread.start()
        if self._plugs is not None:
            self._plugs.start(self.poke)

    def stop(self) -> None:
        """End, and leave nothing behind."""
        self._stopping = True
        if self._plugs is not None:
            self._plugs.stop()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=60)
        for network_id in list(self._spaces):
            self._try(network_id, partial(self._remove, network_id))
        self.listener.stop()

    def poke(self) -> None:
        """Look soon: something has changed here."""
        self._wake.set()

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self.look()
            except Exception:
                log.exception("the networks whose guests ask for metadata could not be looked at; it looks again")
            self._wake.wait(self._look_seconds)
            self._wake.clear()

    def look(self) -> None:
        """Ask which networks there are, and make it so. While no server answers, all stays as it is."""
        try:
            wanted = {port.network_id: port for port in self._link.ports()}
        except LinkDown as error:
            self._say("the cloud", str(error))
            return
        self.wanted = len(wanted)
        self._said.pop("the cloud", None)
        if self._swept_at is None or time.monotonic() - self._swept_at > SWEEP_SECONDS:
            self._try("the switch", partial(self._sweep, wanted), quietly=not wanted and not self._spaces)
        for network_id in [each for each in self._spaces if each not in wanted]:
            self._try(network_id, partial(self._remove, network_id))
        for port in wanted.values():
            if self._made.get(port.network_id) != port and not self._stopping:
                self._try(port.network_id, partial(self._make, port))
        self._said = {about: said for about, said in self._said.items() if about in {*wanted, *self._spaces, *_OTHERS}}

    def _sweep(self, wanted: dict[str, MetadataPort]) -> None:
        """Unplug what an earlier process, which was killed, has left of networks that are not here any more; and have
        made anew what somebody has taken away."""
        plugged = self._switch.plugged()
        for outer, network_id in plugged.items():
            if network_id not in wanted and network_id not in self._spaces:
                self._switch.unplug(outer)
                space.remove_card(outer)
        for network_id in list(self._made):
            if outer_name(network_id) not in plugged or not _is_there(outer_name(network_id)):
                del self._made[network_id]
        self._swept_at = time.monotonic()

    def _make(self, port: MetadataPort) -> None:
        before = self._made.get(port.network_id)
        if before is not None and before.port_id == port.port_id and before.mtu == port.mtu:
            self._spaces[port.network_id].change(port)
            self._made[port.network_id] = port
            return
        if port.network_id in self._spaces:
            self._remove(port.network_id)
        outer = outer_name(port.network_id)
        # A port that an earlier process has left belongs to a card that is gone: the switch must forget it first, or it
        # goes on listening to that one.
        self._switch.unplug(outer)
        made = space.make(port, outer, software_checksums=self._switch.software_checksums())
        self._spaces[port.network_id] = made
        self.listener.add(port.network_id, made.sockets)
        self._switch.plug(outer, port)
        self._made[port.network_id] = port
        log.info("guests of network %s can ask for their metadata here", port.network_id)

    def _remove(self, network_id: str) -> None:
        """In the order of which each part, left undone, is done at the next look."""
        self._made.pop(network_id, None)
        self._switch.unplug(outer_name(network_id))
        self.listener.remove(network_id)
        self._spaces.pop(network_id).close()

    def _try(self, about: str, act: Callable[[], None], *, quietly: bool = False) -> None:
        """Do it; where it does not go well, that is said once, and it is tried at the next look. `quietly`: nobody
        needs it now (the host may have no switch at all)."""
        try:
            act()
        except Trouble as error:
            if not quietly:
                self._say(about, str(error))
        else:
            self._said.pop(about, None)

    def _say(self, about: str, sentence: str) -> None:
        if self._said.get(about) != sentence:
            self._said[about] = sentence
            which = about if about in _OTHERS else f"network {about}"
            log.warning("the metadata service has trouble with %s, and tries again: %s", which, sentence)

    def _answer(self, asked: MetadataAsked) -> MetadataAnswer:
        try:
            return self._link.ask(asked)
        except LinkDown as error:
            log.info("a guest of network %s could not be answered: %s", asked.network_id, error)
            return MetadataAnswer(
                status=503,
                body=b"The cloud cannot be asked for metadata at this moment: ask again.\n",
                retry_after_seconds=2,
            )


def _is_there(card: str) -> bool:
    try:
        socket.if_nametoindex(card)
    except OSError:
        return False
    return True
