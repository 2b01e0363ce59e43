"""A thousand agents in one process: what each says and how often is as a real one's; what it serves is nothing."""

import asyncio
import math
import random
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from polyvisor.agent.join import Offered
from polyvisor.agent.link import BEAT_READ_SECONDS
from polyvisor.operate.holding import BEAT_SECONDS

WAIT_SECONDS = 25.0
INVENTORY_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""More than real agents have: a thousand in one process are late themselves, and would break off what was answered."""

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NotAnsweredError(Exception):
    """The server could not, or not in time: as a real agent, one asks again."""


class Connections:
    """Kept-alive HTTPS connections, as many as there are requests at one time."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._host, self._port, self._context = host, port, context
        self._idle: list[_Streams] = []
        self._all: set[asyncio.StreamWriter] = set()

    async def post(self, what: str, body: Any, seconds: float) -> Any:
        """POST /agent/v1/WHAT. Raises NotAnsweredError, or RuntimeError with the server's sentence where it refuses."""
        content = msgspec.json.encode(body)
        try:
            async with asyncio.timeout(seconds):
                status, answer = await self._send(what, content)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise NotAnsweredError(f"{what}: {type(error).__name__} {error}") from None
        if status >= 500:
            raise NotAnsweredError(f"{what}: {status} {answer.decode()}")
        if status != 200:
            raise RuntimeError(f"{what}: {status} {answer.decode()}")
        return msgspec.json.decode(answer)

    async def _send(self, what: str, content: bytes) -> tuple[int, bytes]:
        streams = self._idle.pop() if self._idle else await self._connect()
        reader, writer = streams
        try:
            head = f"POST /agent/v1/{what} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(content)}\r\n\r\n"
            writer.write(head.encode() + content)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
            answer = await reader.readexactly(length)
        except BaseException:
            self._all.discard(writer)
            writer.transport.abort()
            raise
        self._idle.append(streams)
        return int(lines[0].split()[1]), answer

    async def _connect(self) -> _Streams:
        streams = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        self._all.add(streams[1])
        return streams

    def close(self) -> None:
        """End them."""
        for writer in self._all:
            writer.transport.abort()


class SimulatedAgent:
    """One agent with one place and one host."""

    def __init__(self, name: str, began: Callable[[str], None], ended: Callable[[str], None]) -> None:
        """`began` and `ended` are told of each operation whose step is in hand, or was reported and taken."""
        self.name, self._began, self._ended = name, began, ended
        self._session = str(uuid.uuid4())
        self._epoch = 0
        self._held_until = math.inf
        self.beats: list[float] = []
        """How long each beat took, in seconds."""
        self.beats_late = 0
        """Beats that were not answered, or later than a real agent waits."""
        self.holds_run_out = 0
        """How often no beat was answered within a hold: a real agent stops acting then."""
        self.put_off = 0
        """Inventories that the server could not take."""
        self.asked_again = 0
        """Exchanges and waits that the server could not answer, and that were sent once more."""

    async def join(self, strangers: Connections, token: str, folder: Path, host: str, port: int) -> None:
        """Make a key, have it signed, and open connections with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        joined = await strangers.post(
            "join",
            {
                "token": token, "name": self.name, "session": self._session,
                "csr": csr.public_bytes(serialization.Encoding.PEM).decode(),
                "places": [Offered(name=self.name, driver="simulated")],
            },
            PATIENCE_SECONDS,
        )  # fmt: skip
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        bundle = folder / f"{self.name}.pem"
        bundle.write_bytes(private + joined["certificate"].encode())
        context = ssl.create_default_context(cadata=joined["authority"])
        context.load_cert_chain(bundle)
        self._connections = Connections(host, port, context)

    async def live(self) -> None:
        """Beat, look and work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_every(BEAT_SECONDS, self._beat))
                tasks.create_task(_every(INVENTORY_SECONDS, self._inventory))
                tasks.create_task(self._serve())
        finally:
            self._connections.close()

    async def _beat(self) -> None:
        began = time.perf_counter()
        offered = [{"name": self.name, "driver": "simulated"}]
        said = {"session": self._session, "beat": {"places": offered}}
        try:
            held = await self._connections.post("beat", said, PATIENCE_SECONDS)
        except NotAnsweredError:
            self.beats_late += 1
            return
        now = time.perf_counter()
        self.beats.append(now - began)
        self.beats_late += now - began > BEAT_READ_SECONDS
        self.holds_run_out += now > self._held_until
        [hold] = held["holds"]
        self._held_until, self._epoch = began + hold["lease_seconds"], hold["epoch"]

    async def _inventory(self) -> None:
        if not self._epoch:
            return
        host = {
            "name": self.name, "hypervisor_type": "simulated", "hypervisor_version": 1_000_000,
            "architecture": "x86_64", "capacity": {"vcpus": 64, "memory_mib": 262_144, "disk_gib": 1000},
            "largest_vcpus": 64, "largest_memory_mib": 262_144,
        }  # fmt: skip
        found = {"place": self.name, "epoch": self._epoch, "since": datetime.now(UTC), "hosts": [host], "guests": []}
        said = {"session": self._session, "inventory": found}
        try:
            await self._connections.post("inventory", said, PATIENCE_SECONDS)
        except NotAnsweredError:  # the next one tells
            self.put_off += 1

    async def _serve(self) -> None:
        reports: list[dict[str, Any]] = []
        recover = False
        while True:
            asked = {
                "session": self._session, "places": [self.name], "most": 16, "reports": reports, "recover": recover,
            }  # fmt: skip
            try:
                leases = (await self._connections.post("exchange", asked, PATIENCE_SECONDS))["leases"]
                recover = False
                for report in reports:
                    self._ended(report["operation_id"])
                reports = [self._taken(lease["operation"]) for lease in leases]
                if not reports:
                    waiting = {"session": self._session, "places": [self.name], "timeout_seconds": WAIT_SECONDS}
                    await self._connections.post("wait", waiting, WAIT_SECONDS + PATIENCE_SECONDS)
            except NotAnsweredError:  # asked again, with the same reports
                recover = True
                self.asked_again += 1
                await asyncio.sleep(random.uniform(0.5, 1.0))

    def _taken(self, row: dict[str, Any]) -> dict[str, Any]:
        self._began(row["id"])
        return {"operation_id": row["id"], "epoch": row["lease_epoch"], "outcome": "done"}


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """From a moment within the first period on, as agents that did not all start at once."""
    await asyncio.sleep(random.uniform(0.0, seconds))
    while True:
        began = time.monotonic()
        await act()
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
