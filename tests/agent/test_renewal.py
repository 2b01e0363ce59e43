"""The certificate is renewed in its time, with a new key, and shown from then on; what fails is tried again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polyvisor.agent.files import AgentFiles
from polyvisor.agent.renewal import RETRY_SECONDS, Renewal
from polyvisor.agent.servers import Servers
from tests.agent.authority import TestAuthority
from tests.agent.server import Answer, FakeServer


def renewing(files: AgentFiles, server: FakeServer, later: timedelta) -> tuple[Renewal, Servers]:
    """A renewal that looks at the certificate so much later than now."""
    servers = Servers([server.url], files.context)
    return Renewal(files, servers, "session-1", lambda: datetime.now(UTC) + later), servers


@pytest.fixture
def signing(server: FakeServer, authority: TestAuthority) -> FakeServer:
    """It signs whatever comes."""

    def sign(body: dict[str, Any]) -> Answer:
        return 200, {"certificate": authority.sign(body["csr"]), "expires_at": "2030-01-01T00:00:00Z"}

    server.handlers["/certificate"] = sign
    server.handlers["/beat"] = lambda _body: (200, {})
    return server


def test_a_young_certificate_is_left_alone(files: AgentFiles, signing: FakeServer) -> None:
    renewal, _ = renewing(files, signing, timedelta(hours=15))
    assert 1 <= renewal.look() <= 3600
    assert signing.seen == []


def test_an_old_one_is_renewed_with_a_new_key_and_shown(files: AgentFiles, signing: FakeServer) -> None:
    before = files.certificate()
    renewal, servers = renewing(files, signing, timedelta(hours=17))
    servers.ask("/beat", lambda _tried: {}, read_seconds=5)
    renewal.look()
    after = files.certificate()
    assert after.serial_number != before.serial_number
    assert after.public_key() != before.public_key()
    servers.ask("/beat", lambda _tried: {}, read_seconds=5)
    files.context()


def test_a_lost_answer_leaves_the_old_one_whole_and_is_tried_again(files: AgentFiles, signing: FakeServer) -> None:
    before = files.path("agent.pem").read_bytes()
    signing.trouble["/certificate"] = ["drop", "drop"]
    renewal, _ = renewing(files, signing, timedelta(hours=17))
    assert renewal.look() <= RETRY_SECONDS
    assert files.path("agent.pem").read_bytes() == before
    renewal.look()
    assert files.path("agent.pem").read_bytes() != before


def test_a_certificate_for_another_key_is_not_taken(
    files: AgentFiles, signing: FakeServer, authority: TestAuthority
) -> None:
    from polyvisor.agent.join import new_key, request_for

    before = files.path("agent.pem").read_bytes()
    other = authority.sign(request_for(new_key(), "kvm1"))
    signing.handlers["/certificate"] = lambda _body: (200, {"certificate": other})
    renewal, _ = renewing(files, signing, timedelta(hours=17))
    assert renewal.look() <= RETRY_SECONDS
    assert files.path("agent.pem").read_bytes() == before
