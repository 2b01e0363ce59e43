"""The cloud itself: several `polyvisor serve`, HAProxy before them, and agents, each in its part of the network."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ha import certificate, proxy
from ha.client import ANSWER_SECONDS, Client, NoAnswer, insist
from testbed.faults import Clock, Program
from testbed.netns import Network

API_PORT, AGENTS_PORT = 5000, 5443
PROXY = "proxy"
START_SECONDS = 120.0
HOSTS_SECONDS = 180.0
COMMAND_SECONDS = 120.0
POLYVISOR = str(Path(sys.executable).parent / "polyvisor")

_SERVER = """\
listen = "{address}:5000"
database = "{database}"
tls_certificate = "{certificate.chain}"
tls_key = "{certificate.key}"
log_levels = {{ api = "warning" }}

[api]
public_url = "{url}"
behind_proxy = {behind_proxy}

[agents]
listen = "{address}:5443"

[image]
directory = "{images}"

[compute]
reserved_memory_mib = 0

{settings}
"""
_AGENT = """\
[[hypervisor]]
name = "{place}"
{settings}
"""


@dataclass(frozen=True)
class AgentPlan:
    """One agent, in the part of the network that bears its name."""

    name: str
    place: str
    settings: str
    """The lines of its [[hypervisor]] table after the name."""
    part: str = ""
    """Where it runs, if that is not the part of its own name."""


class Cloud:
    """Runs from `with` to the end of the block, over a database that is there already."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        database: str,
        servers: Sequence[str],
        agents: Sequence[AgentPlan],
        *,
        with_proxy: bool = True,
        with_clocks: bool = False,
        settings: str = "",
    ) -> None:
        """`database`: SQLAlchemy's URL; `servers`: their names, which are parts of the network, as the agents' are.

        `with_clocks`: each program has a wall clock of its own, that can be made to jump. `settings`: further tables
        of the servers' configuration.
        """
        self.network, self.folder, self.database = network, folder, database
        self.servers, self.agents = tuple(servers), tuple(agents)
        named = [*servers, *(plan.name for plan in agents)] if with_clocks else []
        self._settings = settings
        self.clocks = {name: Clock(folder / f"{name}.clock") for name in named}
        addresses = [network.address(name) for name in servers]
        front = [network.address(PROXY)] if with_proxy else []
        self._certificate = certificate.make(folder, [*addresses, *front])
        self._authority = str(self._certificate.authority)
        self._direct = [f"https://{address}:{API_PORT}" for address in addresses]
        self.urls = [f"https://{front[0]}"] if front else self._direct
        self.programs = {name: self._server(name) for name in servers}
        if with_proxy:
            file = proxy.write(folder, front[0], addresses, self._certificate)
            self.programs[PROXY] = self._program(PROXY, ["haproxy", "-W", "-db", "-f", str(file)], PROXY)
        self.programs |= {plan.name: self._agent(plan) for plan in agents}
        self._passwords: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for program in self.programs.values():
                stack.callback(program.kill)
            self.command(self.servers[0], "database", "upgrade")
            for name in self.servers:
                self.start(name)
            if PROXY in self.programs:
                self.start(PROXY)
            for plan in self.agents:
                self._join(plan)
                self.programs[plan.name].start()
            for plan in self.agents:
                self.programs[plan.name].wait_for_words(f"the agent {plan.name} serves", START_SECONDS)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def start(self, name: str) -> None:
        """Start a part, the first time or again, and wait until it is at work."""
        program = self.programs[name]
        written = program.log.stat().st_size if program.log.exists() else 0
        program.start()
        if name in self.servers:
            self._wait_for_answer(name, f"https://{self.network.address(name)}:{API_PORT}", "/readyz")
        elif name == PROXY:
            self._wait_for_answer(name, self.urls[0], "/")
        else:
            program.wait_for_words(f"the agent {name} serves", START_SECONDS, written)

    def restore(self) -> None:
        """Everything runs, and reaches everything, whatever was done to it."""
        self.network.heal()
        for name, program in self.programs.items():
            if program.pid is None:
                self.start(name)
            elif program.paused:
                program.resume()

    def unready(self) -> list[str]:
        """A sentence for each server that does not say that it is ready."""
        found = []
        for name in self.servers:
            alone = Client([f"https://{self.network.address(name)}:{API_PORT}"], "", "", "", self._authority)
            try:
                alone.knock("/readyz")
            except NoAnswer as error:
                found.append(f"{name} is not ready: {error}")
            alone.close()
        return found

    def client(self, user: str = "demo", *, patience_seconds: float = ANSWER_SECONDS) -> Client:
        """A new client of one of the two first users, "demo" or "admin", that waits so long for an answer."""
        if not self._passwords:
            clouds = (self.folder / self.servers[0] / "clouds.yaml").read_text().partition("\n")[2]
            found = json.loads(clouds)["clouds"]
            self._passwords = {each["auth"]["username"]: each["auth"]["password"] for each in found.values()}
        return Client(self.urls, user, self._passwords[user], user, self._authority, patience_seconds)

    def wait_for_hosts(self, count: int) -> None:
        """Until so many hypervisors are up. Raises TimeoutError."""
        admin = self.client("admin")
        deadline = time.monotonic() + HOSTS_SECONDS
        while True:
            answer = insist(lambda: admin.ask("GET", "/compute/v2.1/os-hypervisors/detail"), HOSTS_SECONDS).json()
            up = [each["hypervisor_hostname"] for each in answer["hypervisors"] if each["state"] == "up"]
            if len(up) >= count:
                break
            if time.monotonic() > deadline:
                tails = "\n".join(self.programs[plan.name].tail() for plan in self.agents)
                raise TimeoutError(f"only {up} of {count} hosts are up: {answer}\n{tails}")
            time.sleep(0.2)
        admin.close()

    def allow(self, servers: int) -> None:
        """Raise the quota of the project "demo" to so many servers."""
        admin = self.client("admin", patience_seconds=COMMAND_SECONDS)
        [project] = admin.ask("GET", "/identity/v3/projects?name=demo").json()["projects"]
        quota = {"instances": servers, "cores": servers, "ram": servers * 1024}
        admin.ask("PUT", f"/compute/v2.1/os-quota-sets/{project['id']}", {"quota_set": quota})
        admin.close()

    def upload_image(self, name: str, content: bytes, **properties: str) -> str:
        """A public raw image; returns its id."""
        admin = self.client("admin", patience_seconds=COMMAND_SECONDS)
        described = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public"}
        image = admin.ask("POST", "/image/v2/images", {**described, **properties}).json()
        octets = {"Content-Type": "application/octet-stream"}
        admin.ask("PUT", f"/image/v2/images/{image['id']}/file", data=content, headers=octets)
        admin.close()
        return str(image["id"])

    def command(self, server: str, *words: str) -> str:
        """What `polyvisor GROUP WORDS` prints, typed beside a server. Raises RuntimeError."""
        group, *rest = words
        return self._run(server, [POLYVISOR, group, "--config", str(self._config(server)), *rest])

    def _server(self, name: str) -> Program:
        text = _SERVER.format(
            address=self.network.address(name),
            database=self.database,
            certificate=self._certificate,
            url=self.urls[0],
            behind_proxy="true" if self.urls is not self._direct else "false",
            images=self.folder / "images",
            settings=self._settings,
        )
        self._config(name).write_text(text)
        command = [POLYVISOR, "serve", "--data", str(self.folder / name), "--config", str(self._config(name))]
        command += ["--name", name]
        return self._program(name, command, name)

    def _agent(self, plan: AgentPlan) -> Program:
        self._config(plan.name).write_text(_AGENT.format(place=plan.place, settings=plan.settings))
        command = [POLYVISOR, "agent", "run", "--data", str(self.folder / plan.name)]
        return self._program(plan.name, command, plan.part or plan.name)

    def _join(self, plan: AgentPlan) -> None:
        """A token for it, as an administrator types it, and the agent's own command, in its own part."""
        earlier = [each.place for each in self.agents[: self.agents.index(plan)]]
        places = ["--place", plan.place] if plan.place in earlier else []
        if places:
            self._wait_for_place(plan.place)
        printed = self.command(self.servers[0], "token", "create", "--name", plan.name, *places)
        token = next(line.strip() for line in printed.splitlines() if line.count(".") == 2 and " " not in line.strip())
        url = f"https://{self.network.address(self.servers[0])}:{AGENTS_PORT}"
        typed = [POLYVISOR, "agent", "join", url, "-", "--name", plan.name, "--data", str(self.folder / plan.name)]
        self._run(plan.part or plan.name, [*typed, "--config", str(self._config(plan.name))], token)

    def _wait_for_place(self, place: str) -> None:
        """A standby can only be let in once the first agent has brought the place."""
        deadline = time.monotonic() + START_SECONDS
        while f'"name":"{place}"' not in self.command(self.servers[0], "agents", "list", "--json"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody serves {place}")

    def _config(self, name: str) -> Path:
        return self.folder / f"{name}.toml"

    def _program(self, name: str, command: list[str], part: str) -> Program:
        environment = self.clocks[name].environment if name in self.clocks else {}
        log = self.folder / f"{name}.log"
        return Program(name, self.network.command(part, command), log, environment=environment)

    def _run(self, part: str, command: list[str], text: str = "") -> str:
        done = subprocess.run(
            self.network.command(part, command),
            input=text, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def _wait_for_answer(self, name: str, url: str, path: str) -> None:
        program = self.programs[name]
        alone = Client([url], "", "", "", self._authority)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(alone, path):
            if program.pid is None or time.monotonic() > deadline:
                raise TimeoutError(f"{name} did not come up:\n{program.tail()}")
            time.sleep(0.1)
        alone.close()


def _answers(client: Client, path: str) -> bool:
    try:
        client.knock(path)
    except NoAnswer:  # that it is not ready, among others
        return False
    return True
