"""The ports that servers have"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision. It only adds: a program of the revision before works on it."""
    with op.batch_alter_table("server", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ports", sa.Text(), server_default="[]", nullable=False))


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("server", schema=None) as batch_op:
        batch_op.drop_column("ports")
