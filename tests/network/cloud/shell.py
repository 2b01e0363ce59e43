"""A shell on a guest, over ssh: one login that many commands share, so that a slow guest computes one key exchange."""

import subprocess
from pathlib import Path

from testbed.ovn_guest import TestGuest
from testbed.process import wait_for

LOGIN_SECONDS = 120.0
COMMAND_SECONDS = 120.0


class Shell:
    """What is typed on a guest. `source`: the namespace that it is reached from; `key`: the file of a private key."""

    def __init__(self, source: TestGuest, address: str, key: Path) -> None:
        self.address, self._source = address, source
        self._socket = key.parent / f"ssh-{address}"
        known = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        self._ssh = ["ssh", "-F", "none", "-i", str(key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", *known]
        self._master: subprocess.Popen[bytes] | None = None

    def login(self) -> None:
        """Log in, by the key that the guest was told. Raises TimeoutError where it does not let us in."""

        def is_in() -> bool:
            if self._master is None or self._master.poll() is not None:
                words = ["-o", "ControlMaster=yes", "-o", f"ControlPath={self._socket}", "-N"]
                self._master = self._start([*words, f"root@{self.address}"])
            return self._socket.exists()

        wait_for(is_in, LOGIN_SECONDS, lambda: f"{self.address} lets nobody in from {self._source.namespace}")

    def logout(self) -> None:
        """End the login. May be called twice."""
        if self._master is not None:
            self._master.kill()
            self._master.wait()
        self._socket.unlink(missing_ok=True)

    def run(self, command: str) -> str:
        """What a command prints there. Raises ChildProcessError, with its words, where it fails."""
        status, said = self.tried(command)
        if status:
            raise ChildProcessError(f"{self.address}: {command}: status {status}: {said}")
        return said

    def tried(self, command: str) -> tuple[int, str]:
        """A command's status, and what it printed to both outputs."""
        words = [*self._ssh, "-o", f"ControlPath={self._socket}", f"root@{self.address}", command]
        done = subprocess.run(
            ["ip", "netns", "exec", self._source.namespace, *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def pings(self, address: str) -> bool:
        """Whether an address answers one packet within two seconds."""
        return self.tried(f"ping -c 1 -W 2 {address}")[0] == 0

    def fetch(self, url: str) -> str:
        """What an HTTP server answers. Raises ChildProcessError."""
        # busybox's wget ends in a crash where its own patience does.
        return self.run(f"timeout 10 wget -q -O - {url}")

    def _start(self, words: list[str]) -> "subprocess.Popen[bytes]":
        command = ["ip", "netns", "exec", self._source.namespace, *self._ssh, *words]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
