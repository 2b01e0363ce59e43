"""`polyvisor serve`, and the commands for agents beside it, as processes."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from polyvisor.cli.main import cli
from polyvisor.model.errors import PolyvisorError
from polyvisor.serve.schema import bring_up_to_date
from polyvisor.store.database import Database
from testbed.postgres import TestPostgres
from tests.clients.cloud import PROGRAM

PATIENCE_SECONDS = 180


class Done(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


def command(*words: str, given: str = "") -> Done:
    """A command of the program, in this process: starting another takes its time."""
    done = CliRunner().invoke(cli, words, input=given)
    if done.exception is not None and not isinstance(done.exception, PolyvisorError | SystemExit):
        raise done.exception
    sentence = done.exception.sentence if isinstance(done.exception, PolyvisorError) else done.stderr
    return Done(done.exit_code, done.stdout, sentence)


class Server:
    """One `polyvisor serve`, from when it says that it serves."""

    def __init__(self, folder: Path, config: Path, name: str, *arguments: str) -> None:
        self.data, self.out, self.log = folder / name, folder / f"{name}.out", folder / f"{name}.log"
        with self.out.open("w") as out, self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    PROGRAM, "serve", "--config", str(config), "--data", str(self.data), "--name", name,
                    "--listen", "127.0.0.1:0", "--agents-listen", "127.0.0.1:0", *arguments,
                ],
                stdout=out, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "Polyvisor serves at" not in self.out.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def told(self, label: str) -> str:
        """What it said of something when it began."""
        [line] = [line for line in self.out.read_text().splitlines() if line.startswith(label)]
        return line.removeprefix(label).strip()

    def stop(self) -> int:
        """As systemd does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def folder(tmp_path: Path, postgres: TestPostgres) -> Iterator[Path]:
    """With a configuration for servers on an empty PostgreSQL that share their images."""
    with postgres.database() as postgresql_url:
        yield configured(tmp_path, postgresql_url)


def configured(tmp_path: Path, postgresql_url: str) -> Path:
    """The folder with the configuration in it."""
    (tmp_path / "polyvisor.toml").write_text(
        f'database = "{postgresql_url}"\n[image]\ndirectory = "{tmp_path / "images"}"\n[metrics]\nlisten = "none"\n'
    )
    return tmp_path


@pytest.fixture
def servers(folder: Path) -> Iterator[list[Server]]:
    """Those that a test begins; ended after it."""
    made: list[Server] = []
    yield made
    for server in made:
        server.stop()


def test_two_servers_share_a_cloud_and_an_agent_joins_by_either(folder: Path, servers: list[Server]) -> None:
    config = folder / "polyvisor.toml"
    servers += [Server(folder, config, "one"), Server(folder, config, "two")]
    one, two = servers
    assert [(server.data / "clouds.yaml").exists() for server in servers] == [True, False]
    url = two.told("Agents:")
    database = config.read_text().split('"')[1]
    words = ("--database", database)

    made = command("token", *words, "create", "--expires", "2h", "--json")
    assert made.status == 0, made.stderr
    told = json.loads(made.stdout)
    assert sorted(told["urls"]) == sorted([one.told("Agents:"), url])
    [listed] = [json.loads(line) for line in command("token", *words, "list", "--json").stdout.splitlines()]
    assert (listed["id"], listed["state"], "secret_hash" in listed) == (told["id"], "valid", False)
    assert told["token"].split(".")[1] not in command("token", *words, "list").stdout

    (folder / "agent.toml").write_text('[[hypervisor]]\nname = "sim"\ndriver = "simulated"\nhosts = 1\n')
    joined = command(
        "agent", "join", url, "-", "--data", str(folder / "agent"), "--name", "east", "--config",
        str(folder / "agent.toml"), given=told["token"],
    )  # fmt: skip
    assert joined.status == 0, joined.stderr
    [agent] = [json.loads(line) for line in command("agents", *words, "list", "--json").stdout.splitlines()]
    assert (agent["name"], [place["name"] for place in agent["places"]]) == ("east", ["sim"])
    assert "used" in command("token", *words, "list").stdout

    assert command("agents", *words, "forget", "east").status == 1, "it was heard of just now"
    assert "polyvisor token create --name east" in command("agents", *words, "revoke", "east").stdout
    assert "revoked" in command("agents", *words, "show", "east").stdout
    assert command("agents", *words, "forget", "east").status == 0
    assert "No agents" in command("agents", *words, "list").stdout
    assert two.stop() == 0
    assert one.process.poll() is None

    other = folder / "other.toml"
    other.write_text(config.read_text().replace(f"{folder / 'images'}", f"{folder / 'elsewhere'}"))
    said = not_started("--config", str(other), "--data", str(folder / "three"), "--listen", "127.0.0.1:0")
    assert "must share one folder" in said, "servers that do not share their images"


def refused(*words: str) -> str:
    """What the program says when it does not start: one sentence, and no traceback."""
    done = command(*words)
    assert done.status in (1, 2)
    return done.stderr


def not_started(*words: str) -> str:
    """The same of a server, in a process of its own: one that did start would not end."""
    done = subprocess.run(
        [PROGRAM, "serve", *words], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode in (1, 2), "Traceback" in done.stderr) == (True, False)
    return done.stderr


def test_on_sqlite_a_second_server_is_refused_and_hypervisors_are_an_agents(tmp_path: Path) -> None:
    config = tmp_path / "polyvisor.toml"
    config.write_text(f'database = "sqlite:///{tmp_path / "shared.db"}"\n[metrics]\nlisten = "none"\n')
    server = Server(tmp_path, config, "one")
    try:
        said = not_started("--config", str(config), "--data", str(tmp_path / "two"), "--listen", "127.0.0.1:0")
        assert "SQLite takes one at a time" in said
        config.write_text('[[hypervisor]]\nname = "kvm"\ndriver = "kvm"\n')
        said = not_started("--config", str(config), "--data", str(tmp_path / "three"))
        assert "polyvisor agent" in said
    finally:
        assert server.stop() == 0


def test_mistakes_with_tokens_and_agents_are_told_in_sentences(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'polyvisor.db'}")
    bring_up_to_date(database)
    database.close()
    words = ("--data", str(tmp_path))
    assert "No place named vc is served yet" in refused("token", *words, "create", "--place", "vc")
    assert "is no time" in refused("token", *words, "create", "--expires", "soon")
    assert "agent's name" in refused("token", *words, "create", "--name", "two words")
    assert "No token nothing" in refused("token", *words, "delete", "nothing")
    assert "No agent named nobody" in refused("agents", *words, "show", "nobody")
    made = command("token", *words, "create")
    assert "No server listens for agents" in made.stderr
    id = made.stdout.partition(".")[0]
    assert command("token", *words, "delete", id).status == 0
    assert command("token", *words, "list").stdout == "No tokens.\n"
    assert "There is no database" in refused("agents", "--data", str(tmp_path / "nowhere"), "list")
