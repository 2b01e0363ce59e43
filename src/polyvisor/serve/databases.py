"""Which database a cloud has: from the configuration, the environment and a file for its password."""

import os
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from polyvisor.model.errors import Invalid
from polyvisor.serve.configuration import Configuration
from polyvisor.store.database import Database
from polyvisor.store.outage import is_outage
from polyvisor.store.postgresql import Limits

VARIABLE = "POLYVISOR_DATABASE"
"""The environment variable that names the database, before the configuration does."""


def open_cloud_database(configuration: Configuration, data: Path, application: str = "polyvisor") -> Database:
    """The cloud's database; `application` is the name that PostgreSQL lists this process by. Raises Invalid."""
    limits = Limits(connections=configuration.database_connections)
    return Database(database_url(configuration, data), limits, application)


def database_url(configuration: Configuration, data: Path) -> str:
    """Its address, the password in it: not to be shown. Raises Invalid."""
    given = os.environ.get(VARIABLE) or configuration.database
    if not given:
        return f"sqlite:///{(data / 'polyvisor.db').absolute()}"
    if not configuration.database_password_file:
        return given
    try:
        url = make_url(given)
    except ArgumentError:
        return given  # Database says what is wrong, without repeating it
    return url.set(password=_password(configuration)).render_as_string(hide_password=False)


def _password(configuration: Configuration) -> str:
    path = Path(configuration.database_password_file)
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise Invalid(f"database_password_file {path} cannot be read: {error.strerror}.") from None


def refuse_shown_password(url: str) -> None:
    """Raise Invalid for a password on the command line, where every user of the machine can read it."""
    try:
        parsed: URL = make_url(url)
    except ArgumentError:
        return
    if parsed.password:
        raise Invalid(
            "The password in --database can be read by everybody who lists this machine's processes: put the address "
            f"into the configuration or the variable {VARIABLE}, or the password alone into the file that "
            "database_password_file names, or into ~/.pgpass."
        )


def ask_whether_it_is_there(database: Database) -> None:
    """Raise Invalid, with what to look at, unless the database answers."""
    try:
        with database.read() as store:
            store.connection.exec_driver_sql("SELECT 1")
    except Exception as error:
        if not is_outage(error):
            raise
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise Invalid(
            f"The database {database.described} does not answer: {reason}. See that it runs, takes connections from "
            "this machine, and that one of the hosts named is the primary."
        ) from None
