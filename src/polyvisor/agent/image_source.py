"""Where a step in an agent gets its image: over the link, for that step alone, going on where it broke off."""

import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import urllib3

from polyvisor.agent.servers import Missing, Servers, Superseded
from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.permit import ensure_permitted
from polyvisor.model.image import ImageRef
from polyvisor.operate.link import LinkDown
from polyvisor.operate.step_run import StepRun

CHUNK_BYTES = 1 << 20
READ_SECONDS = 30.0
STALL_SECONDS = 120.0
"""Without a byte for so long, the step is put off."""
MOST_PAUSE_SECONDS = 5.0


class LinkImageSource:
    """An ImageSource for one leased step."""

    def __init__(
        self, servers: Servers, session: str, step: StepRun, sleep: Callable[[float], None] = time.sleep,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:  # fmt: skip
        self._servers, self._session, self._step = servers, session, step
        self._sleep, self._stall_seconds = sleep, stall_seconds
        self._chance = random.Random()  # noqa: S311 - spreads retries

    def local(self, image: ImageRef) -> Path | None:
        """Nothing of the store lies here."""
        return None

    def fetch(self, image: ImageRef, target: Path) -> None:
        """Write the image's bytes to `target`, which appears whole and verified or not at all.

        Raises Unreachable while they cannot be had, HypervisorError where they are not the image's, Fenced and
        Cancelled.
        """
        part = target.with_name(f"{target.name}.part")
        try:
            digest = hashlib.sha512()
            with part.open("xb") as out:
                self._fetch(image, out.write, digest.update)
            if digest.hexdigest() != image.sha512:
                raise HypervisorError(
                    f"The bytes that came for image {image.id} are not those uploaded: their SHA-512 differs; upload "
                    "it again."
                )
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)

    def _fetch(self, image: ImageRef, *takers: Callable[[bytes], object]) -> None:
        done, moved, failures = 0, time.monotonic(), 0
        while done < image.size_bytes:
            before, why = done, "the connection ended early"
            try:
                for chunk in self._chunks(image, done):
                    self._may_go_on(image, done)
                    for take in takers:
                        take(chunk)
                    done += len(chunk)
            except (Missing, Superseded) as error:
                raise Unreachable(f"The image {image.id} is not given out to this step any more: {error}") from error
            except (LinkDown, urllib3.exceptions.HTTPError) as error:
                why = str(error) or type(error).__name__
            if done > image.size_bytes:
                raise HypervisorError(f"More bytes came for image {image.id} than it has; upload it again.")
            if done > before:
                moved, failures = time.monotonic(), 0
            failures += 1
            if done < image.size_bytes:
                if time.monotonic() - moved > self._stall_seconds:
                    raise Unreachable(f"The bytes of image {image.id} cannot be had now: {why}. It is tried again.")
                self._may_go_on(image, done)
                self._sleep(self._chance.uniform(0.0, min(MOST_PAUSE_SECONDS, 0.25 * 2.0 ** min(failures, 8))))

    def _chunks(self, image: ImageRef, offset: int) -> "_Stream":
        row = self._step.lease.operation
        headers = {"X-Polyvisor-Session": self._session}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        response = self._servers.open(
            f"/operations/{row.id}/image?epoch={row.lease_epoch}", headers, read_seconds=READ_SECONDS
        )
        return _Stream(response, skip=0 if response.status == 206 else offset)

    def _may_go_on(self, image: ImageRef, done: int) -> None:
        ensure_permitted()
        self._step(done / max(1, image.size_bytes), "fetching the image")


class _Stream:
    """A body, chunk by chunk; a server that takes no ranges sends what we have once more, and it is passed over."""

    def __init__(self, response: urllib3.BaseHTTPResponse, skip: int) -> None:
        self._response, self._skip = response, skip

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> bytes:
        while True:
            chunk = self._read()
            if self._skip >= len(chunk):
                self._skip -= len(chunk)
                continue
            chunk, self._skip = chunk[self._skip :], 0
            return chunk

    def _read(self) -> bytes:
        try:
            chunk = self._response.read(CHUNK_BYTES)
        except BaseException:
            self._response.close()
            raise
        if not chunk:
            self._response.release_conn()
            raise StopIteration
        return chunk
