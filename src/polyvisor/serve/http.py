"""The HTTP server: uvicorn around the API, and what it prints when it is ready."""

import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from polyvisor.model.errors import Invalid
from polyvisor.serve.tls import Certificate

log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises Invalid with a sentence when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise Invalid(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another address with --listen HOST:PORT."
        ) from None
    sock.listen(1024)
    return sock


class HttpServer(uvicorn.Server):
    """Uvicorn on a socket of ours, which tells when it is ready."""

    def __init__(
        self,
        app: Any,
        sock: socket.socket,
        certificate: Certificate | None,
        ready: Callable[[], None],
        drain: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`drain` is told of SIGTERM, and says for how many seconds requests are still taken."""
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http="httptools",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=10,
                ssl_certfile=str(certificate.chain) if certificate else None,
                ssl_keyfile=str(certificate.key) if certificate else None,
            )
        )
        self._sock, self._ready, self._drain = sock, ready, drain
        self._draining = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, and then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM lets load balancers look away before the end; SIGINT, or a second one, ends it at once."""
        first, self._draining = not self._draining, True
        seconds = self._drain() if first and sig == signal.SIGTERM else 0.0
        if seconds <= 0:
            super().handle_exit(sig, frame)
            return
        log.info("asked to stop: requests are taken for %.0f seconds more", seconds)
        end = threading.Timer(seconds, super().handle_exit, (sig, frame))
        end.daemon = True
        end.start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, which then dies of the signal: here the rest of the cloud is still to be stopped."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()

    def serve_until_stopped(self) -> None:
        """Until SIGINT or SIGTERM; requests under way are answered first."""
        self.run(sockets=[self._sock])
