"""The listener of /metrics, /healthz and /readyz: on threads of its own, so that it answers when the API is full."""

import gzip
import hmac
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.exposition import choose_encoder

from polyvisor.observe.health import Health

log = logging.getLogger(__name__)

WRITE_SECONDS = 15.0
_PLAIN = "text/plain; charset=utf-8"


class Listener:
    """Serves a registry on a socket."""

    def __init__(
        self,
        sock: socket.socket,
        registry: CollectorRegistry,
        health: Health,
        token_file: Path | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """`sock` listens already; `tls` are a certificate chain and its key."""
        handler = _handler(registry, health, token_file)
        self._server = _Server(sock, handler, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        scheme = "https" if tls else "http"
        host, port = sock.getsockname()[:2]
        self.url = f"{scheme}://[{host}]:{port}/metrics" if ":" in host else f"{scheme}://{host}:{port}/metrics"

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, sock: socket.socket, handler: type[BaseHTTPRequestHandler], tls: tuple[Path, Path] | None
    ) -> None:
        super().__init__(sock.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """On the request's own thread: a slow handshake holds up nobody else."""
        request.settimeout(10)
        if self._tls is not None:
            request = self._tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no trouble of ours."""
        log.debug("a reader of metrics at %s broke off", client_address)


def _handler(registry: CollectorRegistry, health: Health, token_file: Path | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "polyvisor"
        sys_version = ""

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/healthz":
                self._send(*health.alive(), "application/json")
            elif path == "/readyz":
                self._send(*health.ready(), "application/json")
            elif path != "/metrics":
                self._send(404, b"Here are /metrics, /healthz and /readyz.\n", _PLAIN)
            elif not _may_read(self.headers.get("Authorization", ""), token_file):
                self._send(401, b"Send the token of [metrics] token_file: Authorization: Bearer TOKEN.\n", _PLAIN)
            else:
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._send(200, encode(registry), content_type)

        def _send(self, status: int, body: bytes, content_type: str) -> None:
            packed = "gzip" in self.headers.get("Accept-Encoding", "") and len(body) > 1000
            body = gzip.compress(body, 1) if packed else body
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if packed:
                self.send_header("Content-Encoding", "gzip")
            if status == 401:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are not logged."""

    return Handler


def _may_read(authorization: str, token_file: Path | None) -> bool:
    if token_file is None:
        return True
    try:
        wanted = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        log.error("the token for metrics cannot be read, so nobody may: %s", error.strerror)
        return False
    scheme, _, given = authorization.partition(" ")
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode())


class Textfile:
    """Writes the registry to a file, for the node exporter to read where no port may be opened."""

    def __init__(self, path: Path, registry: CollectorRegistry, period_seconds: float = WRITE_SECONDS) -> None:
        self._path, self._registry, self._period_seconds = path, registry, period_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="metrics-file", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, and take the file away: what it says would be true no longer."""
        self._stopping.set()
        self._thread.join(timeout=5)
        self._path.unlink(missing_ok=True)

    def _loop(self) -> None:
        failed: Callable[..., None] = log.warning
        while True:
            try:
                # Written beside it and moved there, so that nobody reads half of it.
                write_to_textfile(str(self._path), self._registry)
                self._path.chmod(0o644)
            except OSError as error:
                failed("metrics cannot be written to %s: %s", self._path, error.strerror)
                failed = log.debug
            if self._stopping.wait(self._period_seconds):
                return
