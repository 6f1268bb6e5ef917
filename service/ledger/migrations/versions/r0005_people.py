"""People who sign in, their sessions, and the trail of what was done."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _text(name: str, **how: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, **how)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def upgrade() -> None:
    _only_grows(
        "people",
        _text("name", index=True),
        _text("role"),
        sa.Column("lines", sa.JSON, nullable=False),
        _text("password"),
        sa.Column("disabled", sa.Boolean, nullable=False),
        _text("by"),
    )
    _only_grows("deeds", _text("who", index=True), *map(_text, ("source", "what", "about")))
    op.create_table(
        "sessions",
        _text("hash", primary_key=True),
        sa.Column("person", sa.BigInteger, nullable=False),
        _time("began_at"),
        _time("seen_at"),
    )


def _only_grows(table: str, *columns: sa.Column[Any]) -> None:
    sequence = sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    op.create_table(table, sequence, _time("recorded_at"), *columns, sqlite_autoincrement=True)
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows: no {action}'); END"
        )
