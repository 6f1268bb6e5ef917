"""Which inspector has which part before him."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.String, primary_key=True, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("line", "part_id", "sample", "inspector")),
        sa.Column("until", sa.Double, nullable=False, index=True),
        sa.Column("seen", sa.Boolean, nullable=False),
    )
