"""A PostgreSQL server of our own, with standbys that follow it: private, quick to start, gone when its owner ends."""

import contextlib
import getpass
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from testbed.ports import free_ports
from testbed.process import alive, wait_for

PREFIX = "pv-postgres-"
PORT = 5432
USER = "polyvisor"
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 180.0
MISSING = "PostgreSQL is missing: install Debian's package `postgresql` (setup/system-packages does)."

# Safe against kill -9, as the kernel keeps what was written; not against a power cut, which no test here makes.
SETTINGS = """\
listen_addresses = '{address}'
port = {port}
unix_socket_directories = '{sockets}'
fsync = off
full_page_writes = off
wal_level = replica
max_wal_senders = 8
max_connections = {connections}
shared_buffers = 32MB
min_wal_size = 32MB
max_wal_size = 256MB
autovacuum_naptime = 10
logging_collector = off
log_line_prefix = '%m [%p] %a '
deadlock_timeout = 200ms
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_retrieve_retry_interval = 100ms
timezone = 'UTC'
lc_messages = 'C'
"""
ACCESS = """\
local all all trust
host all all all trust
local replication all trust
host replication all all trust
"""

# Whoever owns the server holds the other end of its input: when the owner dies, however it dies, the input ends, and so
# does every process that lives in the data directory. They are found by it, as each is a session of its own.
SUPERVISOR = """
"$0" -D "$1" >>"$2/log" 2>&1 </dev/null &
read -r word || true
for process in /proc/[0-9]*; do
  [ "$(readlink "$process/cwd")" = "$1" ] && kill -KILL "${process#/proc/}"
done
[ "$word" = keep ] || rm -rf "$2"
"""


class PostgresError(Exception):
    """The server could not be started or asked; the message says why."""


