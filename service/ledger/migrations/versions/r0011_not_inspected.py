"""Parts that nobody has judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.ledger.guards import guard

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "not_inspected",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("recorded_at", sa.Double, nullable=False),
        sa.Column("part_id", sa.String, nullable=False, unique=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("line", "camera")),
        sa.Column("trigger", sa.BigInteger),
        sa.Column("captured_at", sa.Double, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("reason", "outcome")),
        sa.Column("row_hash", sa.String, nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    for action in ("UPDATE", "DELETE"):
        guard(op.get_bind(), "not_inspected", action)
