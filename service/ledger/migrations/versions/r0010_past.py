"""What is left of the parts of a line that were pruned, for the figures that go on from there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("anchors", sa.Column("past", sa.JSON))
