"""Every row of record holds on to the one before it in its table; where the rest of a pruned table begins.

The rows that are there already are chained as they are. It takes time on a large ledger, and not more memory than on a small one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.ledger.chain import following, stored
from service.ledger.guards import guard, lifted
from service.ledger.schema import metadata

revision = "0009"
down_revision = "0008"

TABLES = (
    "parts",
    "labels",
    "models",
    "draw_policies",
    "challenge_parts",
    "challenge_reports",
    "acknowledgements",
    "model_orders",
    "model_answers",
    "shadow_verdicts",
    "camera_references",
    "people",
    "deeds",
    "studies",
    "study_parts",
    "study_answers",
    "study_ends",
)

CHUNK = 5_000


def upgrade() -> None:
    _anchors()
    _number_draw_policies()
    for table in TABLES:
        op.add_column(table, sa.Column("row_hash", sa.String, nullable=False, server_default=""))
        chain(op.get_bind(), table)
    parts = metadata.tables["parts"]
    for line, ordinal in op.get_bind().execute(
        sa.select(parts.c.line, sa.func.min(parts.c.ordinal)).group_by(parts.c.line)
    ):
        if ordinal > 0:
            _begins(op.get_bind(), "parts", line, ordinal=ordinal)


def _anchors() -> None:
    op.create_table(
        "anchors",
        *(sa.Column(name, sa.String, primary_key=True, nullable=False) for name in ("name", "line")),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("ordinal", sa.BigInteger, nullable=False),
    )


def _number_draw_policies() -> None:
    """They had no order but that of their line: a table of the same rows takes the place of theirs."""
    op.rename_table("draw_policies", "draw_policies_unnumbered")
    op.create_table(
        "draw_policies",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("recorded_at", sa.Double, nullable=False),
        sa.Column("line", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("weights", sa.JSON, nullable=False),
        sa.Column("budget", sa.Double, nullable=False),
        sa.Column("surge", sa.Boolean, nullable=False),
        sa.UniqueConstraint("line", "number"),
        sqlite_autoincrement=True,
    )
    names = "recorded_at, line, number, since, weights, budget, surge"
    op.execute(
        f"INSERT INTO draw_policies (sequence, {names}) SELECT row_number() OVER (ORDER BY recorded_at, line, number), {names} "  # noqa: S608
        "FROM draw_policies_unnumbered"
    )
    op.drop_table("draw_policies_unnumbered")
    for action in ("UPDATE", "DELETE"):
        guard(op.get_bind(), "draw_policies", action)


def chain(connection: sa.Connection, name: str) -> None:
    """In chunks. Rows that were taken away before there was a chain leave no gap in it, and are not missed where it begins."""
    table = metadata.tables[name]
    rows = stored(table, {column["name"] for column in sa.inspect(connection).get_columns(name)}).limit(CHUNK)
    change = sa.text(f"UPDATE {name} SET row_hash = :row_hash WHERE sequence = :sequence")  # noqa: S608
    first = connection.execute(sa.select(sa.func.min(table.c.sequence))).scalar_one() or 1
    row_hash, last = name, first - 1
    if first > 1:
        _begins(connection, name, sequence=last)
    with lifted(connection, name, "UPDATE"):
        while chunk := connection.execute(rows.where(table.c.sequence > last)).mappings().all():
            changes = []
            for row in chunk:
                row_hash, last = following(row_hash, table, row), row["sequence"]
                changes.append({"sequence": last, "row_hash": row_hash})
            connection.execute(change, changes)


def _begins(connection: sa.Connection, name: str, line: str = "", sequence: int = 0, ordinal: int = 0) -> None:
    row = {"name": name, "line": line, "sequence": sequence, "hash": name, "ordinal": ordinal}
    connection.execute(sa.insert(metadata.tables["anchors"]), row)
