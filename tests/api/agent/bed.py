"""A server for agents on a socket of its own, and agents that speak to it as they will: over TLS, with certificates."""

import http.client
import json
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from polyvisor.api.agent import authority as authorities
from polyvisor.api.agent.app import AgentApp
from polyvisor.api.agent.joining import new_token
from polyvisor.api.agent.settings import AgentSettings
from polyvisor.image.files import FileBackend
from polyvisor.model.agent import Authority
from polyvisor.model.settings import ComputeSettings
from polyvisor.operate.engine import Engine
from polyvisor.operate.gate import Gate
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.tools import ControlTools
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.serve.agents_http import AgentsListener, OwnCertificate, bind_agents
from tests.databases import with_tables

PATIENCE_SECONDS = 180.0


@dataclass
class Answered:
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, str]
    content: bytes


class Bed:
    """Gate, application and listener over a database; `now` is the cloud's clock, moved by hand where it is set."""

    def __init__(self, folder: Path, database_url: str, settings: AgentSettings | None = None) -> None:
        self.folder = folder
        self.now: datetime | None = None
        self.database = with_tables(database_url)
        self.engine = Engine(dict(KINDS), ControlTools(ComputeSettings(), ScheduleSettings(), seed=1))
        self.gate = Gate(self.database, self.engine, self.clock)
        self.authority = authorities.ensure(self.database, self.clock())
        self.backend = FileBackend(folder / "images")
        self.settings = settings or AgentSettings(listen="127.0.0.1:0")
        self.app = AgentApp(self.database, self.gate, self.authority, self.backend, self.settings, self.clock)
        sock, _, self.port = bind_agents("127.0.0.1:0")
        self.certificate = OwnCertificate(self.authority, ["localhost", "127.0.0.1"], folder / "agents-tls")
        self.listener = AgentsListener(self.app, sock, self.certificate, self.clock)
        self.listener.start()

    def clock(self) -> datetime:
        """The cloud's."""
        return self.now or datetime.now(UTC)

    @property
    def url(self) -> str:
        """Where agents dial."""
        return f"https://127.0.0.1:{self.port}"

    def token(self, name: str = "", places: tuple[str, ...] = (), lifetime: timedelta = timedelta(hours=1)) -> str:
        """What `polyvisor token create` prints."""
        kept, text = new_token(
            uuid.uuid4().hex[:12], self.authority, name=name, places=places, now=self.clock(), lifetime=lifetime
        )
        with self.database.write() as store:
            store.join_token.add(kept)
        return text

    def join(self, name: str, *places: str, token: str | None = None) -> "Caller":
        """An agent that has joined."""
        caller = Caller(self, name)
        answered = caller.join(token or self.token(), *places)
        assert answered.status == 200, answered.body
        return caller

    def __enter__(self) -> "Bed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.stop()
        self.database.close()


class Caller:
    """One agent, or somebody who says so."""

    def __init__(self, bed: Bed, name: str = "nobody") -> None:
        self.bed, self.name = bed, name
        self.session = str(uuid.uuid4())
        self.id = ""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = ""
        self._connection: http.client.HTTPSConnection | None = None

    def csr(self) -> str:
        """A signing request for its key."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever it likes")])
        made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def join(self, token: str, *places: str) -> Answered:
        """POST /join; the certificate is kept."""
        offered = [{"name": place, "driver": "simulated"} for place in places]
        answered = self.post(
            "join", {"token": token, "name": self.name, "csr": self.csr(), "session": self.session, "places": offered}
        )
        if answered.status == 200:
            self.id = answered.body["agent_id"]
            self.show(answered.body["certificate"])
        return answered

    def show(self, certificate: str, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        """Use this certificate from the next connection on."""
        self.certificate, self.key = certificate, key or self.key
        self.close()

    def post(self, what: str, body: Any) -> Answered:
        """POST /agent/v1/WHAT."""
        return self.ask("POST", f"/agent/v1/{what}", msgspec.json.encode(body))

    def say(self, what: str, **fields: Any) -> Answered:
        """The same, with this process's session."""
        return self.post(what, {"session": self.session, **fields})

    def get(self, path: str, headers: Mapping[str, str] = {}) -> Answered:
        """GET /agent/v1/PATH."""
        return self.ask("GET", f"/agent/v1/{path}", None, headers)

    def beat(self, *places: str, **more: Any) -> Answered:
        """A sign of life, with these places on offer."""
        offered = [{"name": place, "driver": "simulated"} for place in places]
        return self.say("beat", beat={"places": offered, **more})

    def roles(self, *places: str, **more: Any) -> dict[str, str]:
        """What the beat's answer says it is to each place."""
        answered = self.beat(*places, **more)
        assert answered.status == 200, answered.body
        return {hold["place"]: hold["role"] for hold in answered.body["holds"]}

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
    ) -> Answered:
        """One request, over a connection that is kept."""
        connection = self._connected()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if response.getheader("connection") == "close":
            self.close()
        shown = {name.lower(): value for name, value in response.getheaders()}
        is_json = shown.get("content-type") == "application/json"
        return Answered(response.status, json.loads(content) if is_json else None, shown, content)

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            context = ssl.create_default_context(cadata=self.bed.authority.certificate)
            if self.certificate:
                bundle = self.bed.folder / f"{uuid.uuid4().hex}.pem"
                bundle.write_bytes(pem(self.key) + self.certificate.encode())
                context.load_cert_chain(bundle)
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self.bed.port, context=context, timeout=PATIENCE_SECONDS
            )
        return self._connection

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as OpenSSL reads it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def foreign_authority() -> Authority:
    """One that looks like the cloud's own, and is not."""
    return authorities._make(datetime.now(UTC))
