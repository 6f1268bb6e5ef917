"""The first schema.

Rows of APPEND_ONLY are refused to UPDATE and DELETE by triggers. Whoever must prune drops the table's delete trigger, deletes
and creates the trigger again in one transaction: DDL is transactional, so nobody ever sees the ledger without it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPEND_ONLY = ("parts", "labels", "models", "draw_policies")


def upgrade() -> None:
    _parts()
    _labels()
    _lines()
    _tokens()
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows: no {action}'); END"
            )


def _text(name: str, **how: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, **how)


def _time(name: str, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _sequence() -> sa.Column[int]:
    return sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


def _parts() -> None:
    op.create_table(
        "parts",
        _sequence(),
        sa.Column("ordinal", sa.BigInteger, nullable=False),
        _time("recorded_at"),
        _text("part_id", unique=True),
        _text("line"),
        _text("camera"),
        _time("captured_at"),
        _text("model"),
        _text("thresholds"),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("exceedance", sa.Double, nullable=False),
        _text("predicted"),
        _text("outcome"),
        sa.Column("band", sa.Integer),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("policy", sa.Integer, nullable=False),
        _text("image"),
        _text("lot"),
        sa.UniqueConstraint("line", "ordinal"),
        sqlite_autoincrement=True,
    )
    op.create_index("parts_by_time", "parts", ["line", "captured_at"])
    not_passed = sa.text("outcome != 'pass'")
    op.create_index(
        "parts_to_label", "parts", ["line", "sequence"], sqlite_where=not_passed, postgresql_where=not_passed
    )


def _labels() -> None:
    op.create_table(
        "labels",
        _sequence(),
        _time("recorded_at"),
        _text("part_id", index=True),
        _text("label"),
        _text("inspector"),
        _time("labelled_at"),
        _text("client"),
        sqlite_autoincrement=True,
    )


def _lines() -> None:
    op.create_table(
        "models",
        _sequence(),
        _time("recorded_at"),
        _text("line"),
        _text("digest"),
        _text("name"),
        sa.Column("classes", sa.JSON, nullable=False),
        _text("good"),
        sa.Column("decision_thresholds", sa.JSON, nullable=False),
        _text("provider"),
        _text("role"),
        _time("since"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "draw_policies",
        _text("line", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _time("recorded_at"),
        _time("since"),
        sa.Column("weights", sa.JSON, nullable=False),
        sa.Column("budget", sa.Double, nullable=False),
        sa.Column("surge", sa.Boolean, nullable=False),
    )
    op.create_table(
        "heartbeats",
        _text("line", primary_key=True),
        _text("worker", primary_key=True),
        _time("started_at"),
        _time("seen_at"),
        sa.Column("stopped", sa.Boolean, nullable=False),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        _text("name", primary_key=True),
        _text("role"),
        _text("hash", unique=True),
        sa.Column("lines", sa.JSON, nullable=False),
        _time("created_at"),
        _time("expires_at", nullable=True),
        _time("revoked_at", nullable=True),
    )
