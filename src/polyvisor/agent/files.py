"""The agent's directory: who it is, its key and certificate, and which servers it knows. For its own eyes only."""

import contextlib
import fcntl
import logging
import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography import x509

from polyvisor.agent.private_file import write_private
from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record

log = logging.getLogger(__name__)

KEY_AND_CERTIFICATE = "agent.pem"
AUTHORITY = "authority.pem"
IDENTITY = "agent.json"
SERVERS = "servers.json"
STATUS = "status.json"
RUNS = "runs"
LOCK = "lock"


class Identity(Record):
    """Who this agent is to its cloud."""

    agent_id: str
    name: str
    cloud_id: str
    url: str
    """The server that it joined at; tried when all that were told since do not answer."""
    config: str = ""
    """The polyvisor.toml with its hypervisors, as a whole path."""


class AgentFiles:
    """What lies in an agent's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, name: str) -> Path:
        """A file of this directory."""
        return self.directory / name

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the directory: two processes of one agent would take each other's places. Raises Invalid."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path(LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Invalid(
                    f"An agent is running with {self.directory} already: stop it first, or choose another directory "
                    "with --data."
                ) from None
            yield

    def running(self) -> bool:
        """Whether a process holds the directory."""
        try:
            with self.path(LOCK).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def joined(self) -> bool:
        """Whether an agent lives here."""
        return self.path(IDENTITY).exists()

    def identity(self) -> Identity:
        """Who lives here. Raises Invalid when nobody does."""
        try:
            return msgspec.json.decode(self.path(IDENTITY).read_bytes(), type=Identity)
        except FileNotFoundError:
            raise Invalid(
                f"No agent has joined a cloud with the directory {self.directory}: make a token on a server with "
                "`polyvisor token create`, and use it here with `polyvisor agent join URL TOKEN`."
            ) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise Invalid(f"{self.path(IDENTITY)} cannot be read: {error}. Join again, with a new token.") from None

    def keep(self, identity: Identity, authority: str, key_and_certificate: bytes) -> None:
        """Write all that a join has brought; the identity last, for where it is, all is."""
        write_private(self.path(AUTHORITY), authority.encode())
        write_private(self.path(KEY_AND_CERTIFICATE), key_and_certificate)
        write_private(self.path(IDENTITY), msgspec.json.encode(identity))

    def keep_certificate(self, key_and_certificate: bytes) -> None:
        """Replace key and certificate, both at once."""
        write_private(self.path(KEY_AND_CERTIFICATE), key_and_certificate)

    def certificate(self) -> x509.Certificate:
        """The agent's certificate. Raises Invalid when it cannot be read."""
        try:
            return x509.load_pem_x509_certificate(_certificate_part(self.path(KEY_AND_CERTIFICATE).read_bytes()))
        except (OSError, ValueError) as error:
            raise Invalid(
                f"{self.path(KEY_AND_CERTIFICATE)} cannot be used: {error}. Join again, with a new token."
            ) from None

    def context(self) -> ssl.SSLContext:
        """TLS that shows our certificate, and trusts servers of our cloud's authority alone. Raises Invalid."""
        try:
            context = trusting(self.path(AUTHORITY).read_text())
            context.load_cert_chain(self.path(KEY_AND_CERTIFICATE))
        except (OSError, ssl.SSLError) as error:
            raise Invalid(
                f"The certificates in {self.directory} cannot be used: {error}. Join again, with a new token."
            ) from None
        return context

    def servers(self) -> tuple[str, ...]:
        """The servers that were told last, and the one it joined at."""
        known: tuple[str, ...] = ()
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # it was never told, or the disk was full then
            known = msgspec.json.decode(self.path(SERVERS).read_bytes(), type=tuple[str, ...])
        return tuple(dict.fromkeys((*known, self.identity().url)))

    def new_session(self) -> str:
        """A name for this process, "runNUMBER-RANDOM".

        Runs are counted, so that what an earlier one still says, held up on the way, is known to be old.
        """
        try:
            run = int(self.path(RUNS).read_text()) + 1
        except (OSError, ValueError):
            run = 1
        try:
            write_private(self.path(RUNS), str(run).encode())
        except OSError as error:
            log.error("the number of this run could not be written to %s: %s", self.path(RUNS), error)
        return f"run{run:06d}-{uuid.uuid4().hex[:24]}"

    def keep_servers(self, urls: tuple[str, ...]) -> None:
        """Remember where the cloud can be reached."""
        write_private(self.path(SERVERS), msgspec.json.encode(urls))


def trusting(authority: str) -> ssl.SSLContext:
    """TLS that trusts one authority (PEM) and no other, for the names in the addresses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority)
    return context


def _certificate_part(pem: bytes) -> bytes:
    begin = pem.find(b"-----BEGIN CERTIFICATE-----")
    if begin < 0:
        raise ValueError("it holds no certificate")
    return pem[begin:]
