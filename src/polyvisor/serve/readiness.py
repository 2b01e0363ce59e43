"""What must hold before a server is given requests."""

from sqlalchemy import text

from polyvisor.observe.health import Check, Unready
from polyvisor.store.database import Database
from polyvisor.store.migrations import NEWEST


def checks(database: Database) -> list[Check]:
    """The database answers, its schema fits this program, and tokens can be sealed."""

    def schema() -> str:
        with database.read() as store:
            found = store.connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is None or found < NEWEST:
            raise Unready(
                f"The database is at schema {found}, and this program needs {NEWEST}: run `polyvisor database upgrade`."
            )
        return f"It answers, at schema {found}."

    def keys() -> str:
        with database.read() as store:
            known = store.token_key.list()
        if not any(key.state == "primary" for key in known):
            raise Unready("There is no key to seal tokens with: start `polyvisor up` or `serve` once; it makes one.")
        return f"{len(known)} keys open tokens."

    return [Check(name="database", ask=schema), Check(name="token_keys", ask=keys)]
