"""Studies of the inspectors: which parts, who, how often, and what they answered. It is kept apart from the labels."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

APPEND_ONLY = ("studies", "study_parts", "study_answers", "study_ends")


def upgrade() -> None:
    _grows(
        "studies",
        _dated(),
        _text("name", unique=True),
        _text("line"),
        _text("good"),
        sa.Column("trials", sa.Integer, nullable=False),
        sa.Column("inspectors", sa.JSON, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        _text("seed"),
        _text("by"),
    )
    _grows(
        "study_parts",
        _dated(),
        *(_text(name) for name in ("study", "part_id", "reference", "kind")),
        sa.Column("known_by", sa.JSON, nullable=False),
        sa.UniqueConstraint("study", "part_id"),
    )
    _grows(
        "study_answers",
        _dated(),
        *(_text(name) for name in ("key", "study", "part_id", "inspector")),
        sa.Column("trial", sa.Integer, nullable=False),
        _text("label"),
        sa.Column("answered_at", sa.Double, nullable=False),
        sa.UniqueConstraint("key", "label", "answered_at"),
    )
    op.create_index("study_answers_of", "study_answers", ["study", "inspector"])
    _grows("study_ends", _dated(), _text("study", unique=True), _text("by"))
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows: no {action}'); END"
            )


def _text(name: str, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, unique=unique)


def _dated() -> sa.Column[float]:
    return sa.Column("recorded_at", sa.Double, nullable=False)


def _grows(table: str, *columns: sa.schema.SchemaItem) -> None:
    sequence: sa.Column[Any] = sa.Column(
        "sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True
    )
    op.create_table(table, sequence, *columns, sqlite_autoincrement=True)
