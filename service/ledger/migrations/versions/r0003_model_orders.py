"""Orders for another model, what workers answered, and what shadows would have said."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _only_grows("model_orders", *map(_text, ("role", "digest", "name", "by", "note")))
    _only_grows(
        "model_answers",
        sa.Column("order", sa.BigInteger, nullable=False),
        *map(_text, ("worker", "outcome", "why")),
    )
    _only_grows(
        "shadow_verdicts",
        _text("part_id"),
        _text("model"),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("exceedance", sa.Double, nullable=False),
        _text("predicted"),
        sa.Column("flagged", sa.Boolean, nullable=False),
        sa.UniqueConstraint("part_id", "model"),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False)


def _only_grows(table: str, *columns: sa.Column[Any] | sa.UniqueConstraint) -> None:
    op.create_table(
        table,
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("recorded_at", sa.Double, nullable=False),
        _text("line"),
        *columns,
        sqlite_autoincrement=True,
    )
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows: no {action}'); END"
        )
