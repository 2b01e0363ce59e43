"""Answers guests: who asks is known by the network and the address that the question came from, and by nothing else."""

import logging
import os
from collections.abc import Callable

import msgspec
from sqlalchemy.exc import IntegrityError

from polyvisor.api.metadata.tree import is_password, look_up, tokens_of
from polyvisor.model.instance_metadata import Instance
from polyvisor.model.metadata import LARGEST_PASSWORD_BYTES, LARGEST_PATH, MetadataAnswer, MetadataAsked, MetadataPort
from polyvisor.model.record import Record
from polyvisor.store.database import Database
from polyvisor.store.metadata_port import Found, Hosts
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

_SEED_BYTES = 512
_NOBODY = MetadataAnswer(status=404, body=b"There is no metadata for the address that this was asked from.\n")
_NOTHING = MetadataAnswer(status=404, body=b"There is nothing by this name.\n")


class Speaker(Record):
    """Who hands in guests' questions: an agent, or the process itself for its own places."""

    agent_id: str = ""
    places: tuple[str, ...] = ()


Admit = Callable[[Store], None]
"""Raises where the speaker is not to be listened to."""


class MetadataService:
    """Stands before one database, as any number of others may."""

    def __init__(self, database: Database, seed: Callable[[], bytes] = lambda: os.urandom(_SEED_BYTES)) -> None:
        """`seed` makes what guests feed their own random generators with, new at each call."""
        self._database, self._seed = database, seed

    def ports(self, speaker: Speaker, admit: Admit = lambda _store: None) -> tuple[MetadataPort, ...]:
        """The networks that guests of the speaker's hosts are on, each with its metadata port. Two statements."""
        with self._database.read() as store:
            admit(store)
            return store.metadata_port.of_hosts(_hosts(store, speaker))

    def answer(self, speaker: Speaker, asked: MetadataAsked, admit: Admit = lambda _store: None) -> MetadataAnswer:
        """The answer to a guest; one of a server on no host of the speaker's is not known. About ten statements."""
        if len(asked.path) > LARGEST_PATH:
            return _sentence(414, "The path is longer than any that there is.")
        tokens = tokens_of(asked.path)
        with self._database.read() as store:
            admit(store)
            asking = store.metadata_port.find(asked.network_id, asked.address, _hosts(store, speaker))
            instance = _instance(store, asking) if asking is not None else None
        if instance is None:
            log.info("no server has the address %s on network %s here", asked.address, asked.network_id)
            return _NOBODY
        if asked.method == "POST" and is_password(tokens):
            return self._post_password(instance.server.id, asked.body)
        if asked.method not in ("GET", "HEAD"):
            return _sentence(405, "Metadata is read by GET; a password is posted, and nothing else is.")
        found = look_up(instance, tokens, self._seed)
        if found is None:
            return _NOTHING
        return MetadataAnswer(status=200, body=found.body, content_type=found.content_type)

    def _post_password(self, server_id: str, body: bytes) -> MetadataAnswer:
        """Kept once. The same again is no conflict: the answer to the first may have been lost."""
        if len(body) > LARGEST_PASSWORD_BYTES:
            return _sentence(400, f"The password is larger than {LARGEST_PASSWORD_BYTES} bytes.")
        try:
            password = body.decode("ascii")
        except UnicodeDecodeError:
            return _sentence(400, "The password is not ASCII: post it encrypted, as base64.")
        if not password or "\0" in password:
            return _sentence(400, "There is no password in the request's body.")
        try:
            with self._database.write() as store:
                kept = store.server_password.set_once(server_id, password)
        except IntegrityError:  # the server was purged at this moment
            return _NOBODY
        return MetadataAnswer(status=200) if kept else _sentence(409, "This server has posted a password already.")


def _hosts(store: Store, speaker: Speaker) -> Hosts:
    if speaker.agent_id:
        return store.metadata_port.hosts_of_agent(speaker.agent_id)
    return store.metadata_port.hosts_at(speaker.places)


def _instance(store: Store, asking: Found) -> Instance | None:
    """The server that has the port, with all that its guest may be told of it."""
    server = store.server.find(asking.device_id)
    tags = {} if server is None else {each.port_id: each.tag for each in server.ports}
    if server is None or asking.port_id not in tags:
        return None
    nics = store.port.nics(list(tags))
    return Instance(
        server=server,
        nics=tuple(msgspec.structs.replace(nic, tag=tags[nic.port_id]) for nic in nics),
        security_groups=store.metadata_port.security_groups(tags),
        floating_ips=store.metadata_port.floating_ips(tags),
        password=store.server_password.get(server.id),
    )


def _sentence(status: int, sentence: str) -> MetadataAnswer:
    return MetadataAnswer(status=status, body=f"{sentence}\n".encode())
