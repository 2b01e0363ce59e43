"""Runs the migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from polyvisor.store.database import Database


def configuration() -> Config:
    """Alembic's configuration, without a file."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent))
    return found


def upgrade(database: Database) -> None:
    """To the newest revision, in one transaction."""
    config = configuration()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
