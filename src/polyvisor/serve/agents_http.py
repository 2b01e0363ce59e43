"""The listener for agents: uvicorn with mutual TLS, on a thread and an event loop of its own."""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polyvisor.agent.private_file import write_private
from polyvisor.api.agent.app import AgentApp
from polyvisor.api.agent.authority import sign_server
from polyvisor.model.agent import Authority
from polyvisor.model.errors import Invalid
from polyvisor.serve.configuration import listen_address
from polyvisor.serve.http import bind

log = logging.getLogger(__name__)

RENEW_BEFORE = timedelta(days=10)
LOOK_SECONDS = 3600.0
STOP_SECONDS = 10
GOODBYE_SECONDS = 0.5


class PeerProtocol(HttpToolsProtocol):
    """Puts the verified certificate of the other end into each request's scope, as ASGI's TLS extension has it."""

    _tls: dict[str, Any] | None = None

    def on_message_begin(self) -> None:
        """As uvicorn does, and then tell who is at the other end."""
        super().on_message_begin()
        if self._tls is None:
            self._tls = _tls(self.transport.get_extra_info("ssl_object"))
        cast("dict[str, Any]", self.scope)["extensions"] = {"tls": self._tls}


def _tls(connection: Any) -> dict[str, Any]:
    shown = connection.getpeercert(binary_form=True) if connection is not None else None
    chain = [ssl.DER_cert_to_PEM_cert(shown)] if shown else []
    return {"server_cert": None, "client_cert_chain": chain, "client_cert_name": None, "client_cert_error": None}


class OwnCertificate:
    """This server's certificate for agents: signed by the cloud's authority, renewed while connections come and go."""

    def __init__(self, authority: Authority, names: Iterable[str], directory: Path) -> None:
        """`directory`: where certificate and key are kept for OpenSSL to read, for this user alone."""
        self._authority, self._names, self._directory = authority, tuple(names), directory
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        # A certificate that is shown must be good; who may go without one is the application's to say.
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.load_verify_locations(cadata=authority.certificate)
        # Nobody comes back with a ticket: connections are kept, and a new one shows its certificate.
        self.context.num_tickets = 0
        self.expires_at: datetime | None = None

    def renew_when_due(self, now: datetime) -> bool:
        """Make a certificate where there is none, or a new one where it ends soon: new connections are shown it."""
        if self.expires_at is not None and now < self.expires_at - RENEW_BEFORE:
            return False
        made = sign_server(self._authority, self._names, now)
        chain, key = self._directory / "server.pem", self._directory / "server.key"
        write_private(key, made.key.encode())
        write_private(chain, made.certificate.encode())
        self.context.load_cert_chain(chain, key)
        self.expires_at = made.expires_at
        return True


class AgentsListener:
    """Serves agents from `start` to `stop`."""

    def __init__(
        self,
        app: AgentApp,
        sock: socket.socket,
        certificate: OwnCertificate,
        clock: Callable[[], datetime],
    ) -> None:
        self._app, self._sock, self._certificate, self._clock = app, sock, certificate, clock
        self._server = _Server(app, certificate.context)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, name="agents", daemon=True),
            threading.Thread(target=self._renew_loop, name="agents-certificate", daemon=True),
        ]

    def start(self) -> None:
        """Begin, and return once agents are served."""
        self._certificate.renew_when_due(self._clock())
        for thread in self._threads:
            thread.start()
        self._server.ready.wait()

    def stop(self) -> None:
        """Answer long polls at once, and what else is under way, and end."""
        self._stopping.set()
        if self._server.loop is not None and self._threads[0].is_alive():
            asyncio.run_coroutine_threadsafe(self._app.close(), self._server.loop).result(STOP_SECONDS)
        self._server.should_exit = True
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * STOP_SECONDS)
        self._app.release()
        self._sock.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._sock])
        finally:
            self._server.ready.set()

    def _renew_loop(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                if self._certificate.renew_when_due(self._clock()):
                    log.info("the certificate that agents are shown was renewed")
            except Exception:
                log.exception("the certificate that agents are shown could not be renewed; trying again in an hour")


class _Server(uvicorn.Server):
    """Uvicorn, which tells when it is ready and on which loop it runs."""

    def __init__(self, app: AgentApp, context: ssl.SSLContext) -> None:
        super().__init__(
            uvicorn.Config(
                cast("Any", app),
                loop="uvloop",
                http=PeerProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                date_header=True,
                # Longer than an agent's pauses: a new connection costs both ends a handshake.
                timeout_keep_alive=90,
                timeout_graceful_shutdown=STOP_SECONDS,
                ssl_context_factory=lambda _config, _default: context,
            )
        )
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, and then say so."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does; an agent that says no goodbye on its idle connection is not waited for."""
        ending = asyncio.get_running_loop().create_task(self._end_idle())
        await super().shutdown(sockets)
        ending.cancel()

    async def _end_idle(self) -> None:
        while True:
            await asyncio.sleep(GOODBYE_SECONDS)
            for connection in list(self.server_state.connections):
                if isinstance(connection, PeerProtocol) and (
                    not connection.cycle or connection.cycle.response_complete
                ):
                    connection.transport.abort()


def bind_agents(listen: str) -> tuple[socket.socket, str, int]:
    """A socket for `[agents] listen`, with its host and port. Raises Invalid."""
    host, port = listen_address(listen)
    try:
        sock = bind(host, port)
    except Invalid as error:
        raise Invalid(error.sentence.partition(" Choose")[0] + " Choose another address as [agents] listen.") from None
    return sock, host, int(sock.getsockname()[1])


def urls_and_names(public_urls: tuple[str, ...], host: str, port: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where agents reach this server, and the names and addresses that its certificate must carry. Raises Invalid."""
    names = ["localhost", "127.0.0.1", socket.gethostname()]
    for url in public_urls:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise Invalid(f"[agents] public_urls: write {url!r} as https://HOST:PORT.")
        names.append(parts.hostname)
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - asked for by the operator; every connection is by mutual TLS
        names.append(host)
    shown = names[-1] if host not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104
    own = f"https://[{shown}]:{port}" if ":" in shown else f"https://{shown}:{port}"
    return public_urls or (own,), tuple(dict.fromkeys(names))
