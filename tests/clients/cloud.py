"""A running `polyvisor up` in a process of its own, and the unmodified clients beside it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from openstack.config import OpenStackConfig
from openstack.connection import Connection

from testbed.openstack_client import Answer, Shell

ADMIN = "polyvisor-admin"
MEMBER = "polyvisor"
ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(sys.executable).parent / "polyvisor")
START_TIMEOUT_SECONDS = 300
STOP_TIMEOUT_SECONDS = 180
_READY = "Polyvisor is up at "


class StartFailed(Exception):
    """`polyvisor up` ended, or said nothing, instead of coming up; the message is what it wrote."""


class RunningCloud:
    """`polyvisor up` on a data directory of its own; leaving it ends the process, however the test ended."""

    def __init__(
        self, folder: Path, *arguments: str, program: Sequence[str] = (PROGRAM,), listen: str = "127.0.0.1:0"
    ) -> None:
        self.data = folder / "data"
        self.log = folder / "polyvisor.log"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._arguments = ("up", "--data", str(self.data), "--listen", listen, *arguments)
        self._program = tuple(program)
        self._shell = Shell()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        try:
            self.kill()
        finally:
            self._shell.close()

    # The process

    def start(self, *, program: Sequence[str] = (), environment: dict[str, str] | None = None) -> Self:
        """Start it, on the same data each time, and wait until it says that it is up. Raises StartFailed."""
        written = self.launch(program=program, environment=environment)
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while _READY not in (text := self.logged(written)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StartFailed(text)
            time.sleep(0.02)
        self.url = text.partition(_READY)[2].split()[0]
        return self

    def launch(self, *, program: Sequence[str] = (), environment: dict[str, str] | None = None) -> int:
        """Start it without waiting; returns how many bytes its log held before."""
        assert self.process is None, "it runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        with self.log.open("ab") as log:
            written = log.tell()
            self.process = subprocess.Popen(
                [*(program or self._program), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**kept, **(environment or {})},
            )
        return written

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, as `kill` or Ctrl-C do; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.wait()

    def wait(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """Until it has ended; returns its exit code, negative for the signal that ended it."""
        assert self.process is not None
        code = self.process.wait(timeout_seconds)
        self.process = None
        return code

    def kill(self) -> None:
        """End it by SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.wait()

    def logged(self, since: int = 0) -> str:
        """What it has written, from a byte offset on."""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def command(self, group: str, *words: str) -> Answer:
        """What another `polyvisor` command says about this one's data."""
        done = subprocess.run(
            [PROGRAM, group, "--data", str(self.data), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=STOP_TIMEOUT_SECONDS,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    # Clients

    @property
    def clouds_file(self) -> Path:
        """The clouds.yaml that it writes."""
        return self.data / "clouds.yaml"

    def run(self, *words: str, cloud: str = MEMBER, version: str | None = None) -> Answer:
        """What an `openstack` command ends with, whatever that is. `version`: --os-compute-api-version."""
        chosen = ["--os-compute-api-version", version] if version else []
        return self._shell.run(
            ["--os-cloud", cloud, *chosen, *words], {"OS_CLIENT_CONFIG_FILE": str(self.clouds_file), "COLUMNS": "200"}
        )

    def openstack(self, *words: str, cloud: str = MEMBER, version: str | None = None) -> str:
        """What an `openstack` command prints; it must succeed."""
        answer = self.run(*words, cloud=cloud, version=version)
        assert answer.status == 0, f"openstack {' '.join(words)}: {answer}"
        return answer.stdout

    def ask(self, *words: str, cloud: str = MEMBER, version: str | None = None) -> Any:
        """What an `openstack` command answers, decoded; it must succeed."""
        answer = self.run(*words, "-f", "json", cloud=cloud, version=version)
        assert answer.status == 0, f"openstack {' '.join(words)}: {answer}"
        return answer.decoded

    def refusal(self, *words: str, cloud: str = MEMBER, version: str | None = None) -> str:
        """What an `openstack` command says on standard error; it must fail."""
        answer = self.run(*words, cloud=cloud, version=version)
        assert answer.status != 0, f"openstack {' '.join(words)} succeeded: {answer}"
        return answer.stderr

    def sdk(self, cloud: str = MEMBER, **options: Any) -> Connection:
        """An openstacksdk connection, as clouds.yaml alone makes it."""
        config = OpenStackConfig(config_files=[str(self.clouds_file)], load_envvars=False)
        return Connection(config=config.get_one(cloud, **options))
