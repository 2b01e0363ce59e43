"""Key pairs have a purpose"""

import sqlalchemy as sa
from alembic import op

from tests.upgrade.present import PRESENT

revision = "9001"
down_revision = PRESENT
branch_labels = None
depends_on = None


def upgrade() -> None:
    """It only adds: the present program leaves the column empty."""
    op.add_column("keypair", sa.Column("purpose", sa.String(64), nullable=True))
