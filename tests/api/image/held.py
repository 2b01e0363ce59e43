"""An upload that stops where the test says, on an event loop of its own, so that other requests go on beside it."""

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from tests.api.client import Answer, ApiClient, Loop
from tests.api.image.calls import put

_TIMEOUT_SECONDS = 180


class HeldUpload:
    """`with HeldUpload(cloud.member, image_id) as held: held.send(b"…"); …; held.finish().status`."""

    def __init__(self, client: ApiClient, image_id: str) -> None:
        self._loop = Loop()
        self._client = ApiClient(client.app, self._loop, client.token)
        self._image_id = image_id
        self._chunks: queue.Queue[bytes | None] = queue.Queue()
        self._taken = threading.Semaphore(0)
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def send(self, chunk: bytes) -> None:
        """Give the next bytes, and wait until the service asks for more."""
        self._chunks.put(chunk)
        assert self._taken.acquire(timeout=_TIMEOUT_SECONDS)

    def finish(self) -> Answer:
        """End the body; the answer to the upload."""
        self._chunks.put(None)
        return self._answers.get(timeout=_TIMEOUT_SECONDS)

    def _run(self) -> None:
        self._answers.put(put(self._client, self._image_id, self._body()))

    def _body(self) -> Iterator[bytes]:
        while (chunk := self._chunks.get(timeout=_TIMEOUT_SECONDS)) is not None:
            yield chunk
            self._taken.release()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._chunks.put(None)
        self._thread.join(_TIMEOUT_SECONDS)
        self._loop.close()


def cut_off(client: ApiClient, image_id: str, sent: bytes) -> int:
    """Upload some bytes, then lose the connection; the status that nobody reads any more."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": sent, "more_body": True},
        {"type": "http.disconnect"},
    ]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def answered(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = {"x-auth-token": client.token or "", "content-type": "application/octet-stream", "host": "cloud.test"}
    path = f"/image/v2/images/{image_id}/file"
    scope = {
        "type": "http", "method": "PUT", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    loop = Loop()
    try:
        loop.run(client.app(scope, receive, answered))
    finally:
        loop.close()
    return statuses[0]
