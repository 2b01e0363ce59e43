"""What network backends have to look at again"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision. It only adds: a program of the revision before works on it."""
    op.create_table(
        "network_intent",
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("unit", "id", name=op.f("pk_network_intent")),
    )
    with op.batch_alter_table("network_intent", schema=None) as batch_op:
        batch_op.create_index("ix_network_intent_revision", ["revision"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("network_intent")
