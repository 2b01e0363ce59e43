"""Images over the link: for the leased step alone, taken up where they broke off, and whole or not at all."""

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyvisor.agent.files import AgentFiles
from polyvisor.agent.image_source import LinkImageSource
from polyvisor.agent.servers import Servers
from polyvisor.hypervisor.driver import Cancelled, HypervisorError, Unreachable
from polyvisor.hypervisor.permit import Fenced
from polyvisor.model.image import ImageRef
from polyvisor.model.link import Lease
from polyvisor.model.operation import Operation, OperationState
from polyvisor.operate.step_run import StepRun
from tests.agent.server import Answer, Bytes, FakeServer

CONTENT = os.urandom(3 * 1024 * 1024 + 17)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = ImageRef(
    id="i1", disk_format="raw", container_format="bare", size_bytes=len(CONTENT), virtual_size_bytes=len(CONTENT),
    sha512=hashlib.sha512(CONTENT).hexdigest(),
)  # fmt: skip
PATH = "/operations/o1/image"


@pytest.fixture
def step() -> StepRun:
    """Of the operation o1, leased under the epoch 5."""
    row = Operation(
        id="o1", kind="server.create", target_id="s1", project_id="p", user_id="u", request_id="r", args={},
        state=OperationState.RUNNING, step=1, place="kvm1", due_at=NOW, lease_epoch=5, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return StepRun(Lease(operation=row, undo=False))


@pytest.fixture
def source(files: AgentFiles, server: FakeServer, step: StepRun) -> LinkImageSource:
    """Without pauses."""
    server.handlers[PATH] = by_range
    return LinkImageSource(Servers([server.url], files.context), "session-1", step, lambda _s: None)


def by_range(body: dict[str, Any]) -> Answer:
    """As the server has it: what is asked for, and no more than 1 MiB before the connection breaks."""
    asked = body["headers"].get("Range", "bytes=0-")
    offset = int(asked.removeprefix("bytes=").rstrip("-"))
    rest = CONTENT[offset:]
    return Bytes(rest, status=206 if "Range" in body["headers"] else 200, sent=min(len(rest), 1 << 20))


def test_a_fetch_goes_on_where_the_connection_broke(
    source: LinkImageSource, server: FakeServer, tmp_path: Path
) -> None:
    source.fetch(IMAGE, tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == CONTENT
    ranges = [each.get("Range") for each in server.headers]
    assert ranges[0] is None
    assert len(ranges) >= 4
    assert {each["query"] for _, each in server.seen} == {"epoch=5"}
    assert {each["X-Polyvisor-Session"] for each in server.headers} == {"session-1"}


def test_a_step_that_is_leased_again_fetches_under_the_new_lease(
    source: LinkImageSource, server: FakeServer, step: StepRun, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        newer = msgspec.structs.replace(step.lease.operation, lease_epoch=6)
        step.lease_again(Lease(operation=newer, undo=False))
        return by_range(body)

    server.handlers[PATH] = answer
    source.fetch(IMAGE, tmp_path / "image")
    queries = [each["query"] for _, each in server.seen]
    assert queries[0] == "epoch=5"
    assert set(queries[1:]) == {"epoch=6"}


def test_a_server_that_takes_no_ranges_serves_too(source: LinkImageSource, server: FakeServer, tmp_path: Path) -> None:
    sent = iter([1 << 20, 2 << 20, len(CONTENT)])
    server.handlers[PATH] = lambda _body: Bytes(CONTENT, sent=next(sent))
    source.fetch(IMAGE, tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == CONTENT


def refused(_step: StepRun) -> tuple[Any, type[Exception], str]:
    return (lambda _body: (404, {"error": "No such lease."})), Unreachable, "No such lease"


def silent(_step: StepRun) -> tuple[Any, type[Exception], str]:
    return (lambda _body: (503, {"error": "It is busy."})), Unreachable, "cannot be had now"


def damaged(_step: StepRun) -> tuple[Any, type[Exception], str]:
    return (lambda _body: Bytes(bytes(len(CONTENT)))), HypervisorError, "SHA-512 differs"


def longer(_step: StepRun) -> tuple[Any, type[Exception], str]:
    return (lambda _body: Bytes(CONTENT + b"more")), HypervisorError, "More bytes came"


def stopped(step: StepRun) -> tuple[Any, type[Exception], str]:
    step.cancel()
    return by_range, Cancelled, "^$"


def abandoned(step: StepRun) -> tuple[Any, type[Exception], str]:
    step.abandon()
    return by_range, Fenced, "left to whoever"


@pytest.mark.parametrize("case", [refused, silent, damaged, longer, stopped, abandoned])
def test_what_fails_leaves_no_file_behind(
    source: LinkImageSource,
    server: FakeServer,
    step: StepRun,
    tmp_path: Path,
    case: Callable[[StepRun], tuple[Any, type[Exception], str]],
) -> None:
    if case is silent:
        source._stall_seconds = 0.5
    server.handlers[PATH], error, words = case(step)
    with pytest.raises(error, match=words):
        source.fetch(IMAGE, tmp_path / "image")
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("image")] == []


def test_nothing_of_the_store_lies_beside_an_agent(source: LinkImageSource) -> None:
    assert source.local(IMAGE) is None
