"""The reading side: follow what is new, look parts up, list what waits for a label. Never blocks a writer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, Table, exists, func, or_, select, tuple_

from service.ledger.base import AnyRow, Base, rows_of
from service.ledger.schema import (
    FIGURES,
    NOT_PASSED,
    STRAGGLERS,
    acknowledgements,
    anchors,
    challenge_parts,
    challenge_reports,
    columns,
    draw_policies,
    heartbeats,
    labels,
    models,
    parts,
    study_parts,
)
from service.records import (
    SEPARATOR,
    Acknowledgement,
    Begins,
    ChallengePart,
    ChallengeReport,
    DrawPolicy,
    Heartbeat,
    Label,
    ModelInForce,
    Outcome,
    Past,
    RecordedLabel,
    RecordedVerdict,
    Verdict,
)

T = TypeVar("T")

# Written once: to put a statement together costs several times what SQLite takes to answer it.
PARTS = select(parts.c.sequence, parts.c.ordinal, parts.c.recorded_at, *columns(parts, Verdict))
_KNOWN = select(parts.c.part_id, parts.c.captured_at)
_LABELS = select(labels.c.sequence, labels.c.recorded_at, labels.c.client, *columns(labels, Label)).order_by(
    labels.c.sequence
)
_KEPT = (
    select(parts.c.sequence, parts.c.image)
    .where(
        parts.c.image != "",
        or_(parts.c.outcome != Outcome.PASS, exists().where(study_parts.c.part_id == parts.c.part_id)),
    )
    .order_by(parts.c.sequence)
    .limit(5_000)
)
_FIGURES = select(anchors.c.line, anchors.c.past).where(anchors.c.name == FIGURES)
_STRAGGLERS = select(anchors.c.sequence).where(anchors.c.name == STRAGGLERS)
_IN_FORCE = (
    select(*columns(models, ModelInForce))
    .where(models.c.sequence.in_(select(func.max(models.c.sequence)).group_by(models.c.line, models.c.role)))
    .where(models.c.digest != "")
    .order_by(models.c.line, models.c.role)
)
_HISTORY = select(*columns(models, ModelInForce)).order_by(models.c.sequence)
_NEWEST = select(draw_policies.c.line, func.max(draw_policies.c.number)).group_by(draw_policies.c.line)
_POLICIES = (
    select(*columns(draw_policies, DrawPolicy))
    .where(tuple_(draw_policies.c.line, draw_policies.c.number).in_(_NEWEST))
    .order_by(draw_policies.c.line)
)
_ALL_POLICIES = select(*columns(draw_policies, DrawPolicy)).order_by(draw_policies.c.number)
_WORKERS = select(*columns(heartbeats, Heartbeat)).order_by(heartbeats.c.line, heartbeats.c.worker)


_NAMED = challenge_parts.alias()
_OWN_NAME = func.substr(parts.c.part_id, 1, func.length(_NAMED.c.name) + 1)
_REGISTERED = (
    select(func.max(_NAMED.c.sequence))
    .where(
        _NAMED.c.line == parts.c.line,
        or_(parts.c.part_id == _NAMED.c.name, _NAMED.c.name + SEPARATOR == _OWN_NAME),
        _NAMED.c.recorded_at <= parts.c.recorded_at,
    )
    .correlate(parts)
    .scalar_subquery()
)
CHALLENGE = or_(
    exists().where(challenge_reports.c.part_id == parts.c.part_id),
    exists().where(challenge_parts.c.sequence == _REGISTERED, challenge_parts.c.retired.is_(False)),
)
"""A pass of a challenge part: nobody needs to label it."""


def part_of(row: AnyRow) -> RecordedVerdict:
    sequence, ordinal, recorded_at, *fields = row
    return RecordedVerdict(sequence, ordinal, recorded_at, Verdict(*fields))


def _label(row: AnyRow) -> RecordedLabel:
    sequence, recorded_at, client, *fields = row
    return RecordedLabel(sequence, recorded_at, Label(*fields), client)


class Reading(Base):
    """Fulfils ports.LedgerReader."""

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]:
        return self._parts(PARTS.where(parts.c.sequence > sequence).order_by(parts.c.sequence).limit(limit))

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]:
        with self._reader.begin() as connection:
            return [_label(row) for row in connection.execute(_LABELS.where(labels.c.sequence > sequence).limit(limit))]

    def parts(self, part_ids: Iterable[str]) -> Mapping[str, RecordedVerdict]:
        with self._reader.begin() as connection:
            found = [part_of(row) for row in rows_of(connection, PARTS, parts.c.part_id, part_ids)]
        return {part.verdict.part_id: part for part in found}

    def labels(self, part_ids: Iterable[str]) -> Mapping[str, Sequence[RecordedLabel]]:
        """All label rows by part, each by sequence; a part without any is absent."""
        found: defaultdict[str, list[RecordedLabel]] = defaultdict(list)
        with self._reader.begin() as connection:
            for row in rows_of(connection, _LABELS, labels.c.part_id, part_ids):
                found[row.part_id].append(_label(row))
        return dict(found)

    def known(self, part_ids: Iterable[str]) -> Mapping[str, float]:
        """The capture times of those part ids that are recorded."""
        with self._reader.begin() as connection:
            return {row.part_id: row.captured_at for row in rows_of(connection, _KNOWN, parts.c.part_id, part_ids)}

    def search(self, line: str, limit: int, before: int | None = None) -> Sequence[RecordedVerdict]:
        """The line's newest parts, newest first. before: the ordinal of the last one of the page before this."""
        query = PARTS.where(parts.c.line == line).order_by(parts.c.ordinal.desc()).limit(limit)
        return self._parts(query if before is None else query.where(parts.c.ordinal < before))

    def unlabelled(self, line: str, limit: int, after: int = 0) -> Sequence[RecordedVerdict]:
        """Rejects and audits of the line without any label, challenge parts left out, oldest first, of a larger sequence
        than `after`.

        Steps over labelled ones from `after` on: a caller who asks often moves `after` up behind what is settled.
        """
        labelled = exists().where(labels.c.part_id == parts.c.part_id)
        query = PARTS.where(parts.c.line == line, NOT_PASSED, parts.c.sequence > after, ~labelled, ~CHALLENGE)
        return self._parts(query.order_by(parts.c.sequence).limit(limit))

    def model_history(self, line: str) -> Sequence[ModelInForce]:
        with self._reader.begin() as connection:
            return [ModelInForce(*row) for row in connection.execute(_HISTORY.where(models.c.line == line))]

    def draw_policies(self, line: str) -> Sequence[DrawPolicy]:
        with self._reader.begin() as connection:
            return [DrawPolicy(*row) for row in connection.execute(_ALL_POLICIES.where(draw_policies.c.line == line))]

    def challenge_parts_after(self, sequence: int) -> Sequence[tuple[int, ChallengePart]]:
        return self._said_after(challenge_parts, ChallengePart, sequence)

    def challenge_reports_after(self, sequence: int) -> Sequence[tuple[int, ChallengeReport]]:
        return self._said_after(challenge_reports, ChallengeReport, sequence)

    def acknowledgements_after(self, sequence: int) -> Sequence[tuple[int, Acknowledgement]]:
        return self._said_after(acknowledgements, Acknowledgement, sequence)

    def _said_after(self, table: Table, record: type[T], sequence: int) -> Sequence[tuple[int, T]]:
        query = select(table.c.sequence, *columns(table, record)).where(table.c.sequence > sequence)
        with self._reader.begin() as connection:
            return [(at, record(*fields)) for at, *fields in connection.execute(query.order_by(table.c.sequence))]

    def at_risk(self, line: str, ordinal: int, after: int, limit: int) -> Sequence[RecordedVerdict]:
        """Passed parts of the line from this ordinal on, challenge parts left out, oldest first, of a larger sequence than `after`."""
        query = PARTS.where(
            parts.c.line == line,
            parts.c.ordinal >= ordinal,
            parts.c.sequence > after,
            parts.c.outcome != Outcome.REJECT,
            ~CHALLENGE,
        )
        return self._parts(query.order_by(parts.c.ordinal).limit(limit))

    def lots_at_risk(self, line: str, ordinal: int) -> Sequence[tuple[str, int]]:
        """(lot, passed parts) of the line from this ordinal on, challenge parts left out, in order of their first part."""
        query = (
            select(parts.c.lot, func.count())
            .where(parts.c.line == line, parts.c.ordinal >= ordinal, parts.c.outcome != Outcome.REJECT, ~CHALLENGE)
            .group_by(parts.c.lot)
            .order_by(func.min(parts.c.ordinal))
        )
        with self._reader.begin() as connection:
            return [(lot, count) for lot, count in connection.execute(query)]

    def begins(self) -> Begins:
        with self._reader.begin() as connection:
            lines = {row.line: Past(**row.past) for row in connection.execute(_FIGURES)}
            labels = connection.execute(_STRAGGLERS).scalar()
        return Begins(lines, labels or 0)

    def line_state(self) -> tuple[Sequence[ModelInForce], Sequence[DrawPolicy], Sequence[Heartbeat]]:
        """As of one moment, each ordered by line."""
        with self._reader.begin() as connection:
            return (
                [ModelInForce(*row) for row in connection.execute(_IN_FORCE)],
                [DrawPolicy(*row) for row in connection.execute(_POLICIES)],
                [Heartbeat(*row) for row in connection.execute(_WORKERS)],
            )

    def kept_pictures(self) -> Iterator[str]:
        """Digests of the pictures that are kept for good: of rejects, of audits and of parts of studies. One may come again."""
        after = 0
        while rows := self._kept(after):
            after = rows[-1].sequence
            yield from (row.image for row in rows)

    def _kept(self, after: int) -> Sequence[AnyRow]:
        with self._reader.begin() as connection:
            return connection.execute(_KEPT.where(parts.c.sequence > after)).all()

    def newest(self) -> tuple[int, float]:
        """Sequence of the newest part, and when the newest part or label was recorded; zeros where there is none."""
        with self._reader.begin() as connection:
            sequence, part = connection.execute(select(func.max(parts.c.sequence), func.max(parts.c.recorded_at))).one()
            label = connection.execute(select(func.max(labels.c.recorded_at))).scalar_one()
        return sequence or 0, max(part or 0.0, label or 0.0)

    def lines(self) -> Sequence[str]:
        """Those that have a part, by name."""
        with self._reader.begin() as connection:
            return list(connection.execute(select(parts.c.line).distinct().order_by(parts.c.line)).scalars())

    def _parts(self, query: Select[Any]) -> Sequence[RecordedVerdict]:
        with self._reader.begin() as connection:
            return [part_of(row) for row in connection.execute(query)]
