"""Three servers behind HAProxy, each ended in another way while clients go on."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from testbed.postgres import TestPostgres
from testbed.process import wait_for
from tests.deploy.servers import ThreeServers

MOST_SECONDS = 180


class Clients:
    """Readers and a writer that never stop; each request is one connection, as a command's is."""

    def __init__(self, cloud: ThreeServers, token: str) -> None:
        self._url, self._authority = cloud.url, str(cloud.authority)
        self._headers = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.37"}
        self._stopping = threading.Event()
        self.read = 0
        self.refused: list[str] = []
        """Reads that failed."""
        self.made: list[str] = []
        """Names of what was created, as the answers said."""
        self.unsure: dict[str, str] = {}
        """Names of what was asked for without getting it, and why."""
        self.slowest_seconds = 0.0
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._reads, self._reads, self._writes)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, each after the request under way."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(MOST_SECONDS)
            assert not thread.is_alive()

    def go_on(self, more: int = 30) -> None:
        """Wait until so many more of each have been answered."""
        read, made = self.read, len(self.made)
        wait_for(
            lambda: self.read >= read + more and len(self.made) >= made + more,
            MOST_SECONDS,
            lambda: f"{self.read - read} reads and {len(self.made) - made} writes were answered, and {self.unsure} not",
        )

    def _reads(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            why = self._ask("GET", "/compute/v2.1/flavors/detail", 200)
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
            if why:
                self.refused.append(why)
            else:
                self.read += 1

    def _writes(self) -> None:
        for number in range(1_000_000):
            if self._stopping.is_set():
                return
            name = f"aggregate-{number}"
            if why := self._ask("POST", "/compute/v2.1/os-aggregates", 200, {"aggregate": {"name": name}}):
                self.unsure[name] = why
            else:
                self.made.append(name)

    def _ask(self, method: str, path: str, wanted: int, body: object = None) -> str:
        try:
            got = requests.request(
                method, self._url + path, json=body, headers=self._headers, verify=self._authority, timeout=MOST_SECONDS
            )
        except requests.RequestException as error:
            return str(error)
        return "" if got.status_code == wanted else f"{got.status_code} {got.text}"


@pytest.fixture
def cloud(tmp_path: Path, postgres: TestPostgres) -> Iterator[ThreeServers]:
    """Three servers that are up."""
    with postgres.database() as url, ThreeServers(tmp_path, url) as running:
        yield running


@contextmanager
def clients(cloud: ThreeServers, check: Callable[[Clients], None]) -> Iterator[Clients]:
    """Clients that go on for the length of the block; `check` looks at what they met."""
    sdk = cloud.sdk()
    working = Clients(cloud, sdk.auth_token)
    working.start()
    try:
        working.go_on()
        yield working
    finally:
        working.stop()
    print(f"{working.read} reads, the slowest in {working.slowest_seconds:.2f} s; {len(working.made)} writes")
    check(working)
    kept = {aggregate.name for aggregate in sdk.compute.aggregates()}
    assert set(working.made) <= kept, "what was answered with success is there"
    assert kept <= {*working.made, *working.unsure}


def test_clients_do_not_notice_which_server_answers(cloud: ThreeServers) -> None:
    """The addresses that they are told are the load balancer's, and how the servers are is not told to them."""
    sdk = cloud.sdk()
    assert cloud.auth_url() == f"{cloud.url}/identity/v3"
    assert {endpoint.url.startswith(cloud.url) for endpoint in sdk.identity.endpoints()} == {True}
    version = requests.get(f"{cloud.url}/compute/v2.1/", verify=str(cloud.authority), timeout=MOST_SECONDS,
                           headers={"Host": "cloud.example", "X-Forwarded-Proto": "http"})  # fmt: skip
    assert '"https://' in version.text
    assert '"http://' not in version.text
    for path in ("/healthz", "/readyz", "/metrics"):
        assert requests.get(cloud.url + path, verify=str(cloud.authority), timeout=MOST_SECONDS).status_code == 404


def test_a_server_that_is_killed_costs_no_read_and_at_most_the_write_it_had_in_hand(cloud: ThreeServers) -> None:
    def check(met: Clients) -> None:
        assert met.refused == []
        assert len(met.unsure) <= 1

    with clients(cloud, check) as working:
        cloud.servers[0].signal(signal.SIGKILL)
        cloud.servers[0].wait()
        cloud.wait_for_up("server-2", "server-3")
        working.go_on()
        cloud.servers[0].start()
        cloud.wait_for_up("server-1", "server-2", "server-3")
        working.go_on()


def test_servers_that_are_stopped_one_by_one_cost_nothing(cloud: ThreeServers) -> None:
    """As in an upgrade: each says that it is about to stop, and is given no more requests before it does."""

    def check(met: Clients) -> None:
        assert met.refused == []
        assert met.unsure == {}

    with clients(cloud, check) as working:
        names = [server.name for server in cloud.servers]
        for server in cloud.servers:
            server.signal(signal.SIGTERM)
            cloud.wait_for_up(*(name for name in names if name != server.name))
            working.go_on()
            server.signal(signal.SIGTERM)  # it need not wait any longer
            assert server.wait() == 0
            working.go_on()
            server.start()
            cloud.wait_for_up("server-1", "server-2", "server-3")
