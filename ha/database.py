"""PostgreSQL with a synchronous standby, and a keeper that does what Patroni does: fence, promote, rebuild."""

import contextlib
import threading
import time
from typing import Self

import psycopg

from testbed.netns import Network
from testbed.postgres import Standby, TestPostgres, many_hosts

DATABASE = "polyvisor"
LOOK_SECONDS = 1.0
MOST_FAILURES = 3
_ASK_SECONDS = 2


class Databases:
    """The primary and its standby, each in its part of the network, from `with` to the end of the block.

    No commit is answered before the standby has it; so nothing that was answered is lost with the primary.
    """

    def __init__(self, network: Network, parts: tuple[str, str]) -> None:
        self._network = network
        self._parts = dict(zip(parts, (network.address(part) for part in parts), strict=True))
        first = parts[0]
        self._first = TestPostgres(address=network.address(first), namespace=network.namespace(first))
        self.primary: TestPostgres = self._first
        self._standby_part = parts[1]
        self.fail_overs = 0
        self._failures = 0
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self.trouble = ""
        """What the keeper could not do; empty when all went well."""

    def __enter__(self) -> Self:
        self._first.__enter__()
        try:
            self._first.create_database(DATABASE)
            self._standby = self._make_standby()
        except BaseException:
            self._first.__exit__()
            raise
        self._keeper.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._keeper.join()
        self._first.__exit__()

    @property
    def url(self) -> str:
        """The database, on whichever of the two is the primary."""
        return many_hosts([self.primary, self._standby], DATABASE)

    @property
    def primary_part(self) -> str:
        """In which part of the network the primary is now."""
        return next(part for part, address in self._parts.items() if address == self.primary.address)

    def _make_standby(self) -> Standby:
        part = self._standby_part
        return self.primary.standby(
            synchronous=True, address=self._parts[part], namespace=self._network.namespace(part)
        )

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self._failures = 0 if self._answers() else self._failures + 1
            if self._failures >= MOST_FAILURES:
                try:
                    self._fail_over()
                except Exception as error:
                    self.trouble = f"The standby could not take over: {error}"
                    raise

    def _answers(self) -> bool:
        """Whether the primary takes a connection, over the network, and answers."""
        try:
            with contextlib.closing(
                psycopg.connect(
                    host=self.primary.address, port=self.primary.port, user="polyvisor", dbname="postgres",
                    connect_timeout=_ASK_SECONDS, options=f"-c statement_timeout={_ASK_SECONDS}s",
                    tcp_user_timeout=1000 * _ASK_SECONDS,
                )
            ) as connection:  # fmt: skip
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _fail_over(self) -> None:
        """Fence the primary before anything else: it must not answer anybody once another takes its place."""
        former = self.primary_part
        self.primary.kill()
        self._standby.promote()
        self.primary = self._standby
        self._standby_part = former
        self._failures = 0
        self.fail_overs += 1

    def rebuild(self) -> None:
        """Make a standby of the new primary where the former one was, once that part of the network is whole again."""
        self._standby = self._make_standby()

    def wait_for_fail_over(self, count: int, patience_seconds: float) -> None:
        """Until the keeper has failed over `count` times in all. Raises TimeoutError."""
        deadline = time.monotonic() + patience_seconds
        while self.fail_overs < count:
            if time.monotonic() > deadline:
                raise TimeoutError(self.trouble or "The keeper did not notice that the primary is gone.")
            time.sleep(0.1)
