"""The trace that an operation's request belongs to"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision. It only adds: a program of the revision before works on it."""
    with op.batch_alter_table("operation", schema=None) as batch_op:
        batch_op.add_column(sa.Column("trace", sa.String(length=55), server_default="", nullable=False))


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("operation", schema=None) as batch_op:
        batch_op.drop_column("trace")
