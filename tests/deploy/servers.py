"""`polyvisor serve`, three times over one PostgreSQL, behind the deployment's own HAProxy file."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Self

from openstack.config import OpenStackConfig
from openstack.connection import Connection

from polyvisor.serve.tls import own_certificate
from testbed.ports import free_ports
from testbed.process import wait_for
from tests.clients.cloud import PROGRAM
from tests.deploy.balancer import Balancer

START_TIMEOUT_SECONDS = 180
_CONFIGURATION = """\
database = "{database}"
tls_certificate = "{certificate}"
tls_key = "{key}"

[api]
public_url = "{url}"
behind_proxy = true
drain_seconds = 600.0

[image]
directory = "{folder}/images"

[metrics]
listen = "none"
"""


class ServerProcess:
    """One `polyvisor serve`, started again on the same ports and directory after each end."""

    def __init__(self, folder: Path, name: str, port: int, agents_port: int) -> None:
        self.name, self.port, self.agents_port = name, port, agents_port
        self.data, self.log = folder / name, folder / f"{name}.log"
        self._config = folder / "polyvisor.toml"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it without waiting."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM, "serve", "--config", self._config, "--data", self.data, "--name", self.name,
                    "--listen", f"127.0.0.1:{self.port}", "--agents-listen", f"127.0.0.1:{self.agents_port}",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("OS_")},
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Until it says that it serves; raises ChildProcessError with what it wrote when it ends instead."""

        def ready() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise ChildProcessError(self.log.read_text(errors="replace"))
            return "Polyvisor serves at " in self.log.read_text(errors="replace")

        wait_for(ready, START_TIMEOUT_SECONDS, lambda: self.log.read_text(errors="replace"))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        assert self._process is not None
        return self._process.wait(START_TIMEOUT_SECONDS)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class ThreeServers:
    """The servers and their load balancer, from `with` to the end of the block."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        ports = free_ports(6)
        self.servers = [
            ServerProcess(folder, f"server-{number}", *pair)
            for number, pair in enumerate(zip(ports[:3], ports[3:], strict=True), 1)
        ]
        made = own_certificate(folder / "tls", "127.0.0.1")
        assert made.authority is not None
        self.authority = made.authority
        both = folder / "cloud.pem"
        both.write_bytes(made.chain.read_bytes() + made.key.read_bytes())
        self.balancer = Balancer(folder, ports[:3], ports[3:], certificate=both, authorities=made.authority)
        self.url = f"https://127.0.0.1:{self.balancer.api}"
        (folder / "images").mkdir()
        (folder / "polyvisor.toml").write_text(
            _CONFIGURATION.format(
                database=database, certificate=made.chain, key=made.key, url=self.url, folder=folder
            )
        )  # fmt: skip

    def __enter__(self) -> Self:
        try:
            config = self.folder / "polyvisor.toml"
            subprocess.run(
                [PROGRAM, "database", "--config", config, "upgrade"], check=True, timeout=START_TIMEOUT_SECONDS
            )
            for server in self.servers:
                server.start()
            for server in self.servers:
                server.wait_until_ready()
            self.balancer.__enter__()
            self.wait_for_up("server-1", "server-2", "server-3")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self.servers:
            server.kill()
        self.balancer.__exit__()
        for each in [self.folder / "haproxy.log", *(server.log for server in self.servers)]:
            print(f"{each.name}:\n{each.read_text(errors='replace')[-6000:]}")

    def wait_for_up(self, *names: str) -> None:
        """Until the load balancer sends requests to these and no others."""
        wait_for(
            lambda: self.balancer.up() == list(names),
            START_TIMEOUT_SECONDS,
            lambda: f"up are {self.balancer.up()}, not {names}: {self.balancer.log()[-3000:]}",
        )

    def clouds_file(self) -> Path:
        """The clouds.yaml with the first users' passwords, which one of the servers has written."""
        (found,) = [server.data / "clouds.yaml" for server in self.servers if (server.data / "clouds.yaml").exists()]
        return found

    def sdk(self, cloud: str = "polyvisor-admin") -> Connection:
        """An openstacksdk connection through the load balancer."""
        config = OpenStackConfig(config_files=[str(self.clouds_file())], load_envvars=False)
        return Connection(config=config.get_one(cloud, cacert=str(self.authority)))

    def auth_url(self) -> str:
        """What clouds.yaml tells clients."""
        clouds = json.loads(self.clouds_file().read_text().partition("\n")[2])["clouds"]
        return str(clouds["polyvisor"]["auth"]["auth_url"])
