"""Passwords that guests have posted"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision. It only adds: a program of the revision before works on it."""
    op.create_table(
        "server_password",
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("password", sa.String(length=1020), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["server.id"], name=op.f("fk_server_password_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("server_id", name=op.f("pk_server_password")),
    )


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("server_password")
