"""How cameras saw when a model took over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "camera_references",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("recorded_at", sa.Double, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("line", "camera", "model")),
        sa.Column("pictures", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("sharpness", "brightness", "overexposed")),
        sa.Column("by", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER camera_references_no_{action.lower()} BEFORE {action} ON camera_references "
            f"BEGIN SELECT RAISE(ABORT, 'camera_references only grows: no {action}'); END"
        )
