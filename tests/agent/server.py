"""A server for agents that answers as a test says, and meets with the trouble that a test asks for."""

import http.server
import json
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from testbed.ports import free_ports
from tests.agent.authority import TestAuthority

PATIENCE_SECONDS = 180
PREFIX = "/agent/v1"


class Bytes:
    """An answer that is no JSON: a status, headers and a body, of which perhaps only a part is sent."""

    def __init__(self, body: bytes, *, status: int = 200, sent: int | None = None, **headers: str) -> None:
        self.body, self.status, self.headers = body, status, headers
        self.sent = len(body) if sent is None else sent


Answer = tuple[int, Any] | Bytes
Handler = Callable[[dict[str, Any]], Answer]


class FakeServer:
    """Listens with TLS on 127.0.0.1; `trouble[path]` is a queue of "drop" (the request is taken, the answer lost),
    "refuse" (503) and callables that are called before the answer."""

    def __init__(self, folder: Path, authority: TestAuthority) -> None:
        self.authority = authority
        self.handlers: dict[str, Handler] = {}
        self.trouble: dict[str, list[Any]] = defaultdict(list)
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.changed = threading.Condition()
        [self._port] = free_ports(1)
        pem = folder / f"server-{id(self)}.pem"
        pem.write_bytes(authority.server())
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._context.load_verify_locations(cadata=authority.pem)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._server: _Listener | None = None

    def __enter__(self) -> Self:
        self._server = _Listener(self, self._port, self._context)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.end_connections()
            self._server = None

    stop = __exit__

    @property
    def url(self) -> str:
        """Its address, the same after a restart."""
        return f"https://127.0.0.1:{self._port}"

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies that came for a path."""
        return [body for seen, body in self.seen if seen == path]

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for a condition that what comes in makes true."""
        with self.changed:
            assert self.changed.wait_for(true, PATIENCE_SECONDS)


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeServer, port: int, context: ssl.SSLContext) -> None:
        self.fake, self._context = fake, context
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        plain, where = super().get_request()
        wrapped = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self._open.add(wrapped)
        return wrapped, where

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients come and go in these tests."""

    def end_connections(self) -> None:
        """As a process that is killed does."""
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                each.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        """Decode, and answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._serve(self.path.removeprefix(PREFIX), body)

    def do_GET(self) -> None:
        """Answer."""
        self._serve(self.path.removeprefix(PREFIX).partition("?")[0], {"query": self.path.partition("?")[2]})

    def _serve(self, path: str, body: dict[str, Any]) -> None:
        fake = self.server.fake
        with fake.changed:
            trouble = fake.trouble[path].pop(0) if fake.trouble[path] else None
            answer: Answer | None = (503, {"error": "It is busy."}) if trouble == "refuse" else None
        if callable(trouble):
            trouble()
        if answer is None:
            answer = fake.handlers[path]({**body, "headers": dict(self.headers.items())})
        with fake.changed:
            fake.seen.append((path, body))
            fake.headers.append(dict(self.headers.items()))
            fake.changed.notify_all()
        if trouble == "drop":
            self.close_connection = True
            self.connection.close()
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        if not isinstance(answer, Bytes):
            answer = Bytes(json.dumps(answer[1]).encode(), status=answer[0])
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: answer.sent])
        if answer.sent < len(answer.body):
            self.close_connection = True
