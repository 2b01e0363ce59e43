"""The next release, as a test imagines it: the present program, which knows one column and two steps more.

python -m tests.upgrade.next_release serve --config FILE …
"""

from pathlib import Path

from sqlalchemy import Column, String

from polyvisor.cli import main
from polyvisor.store import migrations
from polyvisor.store.keypair import keypair
from tests.upgrade.present import PRESENT

EXPANDED, CONTRACTED = "9001", "9002"

assert PRESENT < EXPANDED
migrations.MORE.append(Path(__file__).with_name("steps"))
migrations.NEWEST = EXPANDED
# Each key pair that this release makes says so.
keypair.append_column(Column("purpose", String(64), default="next"))

if __name__ == "__main__":
    main()
