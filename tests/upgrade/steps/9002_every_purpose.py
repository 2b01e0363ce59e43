"""Every key pair has a purpose"""

import sqlalchemy as sa
from alembic import op

revision = "9002"
down_revision = "9001"
branch_labels = None
depends_on = None
oldest_program = "9001"


def upgrade() -> None:
    """It takes away: a program that leaves the column empty cannot make key pairs any more."""
    op.execute("UPDATE keypair SET purpose = 'present' WHERE purpose IS NULL")
    with op.batch_alter_table("keypair") as batch:
        batch.alter_column("purpose", existing_type=sa.String(64), nullable=False)
