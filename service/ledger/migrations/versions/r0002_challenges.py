"""Challenge parts, what is reported of them, acknowledged pages; models say how their validation scores lay."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

APPEND_ONLY = ("challenge_parts", "challenge_reports", "acknowledgements")


def upgrade() -> None:
    op.add_column("models", sa.Column("guesses", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("models", sa.Column("scores", sa.JSON, nullable=False, server_default="{}"))
    _said(
        "challenge_parts",
        _text("name"),
        _text("expected"),
        sa.Column("every", sa.Double),
        sa.Column("shifts", sa.JSON, nullable=False),
        sa.Column("after_change", sa.Boolean, nullable=False),
        sa.Column("within", sa.Double, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        _text("by"),
    )
    _said("challenge_reports", _text("part_id", unique=True), _text("name"), _text("by"))
    _said("acknowledgements", _text("defect"), _text("by"), _text("note"))
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows: no {action}'); END"
            )


def _text(name: str, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, unique=unique)


def _said(table: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        table,
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("recorded_at", sa.Double, nullable=False),
        _text("line"),
        *columns,
        sqlite_autoincrement=True,
    )
