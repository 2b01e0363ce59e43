"""From one release to the next without a pause: old and new servers side by side on one database, under load."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from testbed.postgres import TestPostgres
from testbed.process import wait_for
from tests.clients.cloud import PROGRAM
from tests.upgrade.present import PRESENT

ROOT = Path(__file__).parents[2]
PRESENT_PROGRAM = (PROGRAM,)
NEXT_PROGRAM = (sys.executable, "-m", "tests.upgrade.next_release")
EXPANDED, CONTRACTED = "9001", "9002"
PATIENCE_SECONDS = 180
_READY = "Polyvisor serves at "


class Server:
    """A `polyvisor serve` of one release or the other."""

    def __init__(self, program: tuple[str, ...], folder: Path, config: Path) -> None:
        folder.mkdir()
        self.data, self._log = folder, folder / "log"
        words = ["serve", "--config", str(config), "--data", str(folder), "--listen", "127.0.0.1:0"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*program, *words, "--name", folder.name], stdout=log, stderr=log, cwd=ROOT, stdin=subprocess.DEVNULL
            )
        self.url = ""

    def wait(self) -> str:
        """Its address, once it serves."""
        wait_for(self._serves, PATIENCE_SECONDS, lambda: f"the server does not come up: {self.said()}")
        return self.url

    def _serves(self) -> bool:
        assert self.process.poll() is None, self.said()
        line = next((line for line in self.said().splitlines() if line.startswith(_READY)), "")
        self.url = line.removeprefix(_READY).strip()
        return bool(self.url)

    def said(self) -> str:
        """All that it wrote."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """In good order."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)


class Load:
    """Makes key pairs at one server and deletes every other one, until it is told to stop; keeps every answer."""

    def __init__(self, server: Server, token: str, name: str) -> None:
        self._keys = f"{server.url}/compute/v2.1/os-keypairs"
        self._session = requests.Session()
        self._session.headers["X-Auth-Token"] = token
        self._name = name
        self.kept: list[str] = []
        self.wrong: list[str] = []
        self.done = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            name = f"{self._name}-{self.done}"
            self._expect(200, self._session.post(self._keys, json={"keypair": {"name": name, "public_key": _KEY}}))
            self._expect(200, self._session.get(self._keys, params={"limit": 5}))
            if self.done % 2:
                self._expect(202, self._session.delete(f"{self._keys}/{name}"))
            else:
                self.kept.append(name)
            self.done += 1

    def _expect(self, status: int, answer: requests.Response) -> None:
        if answer.status_code != status:
            self.wrong.append(f"{answer.request.method}: {answer.status_code} {answer.text}")

    def go_on(self, more: int = 5) -> None:
        """Until that many rounds more were made."""
        enough = self.done + more
        wait_for(lambda: self.done >= enough, PATIENCE_SECONDS, lambda: f"only {self.done} rounds: {self.wrong[:3]}")

    def stop(self) -> None:
        """Once the round that is under way has ended."""
        self._stopping.set()
        self._thread.join(PATIENCE_SECONDS)


_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPZ0bHRkY1p5bXJ3c2tqaGdmZWRjYmE5ODc2NTQzMjEw"


def token_of(server: Server) -> str:
    """An administrator's, whose project may have any number of key pairs."""
    clouds = json.loads((server.data / "clouds.yaml").read_text().partition("\n")[2])["clouds"]
    auth = clouds["polyvisor-admin"]["auth"]
    user = {"name": auth["username"], "password": auth["password"], "domain": {"id": "default"}}
    scope = {"project": {"name": auth["project_name"], "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    answer = requests.post(f"{server.url}/identity/v3/auth/tokens", json=body, timeout=PATIENCE_SECONDS)
    token = answer.headers["X-Subject-Token"]
    quota = f"{server.url}/compute/v2.1/os-quota-sets/{answer.json()['token']['project']['id']}"
    limits = {"quota_set": {"key_pairs": -1}}
    requests.put(quota, json=limits, headers={"X-Auth-Token": token}, timeout=PATIENCE_SECONDS).raise_for_status()
    return token


def command(program: tuple[str, ...], config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`polyvisor database …` of one release or the other."""
    return subprocess.run(
        [*program, "database", "--config", str(config), *words], capture_output=True, text=True, cwd=ROOT, check=False
    )


@contextmanager
def refused(program: tuple[str, ...], folder: Path, config: Path) -> Iterator[str]:
    """What a server says that does not start."""
    server = Server(program, folder, config)
    try:
        assert server.process.wait(PATIENCE_SECONDS) == 1
        yield server.said()
    finally:
        server.stop()


def test_servers_of_two_releases_serve_side_by_side_and_lose_nothing(postgres: TestPostgres, tmp_path: Path) -> None:
    config = tmp_path / "polyvisor.toml"
    with postgres.database() as url, ExitStack() as last:
        images = tmp_path / "images"
        config.write_text(f'database = "{url}"\ndatabase_connections = 8\n[image]\ndirectory = "{images}"\n')
        loads: list[Load] = []

        def started(program: tuple[str, ...], name: str) -> Server:
            server = Server(program, tmp_path / name, config)
            last.callback(server.stop)
            server.wait()
            return server

        def loaded(server: Server, name: str) -> Load:
            loads.append(Load(server, token, name))
            last.callback(loads[-1].stop)
            return loads[-1]

        old = started(PRESENT_PROGRAM, "old")
        token = token_of(old)
        on_old = loaded(old, "old")
        with refused(NEXT_PROGRAM, tmp_path / "too-early", config) as sentence:
            assert f"is at revision {PRESENT}, and this version needs {EXPANDED}" in sentence
            assert "polyvisor database upgrade" in sentence

        # Expand, under load.
        on_old.go_on()
        upgraded = command(NEXT_PROGRAM, config, "upgrade")
        assert f"Took {EXPANDED}." in upgraded.stdout, upgraded.stderr
        on_old.go_on()

        # Both serve; and an old one may still be started.
        on_new = loaded(started(NEXT_PROGRAM, "new"), "new")
        again = loaded(started(PRESENT_PROGRAM, "old-again"), "old-again")
        for load in loads:
            load.go_on()
        assert "of a newer version" in command(PRESENT_PROGRAM, config, "check").stdout
        withheld = command(NEXT_PROGRAM, config, "upgrade")
        assert withheld.returncode == 1
        assert "upgrade --contract" in withheld.stderr

        # Contract, once the old ones are gone.
        for load in (on_old, again):
            load.stop()
        old.stop()
        assert on_new.wrong == []
        contracted = command(NEXT_PROGRAM, config, "upgrade", "--contract")
        assert f"Took {CONTRACTED}." in contracted.stdout, contracted.stderr
        on_new.go_on()
        with refused(PRESENT_PROGRAM, tmp_path / "too-late", config) as sentence:
            assert f"it knows {PRESENT}, and {EXPANDED} is needed" in sentence

        on_new.stop()
        assert [load.wrong for load in loads] == [[], [], []]
        name = url.rpartition("/")[2]
        found: dict[str, Any] = dict(postgres.ask("SELECT name, purpose FROM keypair", name))
        assert sorted(found) == sorted(name for load in loads for name in load.kept)
        assert {found[name] for name in on_new.kept} == {"next"}
        assert {found[name] for name in (*on_old.kept, *again.kept)} == {"present"}
