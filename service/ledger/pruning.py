"""Old rows out of the ledger, so that the rest is still a chain, and every figure in force what it was.

Each table loses its oldest rows up to a sequence, never one from the middle; where the rest begins stands in `anchors`. What says how the line
came to be judged stays for good: models, draw policies, challenge parts, orders, camera references, people, deeds, studies; and
what was not inspected, so that its count never falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, insert, or_, select

from service.errors import InvalidInput
from service.ledger.base import Base, anchor, head
from service.ledger.chain import HASH
from service.ledger.guards import lifted
from service.ledger.schema import (
    FIGURES,
    STRAGGLERS,
    acknowledgements,
    anchors,
    challenge_reports,
    deeds,
    labels,
    parts,
    shadow_verdicts,
    studies,
    study_ends,
    study_parts,
    values,
)
from service.ports import LedgerReader
from service.records import Begins, Deed, Past, RecordedLabel, RecordedShadow, RecordedVerdict

PRUNED: Final = (parts, labels, shadow_verdicts, challenge_reports, acknowledgements)


@dataclass(frozen=True, slots=True)
class Plan:
    """last: {table: the last sequence that goes}. rows: how many go. ordinals: {line: of the first part that stays}. begins: where
    figures begin then. oldest: when the oldest part that stays was captured, None: no part goes."""

    last: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    ordinals: Mapping[str, int] = field(default_factory=dict)
    begins: Begins = field(default_factory=Begins)
    oldest: float | None = None


def plan(
    connection: Connection, until: float, needed: Callable[[str, int], int], carry: Callable[[str, int], Past]
) -> Plan:
    """What may go of rows that were recorded before `until`, seconds UTC.

    needed, carry: of a line and an ordinal; see LineBook.
    """
    last = _last_part(connection, until, needed)
    if last <= (anchor(connection, parts) or (0, ""))[0]:
        return Plan()
    stays = select(parts.c.part_id).where(parts.c.sequence > last)
    oldest = connection.execute(
        select(parts.c.captured_at, parts.c.recorded_at)
        .where(parts.c.sequence > last)
        .order_by(parts.c.sequence)
        .limit(1)
    ).one()
    until = min(until, oldest.recorded_at)
    ends = {parts.name: last}
    for table in (labels, shadow_verdicts, challenge_reports):
        kept = select(func.min(table.c.sequence)).where(or_(table.c.recorded_at >= until, table.c.part_id.in_(stays)))
        ends[table.name] = _before(connection, table, kept)
    told = select(func.min(acknowledgements.c.sequence)).where(acknowledgements.c.recorded_at >= until)
    ends[acknowledgements.name] = _before(connection, acknowledgements, told)
    gone = select(parts.c.part_id).where(parts.c.sequence <= last)
    straggling = select(func.max(labels.c.sequence)).where(
        labels.c.sequence > ends[labels.name], labels.c.part_id.in_(gone)
    )
    known = connection.execute(select(anchors.c.sequence).where(anchors.c.name == STRAGGLERS)).scalar() or 0
    remaining = select(parts.c.line, func.min(parts.c.ordinal)).where(parts.c.sequence > last).group_by(parts.c.line)
    first = {line: ordinal for line, ordinal in connection.execute(remaining)}  # noqa: C416 - a row is no pair to mypy
    return Plan(
        last=ends,
        rows={
            table.name: connection.execute(
                select(func.count()).select_from(table).where(table.c.sequence <= ends[table.name])
            ).scalar_one()
            for table in PRUNED
        },
        ordinals=first,
        begins=Begins(
            {line: carry(line, ordinal) for line, ordinal in first.items()},
            max(known, connection.execute(straggling).scalar() or 0),
        ),
        oldest=oldest.captured_at,
    )


def _last_part(connection: Connection, until: float, needed: Callable[[str, int], int]) -> int:
    """Before the first part that any line, or any study that is open, needs."""
    young = select(func.min(parts.c.sequence)).where(parts.c.recorded_at >= until)
    newest = connection.execute(select(func.max(parts.c.sequence))).scalar() or 0
    limits = [connection.execute(young).scalar() or newest + 1]
    for line in connection.execute(select(parts.c.line).distinct()).scalars().all():
        of_line = select(func.max(parts.c.ordinal)).where(parts.c.line == line)
        old = connection.execute(of_line.where(parts.c.sequence < limits[0])).scalar()
        if old is None:
            continue
        first = select(parts.c.sequence).where(parts.c.line == line, parts.c.ordinal >= needed(line, old))
        limits.append(connection.execute(first.order_by(parts.c.ordinal).limit(1)).scalar_one())
    running = select(studies.c.name).where(~exists().where(study_ends.c.study == studies.c.name))
    studied = select(study_parts.c.part_id).where(study_parts.c.study.in_(running))
    of_study = connection.execute(select(func.min(parts.c.sequence)).where(parts.c.part_id.in_(studied))).scalar()
    return int(min([*limits, *([of_study] if of_study is not None else [])])) - 1


def _before(connection: Connection, table: Table, kept: Any) -> int:
    first = connection.execute(kept).scalar()
    return head(connection, table)[0] if first is None else int(first) - 1


class Pruning(Base):
    def prune(self, plan: Plan, deed: Deed) -> None:
        """All of it in one transaction, or nothing; the deed goes into the trail. Raises InvalidInput where somebody else has pruned
        since the plan was made."""
        with self._writer.begin() as connection:
            for table in PRUNED:
                last, begun = plan.last[table.name], (anchor(connection, table) or (0, ""))[0]
                if last < begun:
                    raise InvalidInput("the ledger has been pruned meanwhile; ask again")
                if last > begun:
                    row_hash = connection.execute(select(table.c[HASH]).where(table.c.sequence == last)).scalar_one()
                    with lifted(connection, table.name, "DELETE"):
                        connection.execute(delete(table).where(table.c.sequence <= last))
                    _anchor(connection, table.name, sequence=last, row_hash=row_hash)
            for line, ordinal in plan.ordinals.items():
                _anchor(connection, parts.name, line, ordinal=ordinal)
                _anchor(connection, FIGURES, line, past=asdict(plan.begins.lines[line]))
            _anchor(connection, STRAGGLERS, sequence=plan.begins.labels)
            self.append(connection, deeds, [{"recorded_at": self._moment(connection), **values(deed)}])


def _anchor(
    connection: Connection,
    name: str,
    line: str = "",
    sequence: int = 0,
    row_hash: str = "",
    ordinal: int = 0,
    past: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(delete(anchors).where(anchors.c.name == name, anchors.c.line == line))
    row = {"name": name, "line": line, "sequence": sequence, "hash": row_hash, "ordinal": ordinal, "past": past}
    connection.execute(insert(anchors), row)


def pictures(connection: Connection, plan: Plan) -> Iterator[str]:
    """Digests of the pictures that parts name which go, and none that stays."""
    last = plan.last[parts.name]
    staying = _named(connection, parts.c.sequence > last)
    stays = next(staying, None)
    for digest in _named(connection, parts.c.sequence <= last):
        while stays is not None and stays < digest:
            stays = next(staying, None)
        if stays != digest:
            yield digest


def _named(connection: Connection, which: ColumnElement[bool]) -> Iterator[str]:
    """In order of their bytes, as every store has its text."""
    query = select(parts.c.image).where(parts.c.image != "", which).distinct().order_by(parts.c.image)
    yield from connection.execute(query, execution_options={"yield_per": 5_000}).scalars()


class Pruned:
    """The ledger as it would be after a plan; fulfils ports.LedgerReader."""

    def __init__(self, ledger: LedgerReader, plan: Plan) -> None:
        self._ledger = ledger
        self._last = plan.last
        self._begins = plan.begins

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def begins(self) -> Begins:
        return self._begins

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]:
        return self._ledger.parts_after(max(sequence, self._last[parts.name]), limit)

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]:
        return self._ledger.labels_after(max(sequence, self._last[labels.name]), limit)

    def shadow_verdicts_after(self, sequence: int, limit: int) -> Sequence[RecordedShadow]:
        return self._ledger.shadow_verdicts_after(max(sequence, self._last[shadow_verdicts.name]), limit)

    def challenge_reports_after(self, sequence: int) -> Sequence[tuple[int, Any]]:
        return self._ledger.challenge_reports_after(max(sequence, self._last[challenge_reports.name]))

    def acknowledgements_after(self, sequence: int) -> Sequence[tuple[int, Any]]:
        return self._ledger.acknowledgements_after(max(sequence, self._last[acknowledgements.name]))

    def parts(self, part_ids: Sequence[str]) -> Mapping[str, RecordedVerdict]:
        found = self._ledger.parts(part_ids)
        return {part_id: row for part_id, row in found.items() if row.sequence > self._last[parts.name]}

    def labels(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedLabel]]:
        return self._after(self._ledger.labels(part_ids), self._last[labels.name])

    def shadow_verdicts(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedShadow]]:
        return self._after(self._ledger.shadow_verdicts(part_ids), self._last[shadow_verdicts.name])

    @staticmethod
    def _after(rows: Mapping[str, Sequence[Any]], last: int) -> dict[str, list[Any]]:
        left = {part_id: [row for row in some if row.sequence > last] for part_id, some in rows.items()}
        return {part_id: some for part_id, some in left.items() if some}
