"""HAProxy with the deployment's own file: only addresses, paths and the user are this test's."""

import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from testbed.ports import free_ports
from testbed.process import wait_for
from tests.deploy.build import ROOT

FILE = ROOT / "deploy/haproxy/haproxy.cfg"
START_TIMEOUT_SECONDS = 180


class Balancer:
    """HAProxy in front of servers on 127.0.0.1, from `with` to the end of the block."""

    def __init__(
        self, folder: Path, api: Sequence[int], agents: Sequence[int], *, certificate: Path, authorities: Path
    ) -> None:
        """`api`, `agents`: the servers' ports; `certificate`: PEM with key; `authorities`: the servers' own."""
        self.folder, self.certificate = folder, certificate
        self.api, self.agents, self.status, self.alive = free_ports(4)
        text = FILE.read_text()
        for number, (port, agent_port) in enumerate(zip(api, agents, strict=True), 11):
            text = text.replace(f"10.0.0.{number}:5000", f"127.0.0.1:{port}")
            text = re.sub(
                rf"10\.0\.0\.{number}:5443 check port 5000", f"127.0.0.1:{agent_port} check port {port}", text
            )
        for old, new in (
            ("bind :443 ", f"bind 127.0.0.1:{self.api} "),
            ("bind :5443", f"bind 127.0.0.1:{self.agents}"),
            ("bind 127.0.0.1:8404", f"bind 127.0.0.1:{self.status}"),
            ("bind 127.0.0.1:8405", f"bind 127.0.0.1:{self.alive}"),
            ("/etc/haproxy/cloud.pem", str(certificate)),
            ("ca-base /etc/haproxy/polyvisor", f"ca-base {authorities.parent}"),
            ("ca-file authority.pem", f"ca-file {authorities.name}"),
            ("maxconn 20000", "maxconn 2000"),
            ("/run/haproxy/admin.sock", str(folder / "admin.sock")),
            ("  user haproxy\n  group haproxy\n", ""),
            ("log /dev/log local0", "log stdout format raw local0"),
            # One that is dead or about to stop is known at once; one that is slow, as all are here, is given its time.
            ("timeout connect 3s", "timeout connect 60s\n  timeout check 60s"),
            (
                "check inter 1s fastinter 500ms downinter 1s fall 2 ",
                "check inter 3s fastinter 500ms downinter 1s fall 4 ",
            ),
        ):
            assert old in text, f"{FILE} has no {old!r} any more"
            text = text.replace(old, new)
        self.file = folder / "haproxy.cfg"
        self.file.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self.folder / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["haproxy", "-db", "-f", self.file], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for(self._listens, START_TIMEOUT_SECONDS, self.log)
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def check(self) -> str:
        """What HAProxy says of its file; raises CalledProcessError with it when it finds a mistake."""
        done = subprocess.run(["haproxy", "-c", "-V", "-f", self.file], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def up(self) -> list[str]:
        """Names of the API's servers that are given requests."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.folder / "admin.sock"))
            asked.sendall(b"show stat\n")
            rows = b"".join(iter(lambda: asked.recv(65536), b"")).decode().splitlines()
        cells = [row.split(",") for row in rows]
        return [row[1] for row in cells if row[0] == "servers" and row[1] != "BACKEND" and row[17] == "UP"]

    def log(self) -> str:
        """What it has written."""
        return (self.folder / "haproxy.log").read_text(errors="replace")

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildProcessError(self.log())
        try:
            socket.create_connection(("127.0.0.1", self.api), timeout=5).close()
        except OSError:
            return False
        return (self.folder / "admin.sock").exists()
