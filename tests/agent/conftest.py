"""A fake server, and an agent's directory that has joined it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from polyvisor.agent.files import AgentFiles, Identity
from polyvisor.agent.join import bundle, new_key, request_for
from tests.agent.authority import TestAuthority
from tests.agent.server import FakeServer

Start = Callable[[], FakeServer]


@pytest.fixture
def authority() -> TestAuthority:
    """Of this test's cloud."""
    return TestAuthority()


@pytest.fixture
def start_server(tmp_path: Path, authority: TestAuthority) -> Iterator[Start]:
    """Starts servers of one cloud."""
    with ExitStack() as running:
        yield lambda: running.enter_context(FakeServer(tmp_path, authority))


@pytest.fixture
def server(start_server: Start) -> FakeServer:
    """One of them."""
    return start_server()


@pytest.fixture
def files(tmp_path: Path, authority: TestAuthority, server: FakeServer) -> AgentFiles:
    """Of an agent that has joined at `server`."""
    made = AgentFiles(tmp_path / "agent")
    key = new_key()
    identity = Identity(agent_id="a1", name="kvm1", cloud_id="c1", url=server.url)
    made.keep(identity, authority.pem, bundle(key, authority.sign(request_for(key, "kvm1"))))
    return made
