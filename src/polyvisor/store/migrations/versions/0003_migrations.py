"""Migrations"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision. It only adds: a program of the revision before works on it."""
    op.create_table(
        "migration",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("source_host", sa.String(length=255), nullable=False),
        sa.Column("source_place", sa.String(length=255), nullable=False),
        sa.Column("target_host", sa.String(length=255), nullable=False),
        sa.Column("target_place", sa.String(length=255), nullable=False),
        sa.Column("target_address", sa.String(length=255), nullable=False),
        sa.Column("disks_kept", sa.Boolean(), nullable=False),
        sa.Column("flavor_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_migration")),
        sa.UniqueConstraint("uuid", name=op.f("uq_migration_uuid")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("migration", schema=None) as batch_op:
        batch_op.create_index("ix_migration_created", ["created_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_migration_server_id"), ["server_id"], unique=False)
        batch_op.create_index("ix_migration_source", ["source_place", "status"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("migration", schema=None) as batch_op:
        batch_op.drop_index("ix_migration_source")
        batch_op.drop_index(batch_op.f("ix_migration_server_id"))
        batch_op.drop_index("ix_migration_created")

    op.drop_table("migration")
