"""Two machines with HAProxy and keepalived, by the deployment's own files, and the address that moves between them."""

import contextlib
import http.server
import re
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Self

import requests

from polyvisor.serve.tls import own_certificate
from testbed.netns import OUTSIDE, Network
from testbed.process import wait_for
from tests.deploy import balancer
from tests.deploy.build import ROOT

KEEPALIVED = ROOT / "deploy/keepalived/keepalived.conf"
PATIENCE_SECONDS = 180
NAMES = ("one", "two")
_ANSWER = b"a server"


class Pair:
    """The two, in network namespaces of their own, from `with` to the end of the block; the servers are outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self._haproxies: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.network = self._stack.enter_context(Network(*NAMES))
            self.address = re.sub(r"\d+$", "200", self.network.address("one"))
            made = own_certificate(self.folder / "tls", self.address)
            servers = own_certificate(self.folder / "servers", self.network.address(OUTSIDE))
            assert made.authority is not None
            assert servers.authority is not None
            self.authority = made.authority
            port = self._serve(servers.chain, servers.key)
            for number, name in enumerate(NAMES):
                (self.folder / name).mkdir()
                both = self.folder / name / "cloud.pem"
                both.write_bytes(made.chain.read_bytes() + made.key.read_bytes())
                self._write_haproxy(name, port, both, servers.authority)
                self.start_haproxy(name)
                self._start_keepalived(name, NAMES[1 - number], priority=(150, 100)[number])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
        for log in sorted(self.folder.glob("*/*.log")):
            print(f"{log.relative_to(self.folder)}:\n{log.read_text(errors='replace')[-4000:]}")

    # What can be asked

    def holders(self) -> list[str]:
        """The machines that have the address."""
        return [name for name in NAMES if f" {self.address}/" in self._run(name, "ip", "-o", "-4", "addr").stdout]

    def is_served_by(self, name: str) -> bool:
        """Whether a client that asks the address is answered, and this machine alone has it."""
        try:
            got = requests.get(f"https://{self.address}/compute", verify=str(self.authority), timeout=2)
        except requests.RequestException:
            return False
        return got.content == _ANSWER and self.holders() == [name]

    def wait_for_one(self) -> tuple[str, str]:
        """Until the address is served; the machine that has it, and the other. Raises TimeoutError."""
        serving: list[str] = []

        def served() -> bool:
            serving[:] = [name for name in NAMES if self.is_served_by(name)]
            return len(serving) == 1

        wait_for(served, PATIENCE_SECONDS, lambda: f"{self.holders()} have the address")
        return serving[0], next(name for name in NAMES if name != serving[0])

    def wait_until_served_by(self, name: str) -> None:
        """Raises TimeoutError."""
        wait_for(
            lambda: self.is_served_by(name), PATIENCE_SECONDS, lambda: f"{self.holders()} have the address, not {name}"
        )

    def wait_for_log(self, name: str, said: str, times: int) -> None:
        """Until a machine's keepalived has said something so many times. Raises TimeoutError."""
        wait_for(lambda: self.said(name, said) >= times, PATIENCE_SECONDS, lambda: f"{name} has not said {said!r}")

    def said(self, name: str, what: str) -> int:
        """How often a machine's keepalived has said it."""
        return (self.folder / name / "keepalived.log").read_text(errors="replace").count(what)

    # What can be done to them

    def start_haproxy(self, name: str) -> None:
        """Start it without waiting."""
        self._haproxies[name] = self._start(name, "haproxy", "haproxy", "-db", "-f", str(self._file(name)))

    def kill_haproxy(self, name: str) -> None:
        """SIGKILL."""
        self._haproxies[name].kill()
        self._haproxies[name].wait()

    def lose_servers(self, name: str) -> None:
        """The machine has no way to the servers any more."""
        self._run(name, "ip", "route", "add", "unreachable", f"{self.network.address(OUTSIDE)}/32")

    def find_servers(self, name: str) -> None:
        """It has one again."""
        self._run(name, "ip", "route", "del", "unreachable", f"{self.network.address(OUTSIDE)}/32")

    def unplug(self, name: str) -> None:
        """The machine's network goes."""
        self._run(name, "ip", "link", "set", "eth0", "down")

    def plug(self, name: str) -> None:
        """The machine's network comes back."""
        self._run(name, "ip", "link", "set", "eth0", "up")

    # Below

    def _file(self, name: str) -> Path:
        return self.folder / name / "haproxy.cfg"

    def _write_haproxy(self, name: str, port: int, certificate: Path, authority: Path) -> None:
        text = balancer.FILE.read_text()
        for number in (11, 12, 13):
            text = text.replace(f"10.0.0.{number}:5000", f"{self.network.address(OUTSIDE)}:{port}")
        for old, new in (
            ("/etc/haproxy/cloud.pem", str(certificate)),
            ("ca-base /etc/haproxy/polyvisor", f"ca-base {authority.parent}"),
            ("ca-file authority.pem", f"ca-file {authority.name}"),
            ("maxconn 20000", "maxconn 200"),
            ("/run/haproxy/admin.sock", str(self.folder / name / "admin.sock")),
            ("  user haproxy\n  group haproxy\n", ""),
            ("log /dev/log local0", "log stdout format raw local0"),
            # A server that is slow, as all are here, is given its time; one that cannot be reached is known at once.
            ("timeout connect 3s", "timeout connect 60s\n  timeout check 60s"),
        ):
            assert old in text, f"{balancer.FILE} has no {old!r} any more"
            text = text.replace(old, new)
        self._file(name).write_text(text)

    def _start_keepalived(self, name: str, other: str, priority: int) -> None:
        text = KEEPALIVED.read_text()
        for old, new in (
            ("unicast_src_ip 10.0.0.21", f"unicast_src_ip {self.network.address(name)}"),
            ("    10.0.0.22\n", f"    {self.network.address(other)}\n"),
            ("10.0.0.20/24", f"{self.address}/24"),
            ("priority 150", f"priority {priority}"),
        ):
            assert text.count(old) == 1, f"{KEEPALIVED} has {old!r} no more, or more than once"
            text = text.replace(old, new)
        folder = self.folder / name
        (folder / "keepalived.conf").write_text(text)
        self._start(
            name, "keepalived", "keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp",
            "--use-file", str(folder / "keepalived.conf"),
            "--pid", str(folder / "keepalived.pid"), "--vrrp_pid", str(folder / "vrrp.pid"),
        )  # fmt: skip

    def _start(self, name: str, log: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / name / f"{log}.log").open("ab") as output:
            process = subprocess.Popen(
                # However busy this machine is: who says nothing for two seconds is taken for dead.
                self.network.command(name, ["nice", "-n", "-20", *command]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._stack.callback(process.wait)  # the network's end kills it
        self._stack.callback(process.terminate)
        return process

    def _run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.network.command(name, command), text=True, capture_output=True, check=True)

    def _serve(self, chain: Path, key: Path) -> int:
        """What stands for the servers: ready, and with one answer to all. Returns its port."""
        server = _Server((self.network.address(OUTSIDE), 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)
        self._stack.callback(server.server_close)
        return server.server_port


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, address: object) -> None:
        """Clients that hang up in the middle are expected here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_ANSWER)))
        self.end_headers()
        self.wfile.write(_ANSWER)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""
