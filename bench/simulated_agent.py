"""A thousand agents in one process: what each says and how often is as a real one's; what it serves is nothing."""

import asyncio
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
from polyvisor.operate.holding import BEAT_SECONDS

WAIT_SECONDS = 25.0
INVENTORY_SECONDS = 10.0


class Connection:
    """One kept-alive HTTPS connection; one request at a time."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._host, self._port, self._context = host, port, context
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, what: str, body: Any) -> Any:
        """POST /agent/v1/WHAT. Raises RuntimeError with the server's sentence where it refuses."""
        content = msgspec.json.encode(body)
        async with self._lock:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._context)
            reader, writer = self._streams
            head = f"POST /agent/v1/{what} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(content)}\r\n\r\n"
            writer.write(head.encode() + content)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
            answer = await reader.readexactly(length)
        if lines[0].split()[1] != "200":
            raise RuntimeError(f"{what}: {lines[0]} {answer.decode()}")
        return msgspec.json.decode(answer)

    def close(self) -> None:
        """End it."""
        if self._streams is not None:
            self._streams[1].transport.abort()


class SimulatedAgent:
    """One agent with one place and one host."""

    def __init__(self, name: str, began: Callable[[str], None], ended: Callable[[str], None]) -> None:
        """`began` and `ended` are told of each operation whose step is in hand, or was reported and taken."""
        self.name, self._began, self._ended = name, began, ended
        self._session = str(uuid.uuid4())
        self.beats: list[float] = []
        """How long each beat took, in seconds."""
        self.put_off = 0
        """Inventories that the server could not take."""
        self.asked_again = 0
        """Exchanges that the server could not answer, and that were sent once more."""

    async def join(self, strangers: Connection, token: str, folder: Path, host: str, port: int) -> None:
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
        )  # fmt: skip
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        bundle = folder / f"{self.name}.pem"
        bundle.write_bytes(private + joined["certificate"].encode())
        context = ssl.create_default_context(cadata=joined["authority"])
        context.load_cert_chain(bundle)
        self._signs, self._work = Connection(host, port, context), Connection(host, port, context)

    async def live(self) -> None:
        """Beat, look and work until cancelled."""
        try:
            await self._beat()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_every(BEAT_SECONDS, self._beat))
                tasks.create_task(_every(INVENTORY_SECONDS, self._inventory))
                tasks.create_task(self._serve())
        finally:
            self._signs.close()
            self._work.close()

    async def _beat(self) -> None:
        began = time.perf_counter()
        offered = [{"name": self.name, "driver": "simulated"}]
        held = await self._signs.post("beat", {"session": self._session, "beat": {"places": offered}})
        self.beats.append(time.perf_counter() - began)
        self._epoch = held["holds"][0]["epoch"]

    async def _inventory(self) -> None:
        host = {
            "name": self.name, "hypervisor_type": "simulated", "hypervisor_version": 1_000_000,
            "architecture": "x86_64", "capacity": {"vcpus": 64, "memory_mib": 262_144, "disk_gib": 1000},
            "largest_vcpus": 64, "largest_memory_mib": 262_144,
        }  # fmt: skip
        found = {"place": self.name, "epoch": self._epoch, "since": datetime.now(UTC), "hosts": [host], "guests": []}
        try:
            await self._signs.post("inventory", {"session": self._session, "inventory": found})
        except RuntimeError:  # as a real agent: the next one tells
            self.put_off += 1

    async def _serve(self) -> None:
        reports: list[dict[str, Any]] = []
        while True:
            asked = {"session": self._session, "places": [self.name], "most": 16, "reports": reports}
            try:
                leases = (await self._work.post("exchange", asked))["leases"]
            except RuntimeError:  # as a real agent: it asks again, with the same reports
                self.asked_again += 1
                await asyncio.sleep(random.uniform(0.5, 1.0))
                continue
            for report in reports:
                self._ended(report["operation_id"])
            reports = []
            for lease in leases:
                row = lease["operation"]
                self._began(row["id"])
                reports.append({"operation_id": row["id"], "epoch": row["lease_epoch"], "outcome": "done"})
            if not reports:
                waiting = {"session": self._session, "places": [self.name], "timeout_seconds": WAIT_SECONDS}
                await self._work.post("wait", waiting)


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """From a moment within the first period on, as agents that did not all start at once."""
    await asyncio.sleep(random.uniform(0.0, seconds))
    while True:
        began = time.monotonic()
        await act()
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
