"""Joining: the token's pin is believed, nobody else; each failure says what to do; the key stays here."""

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from polyvisor.agent.files import AgentFiles
from polyvisor.agent.join import JoinToken
from polyvisor.cli.agent import command
from polyvisor.model.errors import Invalid, PolyvisorError
from tests.agent.authority import TestAuthority
from tests.agent.server import Answer, Bytes, FakeServer

SECRET = "zxcvbnmasdfghjkl"
Join = Callable[..., Any]


def welcoming(server: FakeServer, authority: TestAuthority) -> None:
    """It lets everybody in."""

    def join(body: dict[str, Any]) -> Answer:
        return 200, {
            "agent_id": "a" * 32, "name": body["name"], "certificate": authority.sign(body["csr"]),
            "expires_at": "2030-01-01T00:00:00Z", "authority": authority.pem, "cloud_id": "c1",
            "servers": ["https://one:7443", "https://two:7443"],
        }  # fmt: skip

    server.handlers["/authority"] = lambda _body: Bytes(authority.pem.encode())
    server.handlers["/join"] = join


@pytest.fixture
def new_server(tmp_path: Path, server: FakeServer, authority: TestAuthority) -> FakeServer:
    """A server that lets everybody in."""
    welcoming(server, authority)
    return server


@pytest.fixture
def join(tmp_path: Path) -> Join:
    """`polyvisor agent join`, as a person types it: its output, or the error that the program would print."""
    config = tmp_path / "polyvisor.toml"
    config.write_text('[[hypervisor]]\nname = "kvm1"\ndriver = "kvm"\nuri = "qemu:///system"\n')

    def run(url: str, token: str, *more: str, given: str = "") -> str:
        words = ["join", url, token, "--data", str(tmp_path / "new"), "--config", str(config), *more]
        result = CliRunner().invoke(command, words, input=given)
        if isinstance(result.exception, PolyvisorError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_it_joins_with_a_token_from_the_standard_input(
    join: Join, new_server: FakeServer, authority: TestAuthority, tmp_path: Path
) -> None:
    said = join(new_server.url, "-", "--name", "host-a", given=f"id.{SECRET}.{authority.pin}\n")
    assert "The agent host-a has joined the cloud c1" in said
    assert SECRET not in said
    [body] = new_server.asked("/join")
    assert (body["name"], body["places"]) == ("host-a", [{"name": "kvm1", "driver": "kvm"}])
    files = AgentFiles(tmp_path / "new")
    assert files.identity().agent_id == "a" * 32
    assert files.servers() == ("https://one:7443", "https://two:7443", new_server.url)
    files.context()


def test_the_key_never_leaves_and_nobody_else_may_read_it(
    join: Join, new_server: FakeServer, authority: TestAuthority, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(f"id.{SECRET}.{authority.pin}")
    join(new_server.url, str(token))
    pem = (tmp_path / "new" / "agent.pem").read_bytes()
    key = load_pem_private_key(pem, None)
    [body] = new_server.asked("/join")
    request = x509.load_pem_x509_csr(body["csr"].encode())
    assert request.public_key() == key.public_key()
    assert "PRIVATE KEY" not in str(new_server.seen)
    for name in ("agent.pem", "agent.json", "authority.pem"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600
    assert SECRET not in str([each.read_bytes() for each in (tmp_path / "new").iterdir()])


def test_a_server_that_the_token_does_not_name_is_told_nothing(join: Join, new_server: FakeServer) -> None:
    with pytest.raises(Invalid, match="is not of the cloud that made this token"):
        join(new_server.url, f"id.{SECRET}.{'0' * 64}")
    assert [path for path, _ in new_server.seen] == ["/authority"]
    assert SECRET not in str(new_server.seen) + str(new_server.headers)


def test_a_server_that_shows_the_right_authority_but_is_not_of_it_is_told_nothing(
    join: Join, tmp_path: Path, authority: TestAuthority
) -> None:
    with FakeServer(tmp_path, TestAuthority("another")) as thief:
        welcoming(thief, authority)
        with pytest.raises(Invalid, match="TLS with"):
            join(thief.url, f"id.{SECRET}.{authority.pin}")
        assert SECRET not in str(thief.seen)


@pytest.mark.parametrize("sentence", ["The token was used already.", "An agent named host-a is there already."])
def test_a_refusal_is_told_in_the_servers_words(
    join: Join, new_server: FakeServer, authority: TestAuthority, sentence: str, tmp_path: Path
) -> None:
    new_server.handlers["/join"] = lambda _body: (409, {"error": sentence})
    with pytest.raises(Invalid, match=sentence):
        join(new_server.url, f"id.{SECRET}.{authority.pin}")
    assert not AgentFiles(tmp_path / "new").joined()


def test_a_clock_that_is_far_off_is_told_before_it_does_harm(
    join: Join, new_server: FakeServer, authority: TestAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.agent import server as servers

    late = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    monkeypatch.setattr(servers._Handler, "date_time_string", lambda *_: late)
    with pytest.raises(Invalid, match="120 minutes behind the server's"):
        join(new_server.url, f"id.{SECRET}.{authority.pin}")


def test_a_server_that_does_not_answer_is_told_with_what_to_check(
    join: Join, new_server: FakeServer, authority: TestAuthority
) -> None:
    new_server.stop()
    with pytest.raises(Invalid, match=r"cannot be reached: it takes no connections.*\[agents\] listen"):
        join(new_server.url, f"id.{SECRET}.{authority.pin}")


@pytest.mark.parametrize("text", ["", "one.two", f"a.b.{'0' * 63}", f"a..{'0' * 64}", f"a.b.{'x' * 64}"])
def test_what_is_no_token_is_told_so(text: str) -> None:
    with pytest.raises(Invalid, match="That is no token"):
        JoinToken.parse(text)


@pytest.mark.parametrize("url", ["http://server:7443", "server:7443", ""])
def test_an_address_that_is_none_is_told_so(join: Join, url: str) -> None:
    with pytest.raises(Invalid, match="is no address of a server"):
        join(url, f"id.{SECRET}.{'0' * 64}")


def test_an_agent_that_has_joined_is_replaced_only_where_that_is_asked_for(
    join: Join, new_server: FakeServer, authority: TestAuthority, tmp_path: Path
) -> None:
    join(new_server.url, f"id.{SECRET}.{authority.pin}", "--name", "one")
    with pytest.raises(Invalid, match="The agent one has joined"):
        join(new_server.url, f"id.{SECRET}.{authority.pin}", "--name", "two")
    join(new_server.url, f"id.{SECRET}.{authority.pin}", "--name", "two", "--again")
    assert AgentFiles(tmp_path / "new").identity().name == "two"


def test_a_configuration_without_a_hypervisor_is_refused_before_the_token_is_used(
    join: Join, new_server: FakeServer, authority: TestAuthority, tmp_path: Path
) -> None:
    (tmp_path / "polyvisor.toml").write_text("")
    with pytest.raises(Invalid, match="names no"):
        join(new_server.url, f"id.{SECRET}.{authority.pin}")
    assert new_server.seen == []


def test_a_status_says_who_it_is_where_it_does_not_run(
    join: Join, new_server: FakeServer, authority: TestAuthority, tmp_path: Path
) -> None:
    join(new_server.url, f"id.{SECRET}.{authority.pin}", "--name", "one")
    shown = CliRunner().invoke(command, ["status", "--data", str(tmp_path / "new")])
    assert "one (" in shown.output
    assert "not running" in shown.output
    assert "good until" in shown.output
