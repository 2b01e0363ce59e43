"""The listener of /metrics: who may read it, by what, and where else the same is written."""

import gzip
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from polyvisor.model.errors import Invalid
from polyvisor.observe.health import Health
from polyvisor.observe.listener import Listener, Textfile
from polyvisor.observe.settings import MetricsSettings
from polyvisor.serve.http import bind
from polyvisor.serve.observation import Observation, ObserveSettings
from polyvisor.serve.tls import own_certificate
from tests.observe.observed import wait_for

TOKEN = "let-me-read"


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("polyvisor_test", "For the test.", registry=made).inc(3)
    return made


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def guarded(registry: CollectorRegistry, token_file: Path) -> Iterator[Listener]:
    """One that wants a token."""
    health = Health([], [])
    made = Listener(bind("127.0.0.1", 0), registry, health, token_file)
    made.start()
    yield made
    made.close()


def read(url: str, token: str | None = None) -> requests.Response:
    """One scrape."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.get(url, headers=headers, timeout=30)


def test_only_who_has_the_token_may_read(guarded: Listener, token_file: Path) -> None:
    for wrong in (None, "", "let-me", f"{TOKEN}x"):
        answer = read(guarded.url, wrong)
        assert answer.status_code == 401
        assert "polyvisor_test" not in answer.text
        assert TOKEN not in answer.text
    assert "polyvisor_test_total 3.0" in read(guarded.url, TOKEN).text
    token_file.write_text("another")
    assert read(guarded.url, TOKEN).status_code == 401, "a new token holds at once"
    assert read(guarded.url, "another").status_code == 200


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_without_a_token_in_the_file_nobody_may_read(guarded: Listener, token_file: Path, content: str | None) -> None:
    """Least of all somebody who sends none."""
    token_file.unlink() if content is None else token_file.write_text(content)
    assert read(guarded.url, "").status_code == 401
    assert read(guarded.url, TOKEN).status_code == 401


def test_health_needs_no_token_and_other_paths_are_not_there(guarded: Listener) -> None:
    base = guarded.url.removesuffix("/metrics")
    assert read(f"{base}/healthz").status_code == 200
    assert read(f"{base}/readyz").status_code == 200
    assert read(f"{base}/etc/passwd").status_code == 404
    assert requests.post(guarded.url, timeout=30).status_code == 501


def test_beyond_loopback_it_speaks_tls(registry: CollectorRegistry, tmp_path: Path) -> None:
    made = own_certificate(tmp_path / "tls", "127.0.0.1")
    health = Health([], [])
    listener = Listener(bind("127.0.0.1", 0), registry, health, tls=(made.chain, made.key))
    listener.start()
    try:
        assert listener.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(made.authority))
        with urllib.request.urlopen(listener.url, timeout=30, context=context) as answer:
            assert b"polyvisor_test_total 3.0" in answer.read()
        with pytest.raises(requests.RequestException):
            read(listener.url.replace("https://", "http://"))
    finally:
        listener.close()


def test_a_reader_that_takes_gzip_gets_it(registry: CollectorRegistry) -> None:
    Counter("polyvisor_long", "x" * 5000, registry=registry)
    health = Health([], [])
    listener = Listener(bind("127.0.0.1", 0), registry, health)
    listener.start()
    try:
        asked = urllib.request.Request(listener.url, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert b"polyvisor_test_total 3.0" in gzip.decompress(answer.read())
    finally:
        listener.close()


def test_a_textfile_is_written_for_the_node_exporter_and_taken_away(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    path = tmp_path / "polyvisor.prom"
    textfile = Textfile(path, registry, period_seconds=0.05)
    textfile.start()
    wait_for(path.exists, "the file is written")
    names = [family.name for family in text_string_to_metric_families(path.read_text())]
    assert "polyvisor_test" in names
    assert path.stat().st_mode & 0o777 == 0o644, "the node exporter is another user"
    textfile.close()
    assert not path.exists()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "192.0.2.1:9464", "[::]:0"])
def test_beyond_loopback_a_token_is_wanted(listen: str, tmp_path: Path) -> None:
    """Before anything is opened."""
    observation = Observation(ObserveSettings(metrics=MetricsSettings(listen=listen)), "polyvisor-server")
    with pytest.raises(Invalid, match="give a token_file too"):
        observation.start(tmp_path)
    observation.close()


def test_no_listener_is_opened_where_none_is_wanted(tmp_path: Path) -> None:
    observation = Observation(ObserveSettings(metrics=MetricsSettings(listen="none")), "polyvisor-server")
    assert observation.start(tmp_path) == ""
    observation.close()
