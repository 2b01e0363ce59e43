"""What Alembic asks for: the connection to migrate, and the schema to compare with."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import TypeDecorator

from polyvisor.store import store  # noqa: F401 - every noun's tables are in the metadata once it is loaded
from polyvisor.store.tables import metadata


def _as_stored(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Migrations name the type in the database: what Python makes of it may change without one."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=_as_stored,
)
with context.begin_transaction():
    context.run_migrations()
