"""A server and agents in processes of their own, on 127.0.0.1; their simulated hypervisors outlive them."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from testbed.ports import free_ports
from tests.clients.cloud import ADMIN, PROGRAM, RunningCloud

PATIENCE_SECONDS = 180.0


def eventually(true: Callable[[], Any], what: str, within_seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until `true()` is; fails with what was waited for."""
    deadline = time.monotonic() + within_seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"after {within_seconds} s still not: {what}"
        time.sleep(0.05)
    return found


class AgentProcess:
    """`polyvisor agent` with a directory of its own; its places are simulated, in files that agents may share."""

    def __init__(self, folder: Path, name: str, places: dict[str, Path], **settings: Any) -> None:
        """`places`: place → the file with its guests; `settings`: of each simulated connection."""
        self.name, self.data, self.log = name, folder / name, folder / f"{name}.log"
        self.config = folder / f"{name}.toml"
        self.process: subprocess.Popen[bytes] | None = None
        tables = ["[operate]\ninventory_seconds = 1.0\n", '[metrics]\nlisten = "none"\n']
        for place, estate in places.items():
            given = {"name": place, "driver": "simulated", "estate_path": str(estate), **settings}
            tables.append(
                "[[hypervisor]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())
            )
        self.config.write_text("\n".join(tables))

    def join(self, url: str, token: str, *more: str) -> subprocess.CompletedProcess[str]:
        """`polyvisor agent join`, with the token on its standard input."""
        where = ["--data", str(self.data), "--config", str(self.config)]
        command = [PROGRAM, "agent", "join", url, "-", "--name", self.name, *where, *more]
        return subprocess.run(
            command, input=token, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )

    def start(self) -> None:
        """`polyvisor agent run`."""
        assert self.process is None, "it runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "agent", "run", "--data", self.data], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, which: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(which)

    def stop(self) -> int:
        """As systemd does; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Until it has ended."""
        assert self.process is not None
        code = self.process.wait(PATIENCE_SECONDS)
        self.process = None
        return code

    def kill(self) -> None:
        """By SIGKILL, if it runs; a stopped one too."""
        if self.process is not None:
            self.process.kill()
            self.wait()

    def status(self) -> dict[str, Any]:
        """What `polyvisor agent status` says."""
        done = subprocess.run(
            [PROGRAM, "agent", "status", "--json", "--data", self.data], capture_output=True, text=True, check=True,
            timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def roles(self) -> dict[str, str]:
        """What it is to each place, as it wrote last."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.data / "status.json").read_text())
            return {place["name"]: place["role"] for place in found["places"]}
        return {}

    def logged(self) -> str:
        """All that it has written."""
        return self.log.read_text(errors="replace")


class AgentCloud:
    """`polyvisor up` with a listener for agents, and agents that have joined it."""

    def __init__(self, folder: Path, **agents: Any) -> None:
        """`agents`: settings of `[agents]`."""
        self.folder = folder
        (self.port,) = free_ports(1)
        config = folder / "server.toml"
        listen = {"listen": f"127.0.0.1:{self.port}", **agents}
        config.write_text("[agents]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in listen.items()))
        self.server = RunningCloud(folder, "--config", str(config))
        self.agents: list[AgentProcess] = []

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.agents:
            agent.kill()
        self.server.__exit__()

    @property
    def url(self) -> str:
        """Where agents dial."""
        return f"https://127.0.0.1:{self.port}"

    def token(self, *words: str) -> str:
        """`polyvisor token create`."""
        made = self.server.command("token", "create", "--json", *words)
        assert made.status == 0, made
        found: str = json.loads(made.stdout)["token"]
        return found

    def agent(
        self, name: str, places: dict[str, Path], *, rights: tuple[str, ...] = (), **settings: Any
    ) -> AgentProcess:
        """One that has joined, and runs. `rights`: places that are another's already."""
        made = AgentProcess(self.folder, name, places, **settings)
        joined = made.join(self.url, self.token(*(word for place in rights for word in ("--place", place))))
        assert joined.returncode == 0, joined
        self.agents.append(made)
        made.start()
        return made

    def pair(self, **settings: Any) -> tuple[AgentProcess, AgentProcess, Path]:
        """An active and a standby agent of the place "vc", and the file with its guests."""
        estate = self.folder / "estate.db"
        active = self.agent("active", {"vc": estate}, **settings)
        eventually(lambda: active.roles() == {"vc": "active"}, "the first agent is active")
        self.until_hosts(1)
        standby = self.agent("standby", {"vc": estate}, rights=("vc",), **settings)
        eventually(lambda: standby.roles() == {"vc": "standby"}, "the second agent is standby")
        return active, standby, estate

    def until_hosts(self, count: int) -> None:
        """Wait until so many hosts are up."""
        sdk = self.server.sdk(ADMIN)
        eventually(
            lambda: [each.state for each in sdk.compute.hypervisors(details=True)].count("up") == count,
            f"{count} hosts are up",
        )

    def image(self) -> str:
        """An image of a MiB."""
        content = self.folder / "image.raw"
        content.write_bytes(os.urandom(1024**2))
        made = self.server.sdk(ADMIN).image.create_image(
            name="image", filename=str(content), disk_format="raw", container_format="bare", visibility="public"
        )
        return str(made.id)

    def guests(self, estate: Path) -> list[str]:
        """Ids of the guests that are in an estate."""
        with sqlite3.connect(f"file:{estate}?mode=ro", uri=True) as sql:
            return sorted(row[0] for row in sql.execute("SELECT server_id FROM guest"))

    def is_free(self, place: str, before: AgentProcess) -> bool:
        """Whether nobody holds a place, or another one than the agent that held it before."""
        with sqlite3.connect(f"file:{self.server.data / 'polyvisor.db'}?mode=ro", uri=True) as sql:
            [(name, held_until)] = sql.execute(
                "SELECT agent.name, held_until FROM place JOIN agent ON agent.id = place.agent_id WHERE place.name = ?",
                (place,),
            )
        return bool(name != before.name or held_until <= time.time() * 1_000_000)

    def steps_at_work(self) -> list[str]:
        """Names of the agents' operations that are leased just now."""
        with sqlite3.connect(f"file:{self.server.data / 'polyvisor.db'}?mode=ro", uri=True) as sql:
            rows = sql.execute("SELECT place FROM operation WHERE lease_owner <> '' AND place <> 'control'")
            return [row[0] for row in rows]
