"""A connection to one of OVN's databases through Open vSwitch's client: what it holds, and transactions upon it."""

import errno
import logging
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import ovs.db.idl
import ovs.jsonrpc
import ovs.poller
import ovs.stream

from polyvisor.model.record import Record
from polyvisor.network.backend import BackendDown
from polyvisor.network.ovn.json_parser import use_fast_parser
from polyvisor.network.ovn.row import Value

log = logging.getLogger(__name__)

PROBE_MILLISECONDS = 5000
COMMIT_SECONDS = 60.0
SCHEMA_MILLISECONDS = 5000
SCHEMA_PAUSE_SECONDS = 1.0


class Reader(Protocol):
    """Who is told what the database holds."""

    def put(self, table: str, id: uuid.UUID, columns: Mapping[str, Value] | None) -> None:
        """A row is so from now on; None: it has gone. References are UUIDs, for their rows may be told of later."""

    def clear(self) -> None:
        """Whatever was told may be so no longer: everything is told anew."""


class Tls(Record):
    """Files for `ssl:` addresses; all are in PEM."""

    certificate: str = ""
    key: str = ""
    authority: str = ""


class Refused(Exception):
    """The database refused a transaction, which was undone; the message is the database's own."""


class Connection:
    """One database, by one thread. It connects, and connects again, by itself, whenever it is run."""

    def __init__(
        self, database: str, remotes: str, columns: Mapping[str, Sequence[str]], reader: Reader, lock: str = ""
    ) -> None:
        """`remotes` is one address or several with commas between them; `columns` is what is read, by table.

        With a `lock`, transactions are taken only from whoever holds it.
        """
        use_fast_parser()
        self._database, self._remotes, self._columns = database, remotes, columns
        self._reader, self._lock = reader, lock
        self._idl: _Idl | None = None
        self._current = False
        self._schema_at = 0.0
        self.epoch = 0
        """Counted up each time that the contents were read anew. What was told of before is no longer known then."""
        self.trouble = f"OVN's {database} database at {remotes} has not answered yet"

    @property
    def leads(self) -> bool:
        """Whether transactions would be taken: the contents are known, and the lock is ours."""
        return self._current and self._idl is not None and (not self._lock or bool(self._idl.has_lock))

    @property
    def ready(self) -> bool:
        """Whether the contents are known and current."""
        return self._current

    def run(self) -> None:
        """Take in what has arrived, without waiting; connect where that is due."""
        self._idl = idl = self._idl or self._made()
        if idl is None:
            return
        idl.reader = self._reader if self._current else None
        idl.run()
        answers = idl.state == idl.IDL_S_MONITORING and idl._session.is_connected()
        if self._current and not answers:
            self.trouble = f"OVN's {self._database} database at {self._remotes} does not answer"
            log.warning("%s; trying again until it does", self.trouble)
        elif answers and not self._current:
            self._read_anew(idl)
            log.info("OVN's %s database at %s answers", self._database, self._remotes)
        self._current = answers

    def wait(self, poller: ovs.poller.Poller) -> None:
        """Have the poller end when there is something to run."""
        if self._idl is None:
            poller.timer_wait_until(int(self._schema_at * 1000))
        else:
            self._idl.wait(poller)

    def commit(self, operations: Sequence[Mapping[str, Any]], comment: str) -> None:
        """One transaction; returns when it is in the database and in what the reader was told.

        Raises Refused, or BackendDown where nobody can say whether it became true, or where the lock is another's.
        """
        if not self.leads or self._idl is None:
            raise BackendDown(self.trouble or "another process changes OVN")
        transaction = ovs.db.idl.Transaction(self._idl)
        transaction.add_comment(comment)
        for operation in operations:
            transaction.add_op(operation)
        status = self._committed(transaction)
        if status in (transaction.SUCCESS, transaction.UNCHANGED):
            return
        if status == transaction.ERROR:
            raise Refused(transaction.get_error())
        raise BackendDown(f"OVN's {self._database} database did not take a transaction: {status}")

    def close(self) -> None:
        """End the connection; the lock goes with it."""
        if self._idl is not None:
            self._idl.close()
        self._current = False

    def _committed(self, transaction: Any) -> str:
        deadline = time.monotonic() + COMMIT_SECONDS
        status = str(transaction.commit())
        while status == transaction.INCOMPLETE:
            self.run()
            status = str(transaction.commit())
            if status != transaction.INCOMPLETE:
                break
            if not self._current or time.monotonic() > deadline:
                transaction.abort()
                self._idl.force_reconnect()  # type: ignore[union-attr]  # a transaction comes from it
                break
            poller = ovs.poller.Poller()
            poller.timer_wait(1000)
            self.wait(poller)
            transaction.wait(poller)
            poller.block()
        return status

    def _made(self) -> "_Idl | None":
        """Learn the database's schema, from whichever server gives it, and begin to read."""
        if time.monotonic() < self._schema_at:
            return None
        schema, why = _schema(self._database, self._remotes.split(","))
        if schema is None:
            self._schema_at = time.monotonic() + SCHEMA_PAUSE_SECONDS
            trouble = f"OVN's {self._database} database at {self._remotes} does not answer: {why}"
            if trouble != self.trouble:
                log.warning("%s; trying again until it does", trouble)
            self.trouble = trouble
            return None
        helper = ovs.db.idl.SchemaHelper(schema_json=schema)
        for table, columns in self._columns.items():
            helper.register_columns(table, list(columns))
        idl = _Idl(self._remotes, helper, probe_interval=PROBE_MILLISECONDS)
        if self._lock:
            idl.set_lock(self._lock)
        return idl

    def _read_anew(self, idl: "_Idl") -> None:
        self.epoch += 1
        self.trouble = ""
        self._reader.clear()
        for table in self._columns:
            for row in list(idl.tables[table].rows.values()):
                self._reader.put(table, row.uuid, _plain(row))


