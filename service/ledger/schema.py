"""The ledger's tables. Columns carry the names of the records' fields, so that `values` and `columns` are all the mapping.

`migrations/` builds them; a test compares both. Tables of what happened only ever grow (by trigger).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from service.records import FailSafe, Kind, Outcome, Role, Taken

metadata = MetaData()


class Tuple(TypeDecorator[tuple[Any, ...]]):
    """A tuple as a JSON array; floats come back exactly."""

    impl = JSON
    cache_ok = True

    def process_result_value(self, value: Any | None, dialect: Dialect) -> tuple[Any, ...]:
        return tuple(value or ())


class Word(TypeDecorator[StrEnum]):
    """A word of a fixed few."""

    impl = String
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_result_value(self, value: Any | None, dialect: Dialect) -> StrEnum:
        return self.words(str(value))


def _sequence() -> Column[int]:
    """Grows with every row and is never used again, even when rows are pruned (sqlite_autoincrement)."""
    return Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _row_hash() -> Column[str]:
    """Makes a table one of what happened: see chain.py. A row that went round `Base.append` has ""."""
    return Column("row_hash", String, nullable=False, server_default="")


parts = Table(
    "parts",
    metadata,
    _sequence(),
    Column("ordinal", BigInteger, nullable=False),
    Column("recorded_at", Double, nullable=False),
    Column("part_id", String, nullable=False, unique=True),
    Column("line", String, nullable=False),
    Column("camera", String, nullable=False),
    Column("captured_at", Double, nullable=False),
    Column("model", String, nullable=False),
    Column("thresholds", String, nullable=False),
    Column("scores", Tuple, nullable=False),
    Column("exceedance", Double, nullable=False),
    Column("predicted", String, nullable=False),
    Column("outcome", Word(Outcome), nullable=False),
    Column("band", Integer),
    Column("weight", Integer, nullable=False),
    Column("policy", Integer, nullable=False),
    Column("image", String, nullable=False),
    Column("lot", String, nullable=False),
    _row_hash(),
    UniqueConstraint("line", "ordinal"),
    sqlite_autoincrement=True,
)
NOT_PASSED = text("outcome != 'pass'")
"""Written as the index below has it: with a bound value SQLite could not tell that the index serves the query."""
Index("parts_by_time", parts.c.line, parts.c.captured_at)
Index("parts_to_label", parts.c.line, parts.c.sequence, sqlite_where=NOT_PASSED, postgresql_where=NOT_PASSED)
IN_LOT = text("lot != ''")
Index("parts_by_camera", parts.c.line, parts.c.camera, parts.c.captured_at)
Index("parts_by_lot", parts.c.line, parts.c.lot, parts.c.captured_at, sqlite_where=IN_LOT, postgresql_where=IN_LOT)
Index(
    "parts_by_outcome",
    parts.c.line,
    parts.c.outcome,
    parts.c.captured_at,
    sqlite_where=NOT_PASSED,
    postgresql_where=NOT_PASSED,
)

not_inspected = Table(
    "not_inspected",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("part_id", String, nullable=False, unique=True),
    Column("line", String, nullable=False),
    Column("camera", String, nullable=False),
    Column("trigger", BigInteger),
    Column("captured_at", Double, nullable=False),
    Column("reason", String, nullable=False),
    Column("outcome", Word(FailSafe), nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

labels = Table(
    "labels",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("part_id", String, nullable=False, index=True),  # no foreign key: a label may come before its part
    Column("label", String, nullable=False),
    Column("inspector", String, nullable=False),
    Column("labelled_at", Double, nullable=False),
    Column("client", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)
Index("labels_by_word", labels.c.label, labels.c.part_id)

models = Table(
    "models",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("name", String, nullable=False),
    Column("classes", Tuple, nullable=False),
    Column("good", String, nullable=False),
    Column("decision_thresholds", JSON, nullable=False),
    Column("provider", String, nullable=False),
    Column("role", String, nullable=False),
    Column("since", Double, nullable=False),
    Column("guesses", Tuple, nullable=False, server_default="[]"),
    Column("scores", JSON, nullable=False, server_default="{}"),
    _row_hash(),
    sqlite_autoincrement=True,
)

draw_policies = Table(
    "draw_policies",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("weights", Tuple, nullable=False),
    Column("budget", Double, nullable=False),
    Column("surge", Boolean, nullable=False),
    _row_hash(),
    UniqueConstraint("line", "number"),
    sqlite_autoincrement=True,
)

challenge_parts = Table(
    "challenge_parts",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("name", String, nullable=False),
    Column("expected", String, nullable=False),
    Column("every", Double),
    Column("shifts", Tuple, nullable=False),
    Column("after_change", Boolean, nullable=False),
    Column("within", Double, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("by", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

challenge_reports = Table(
    "challenge_reports",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("part_id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("by", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("defect", String, nullable=False),
    Column("by", String, nullable=False),
    Column("note", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

model_orders = Table(
    "model_orders",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("role", Word(Role), nullable=False),
    Column("digest", String, nullable=False),
    Column("name", String, nullable=False),
    Column("by", String, nullable=False),
    Column("note", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

model_answers = Table(
    "model_answers",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("order", BigInteger, nullable=False),
    Column("worker", String, nullable=False),
    Column("outcome", Word(Taken), nullable=False),
    Column("why", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

shadow_verdicts = Table(
    "shadow_verdicts",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("part_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("scores", Tuple, nullable=False),
    Column("exceedance", Double, nullable=False),
    Column("predicted", String, nullable=False),
    Column("flagged", Boolean, nullable=False),
    _row_hash(),
    UniqueConstraint("part_id", "model"),
    sqlite_autoincrement=True,
)

camera_references = Table(
    "camera_references",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("line", String, nullable=False),
    Column("camera", String, nullable=False),
    Column("model", String, nullable=False),
    Column("pictures", Integer, nullable=False),
    Column("sharpness", Double, nullable=False),
    Column("brightness", Double, nullable=False),
    Column("overexposed", Double, nullable=False),
    Column("by", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

people = Table(
    "people",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("name", String, nullable=False, index=True),
    Column("role", String, nullable=False),
    Column("lines", Tuple, nullable=False),
    Column("password", String, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("by", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

studies = Table(
    "studies",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("name", String, nullable=False, unique=True),
    Column("line", String, nullable=False),
    Column("good", String, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("inspectors", Tuple, nullable=False),
    Column("share", Double, nullable=False),
    Column("seed", String, nullable=False),
    Column("by", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("id", String, primary_key=True),
    Column("line", String, nullable=False),
    Column("part_id", String, nullable=False),
    Column("sample", String, nullable=False),
    Column("inspector", String, nullable=False),
    Column("until", Double, nullable=False, index=True),
    Column("seen", Boolean, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String, primary_key=True),
    Column("person", BigInteger, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

deeds = Table(
    "deeds",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("who", String, nullable=False, index=True),
    Column("source", String, nullable=False),
    Column("what", String, nullable=False),
    Column("about", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

study_parts = Table(
    "study_parts",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("study", String, nullable=False),
    Column("part_id", String, nullable=False),
    Column("reference", String, nullable=False),
    Column("kind", Word(Kind), nullable=False),
    Column("known_by", Tuple, nullable=False),
    _row_hash(),
    UniqueConstraint("study", "part_id"),
    sqlite_autoincrement=True,
)

study_answers = Table(
    "study_answers",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("key", String, nullable=False),
    Column("study", String, nullable=False),
    Column("part_id", String, nullable=False),
    Column("inspector", String, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("label", String, nullable=False),
    Column("answered_at", Double, nullable=False),
    _row_hash(),
    UniqueConstraint("key", "label", "answered_at"),
    sqlite_autoincrement=True,
)
Index("study_answers_of", study_answers.c.study, study_answers.c.inspector)

study_ends = Table(
    "study_ends",
    metadata,
    _sequence(),
    Column("recorded_at", Double, nullable=False),
    Column("study", String, nullable=False, unique=True),
    Column("by", String, nullable=False),
    _row_hash(),
    sqlite_autoincrement=True,
)

anchors = Table(
    "anchors",
    metadata,
    Column("name", String, primary_key=True),
    Column("line", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("past", JSON),
)
"""Where the rest of a table begins whose older rows are gone: name of the table, sequence and hash of the last row that is not
there any more. A row with a line says at which ordinal the parts of that line begin."""
FIGURES, STRAGGLERS = "figures", "stragglers"
"""Names of anchors that are no table's: with what the figures of a line begin (records.Past), the first bucket that is there as a
whole; up to which sequence a label may be of a part that is gone."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("line", String, primary_key=True),
    Column("worker", String, primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("stopped", Boolean, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("hash", String, nullable=False, unique=True),
    Column("lines", Tuple, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token as the ledger knows it. hash: SHA-256 hex of the secret. lines: () is every line.

    The secret is random, 256 bits: a plain hash is enough, there is nothing to guess.
    """

    name: str
    role: str
    hash: str
    lines: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


def values(record: Any) -> dict[str, Any]:
    """The fields of a record by name, one level deep."""
    return {name: getattr(record, name) for name in type(record).__slots__}


def columns(table: Table, record: type) -> Sequence[Column[Any]]:
    """The columns of a record's fields, in the order of its fields: `record(*row)` reads them back."""
    return [table.c[field.name] for field in fields(record)]