class TestPostgres:
    """A server from `with` to the end of the block: `with TestPostgres() as server: server.url("name")`.

    `address` is what it listens on, at a free port (`port`=0) or at the one given. Its directory and every process go
    with the block, and also with the process that made it. Raises PostgresError, with the log's end, when it does not
    come up. `namespace` is the network namespace it lives in (see `ip netns`), with that `address`, at PostgreSQL's own
    port.
    """

    __test__ = False

    def __init__(
        self, *, address: str = "127.0.0.1", port: int = 0, connections: int = 100, namespace: str = ""
    ) -> None:
        self.address = address
        self.namespace = namespace
        self.port = port or (PORT if namespace else free_ports(1, address)[0])
        self.connections = connections
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
        self.data = self.directory / "data"
        self._written = 0
        """How long the log was at the last start."""
        self._account = _account()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._standbys: list[Standby] = []
        if self._account is not None:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    # Running it

    def start(self) -> None:
        """Start it where it does not run, and return when it answers."""
        if self._supervisor is None or self._supervisor.poll() is not None:
            self._written = len(self._whole_log())
            command = ["sh", "-c", SUPERVISOR, _program("postgres"), str(self.data), str(self.directory)]
            self._supervisor = subprocess.Popen(
                [*self._inside(), *command], stdin=subprocess.PIPE, start_new_session=True, cwd="/",
                **({} if self.namespace else self._as_account()),
            )  # fmt: skip
        wait_for(self._answers, START_TIMEOUT_SECONDS, lambda: f"PostgreSQL does not answer: {self.log()}")

    def stop(self) -> None:
        """End it in good order: every connection is closed, and nothing is lost."""
        self._signal(signal.SIGINT)
        self._await_end()

    def kill(self) -> None:
        """End every process of it at once (SIGKILL), as when its machine goes."""
        self._end_supervisor()

    def freeze(self) -> None:
        """Stop every process of it (SIGSTOP): connections stay open, and nothing answers."""
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let what was frozen go on (SIGCONT)."""
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it and its standbys, and remove the directory. May be called twice."""
        for standby in self._standbys:
            standby.remove()
        self._end_supervisor()
        shutil.rmtree(self.directory, ignore_errors=True)

    def processes(self) -> list[int]:
        """Ids of its processes, the postmaster's among them."""
        return [pid for pid in _members(self.data) if alive(pid)]

    def log(self) -> str:
        """The end of what it wrote."""
        return self._whole_log()[-4000:]

    # Asking it

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's URL of one of its databases. Any password will do: each name from this machine is believed."""
        return f"postgresql+psycopg://{USER}@{self.address}:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of the superuser that commits each statement by itself; the caller closes it."""
        return psycopg.connect(
            host=str(self.directory), port=self.port, user=USER, dbname=database, autocommit=True, connect_timeout=5
        )

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement; the rows, where there are any."""
        with contextlib.closing(self.connect(database)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str, template: str = "template0") -> str:
        """A new database, as a copy of another that nobody is connected to; returns its URL."""
        with contextlib.closing(self.connect()) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, and end who is connected to it."""
        with contextlib.closing(self.connect()) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a new database that is gone after the block."""
        name = f"t{uuid.uuid4().hex}"
        url = self.create_database(name, template)
        try:
            yield url
        finally:
            self.drop_database(name)

    # Standbys

    def standby(self, *, synchronous: bool = False, address: str = "", namespace: str = "") -> "Standby":
        """A standby that streams from this server, started; `synchronous`: no commit is answered before it has it.

        Without an `address` of its own it listens beside this server, at another port.
        """
        made = Standby(self, address or self.address, namespace)
        self._standbys.append(made)
        made.__enter__()
        if synchronous:
            self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.ask("SELECT pg_reload_conf()")
        wait_for(
            lambda: bool(self.ask("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")),
            START_TIMEOUT_SECONDS,
            lambda: f"the standby does not stream: {made.log()}",
        )
        return made

    # Below

    def _whole_log(self) -> str:
        file = self.directory / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _make(self) -> None:
        # `--no-sync`: initdb's own sync of the disk costs seconds.
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C",
                  "-D", str(self.data))  # fmt: skip
        self._configure()

    def _configure(self, more: str = "") -> None:
        settings = SETTINGS.format(
            address=self.address, port=self.port, sockets=self.directory, connections=self.connections
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(settings + more)
        (self.data / "pg_hba.conf").write_text(ACCESS)

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [_program(name), *arguments], capture_output=True, text=True, cwd="/", check=False, **self._as_account()
        )
        if done.returncode:
            raise PostgresError(f"{name} ended with status {done.returncode}: {done.stderr or done.stdout}")

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _inside(self) -> list[str]:
        """The command that goes into the namespace as root, and on from there as the account."""
        if not self.namespace or self._account is None:
            return []
        account = self._account
        person = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        return ["ip", "netns", "exec", self.namespace, "setpriv", *person]

    def _answers(self) -> bool:
        if self._supervisor is not None and self._supervisor.poll() is not None:
            raise PostgresError(f"PostgreSQL ended: {self.log()}")
        if "FATAL" in self._whole_log()[self._written :] and not self.processes():
            raise PostgresError(f"PostgreSQL did not start: {self.log()}")
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), number)

    def _await_end(self) -> None:
        wait_for(lambda: not self.processes(), STOP_TIMEOUT_SECONDS, lambda: f"PostgreSQL does not end: {self.log()}")
        self._end_supervisor()

    def _end_supervisor(self) -> None:
        def gone() -> bool:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.processes()

        wait_for(gone, STOP_TIMEOUT_SECONDS, lambda: f"processes of {self.data} do not end: {self.processes()}")
        if self._supervisor is not None:
            with contextlib.suppress(BrokenPipeError):
                self._supervisor.communicate(b"keep\n", STOP_TIMEOUT_SECONDS)
            self._supervisor = None
        (self.data / "postmaster.pid").unlink(missing_ok=True)


class Standby(TestPostgres):
    """Follows a server by streaming replication, until `promote` makes it a primary of its own."""

    def __init__(self, primary: TestPostgres, address: str, namespace: str = "") -> None:
        super().__init__(address=address, connections=primary.connections, namespace=namespace)
        self.primary = primary

    def promote(self) -> None:
        """Make it the primary, and return when it takes writes. The one before must be dead, or nobody's."""
        self.ask("SELECT pg_promote(true, 60)")
        self.ask("ALTER SYSTEM RESET synchronous_standby_names")
        self.ask("SELECT pg_reload_conf()")

    def caught_up(self) -> bool:
        """Whether it has replayed all that the primary has written."""
        [(written,)] = self.primary.ask("SELECT pg_current_wal_lsn()::text")
        return self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == [(True,)]

    def _make(self) -> None:
        self._run("pg_basebackup", "--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf",
                  f"--host={self.primary.address}", f"--port={self.primary.port}", f"--username={USER}",
                  "-D", str(self.data))  # fmt: skip
        # What the copy brought along of the primary's own settings is overruled: the last line wins.
        self._configure("hot_standby = on\n")


def many_hosts(servers: Sequence[TestPostgres], database: str) -> str:
    """The URL of a database that lives on whichever of the servers is the primary."""
    hosts = "&".join(f"host={server.address}:{server.port}" for server in servers)
    return f"postgresql+psycopg://{USER}@/{database}?{hosts}&target_session_attrs=read-write"


def _program(name: str) -> str:
    """Where Debian keeps it, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise PostgresError(MISSING)
    return path


def _account() -> pwd.struct_passwd | None:
    """Whom to run it as: PostgreSQL refuses to be root. None = as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError(f"{getpass.getuser()} may not run PostgreSQL, and there is no user postgres or nobody.")


def _members(data: Path) -> Iterator[int]:
    """Every process of a server has its data directory as the working directory."""
    for entry in Path("/proc").iterdir():
        if re.fullmatch("[0-9]+", entry.name):
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == data:
                    yield int(entry.name)