class _Idl(ovs.db.idl.Idl):  # type: ignore[misc]  # the library has no annotations
    reader: Reader | None = None
    """None while the contents are read, which are told whole afterwards."""

    def notify(self, event: Any, row: Any, updates: Any = None) -> None:
        """Each row that is new, changed or gone."""
        # Rows of the server's own database, which tells of its cluster, are none of ours.
        if self.reader is not None and row._table.name in self.tables:
            gone = event == ovs.db.idl.ROW_DELETE
            self.reader.put(row._table.name, row.uuid, None if gone else _plain(row))


def use_tls(tls: Tls) -> None:
    """For every `ssl:` address of this process: the library knows one identity."""
    ovs.stream.Stream.ssl_set_private_key_file(tls.key)
    ovs.stream.Stream.ssl_set_certificate_file(tls.certificate)
    ovs.stream.Stream.ssl_set_ca_cert_file(tls.authority)


def _plain(row: Any) -> dict[str, Value]:
    """A row's columns: scalars as they are, sets frozen, references as UUIDs, for the row may come later."""
    columns: dict[str, Value] = {}
    for name, column in row._table.columns.items():
        value = row._data[name].to_python(lambda atom, _base: atom)
        columns[name] = frozenset(value) if column.type.is_set() else value
    return columns


def _schema(database: str, remotes: Sequence[str]) -> tuple[Any, str]:
    """The schema, or why none of the servers gave it."""
    why = ""
    for remote in remotes:
        error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(remote.strip()), SCHEMA_MILLISECONDS)
        if error:
            why = os.strerror(error)
            continue
        connection = ovs.jsonrpc.Connection(stream)
        try:
            request = ovs.jsonrpc.Message.create_request("get_schema", [database])
            error, reply = _answer(connection, request)
        finally:
            connection.close()
        if not error and reply.error is None:
            return reply.result, ""
        why = os.strerror(error) if error else str(reply.error)
    return None, why


def _answer(connection: Any, request: Any) -> tuple[int, Any]:
    """The library's own way waits for ever."""
    error = connection.send(request)
    deadline = time.monotonic() + SCHEMA_MILLISECONDS / 1000
    while not error:
        connection.run()
        error, reply = connection.recv()
        if not error and reply.id == request.id:
            return 0, reply
        if error == errno.EAGAIN and time.monotonic() < deadline:
            poller = ovs.poller.Poller()
            poller.timer_wait(100)
            connection.wait(poller)
            connection.recv_wait(poller)
            poller.block()
            error = 0
    return (errno.ETIMEDOUT if error == errno.EAGAIN else error), None
