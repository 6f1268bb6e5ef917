"""Looking for parts, as people do: by what they know of one, newest first, and what lies beside it in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, exists, select, tuple_

from service.ledger.base import Base
from service.ledger.reading import CHALLENGE, PARTS, part_of
from service.ledger.schema import IN_LOT, NOT_PASSED, labels, parts
from service.ports import Place, Wanted
from service.records import Outcome, RecordedVerdict

FEW: Final = 2000
"""So few parts are looked through one by one. More of them lie close in time: going back from the newest soon finds a page."""

_line = parts.c.line + ""
"""For a query that must not go by an index of the line: SQLite, which knows nothing of how many rows that has, would."""

_when = tuple_(parts.c.captured_at, parts.c.sequence)


class Searching(Base):
    def find(self, wanted: Wanted, limit: int, before: Place | None = None) -> Sequence[RecordedVerdict]:
        """Newest first. before: the place of the last part of the page before this."""
        with self._reader.begin() as connection:
            query = _narrowed(connection, wanted)
            if before is not None:
                query = query.where(_when < before)
            newest = query.order_by(parts.c.captured_at.desc(), parts.c.sequence.desc()).limit(limit)
            return [part_of(row) for row in connection.execute(newest)]

    def beside(self, part: RecordedVerdict, camera: str = "") -> tuple[str | None, str | None]:
        """The ids of the parts of its line (of this camera of it) that were captured just before and after it."""
        here = (part.verdict.captured_at, part.sequence)
        query = select(parts.c.part_id).where(parts.c.line == part.verdict.line)
        if camera:
            query = query.where(parts.c.camera == camera)
        earlier = query.where(_when < here).order_by(parts.c.captured_at.desc(), parts.c.sequence.desc())
        later = query.where(_when > here).order_by(parts.c.captured_at, parts.c.sequence)
        with self._reader.begin() as connection:
            before, after = (connection.execute(one.limit(1)).scalar() for one in (earlier, later))
        return before, after

    def labelled(self, line: str, first: int, after: int) -> Sequence[RecordedVerdict]:
        """Parts of the line from ordinal `first` up to before `after` that somebody has labelled, challenge parts left out.

        In order of recording. Goes by the labels: they are few beside the parts.
        """
        somebody = parts.c.part_id.in_(select(labels.c.part_id))
        query = PARTS.where(somebody, _line == line, parts.c.ordinal + 0 >= first, parts.c.ordinal + 0 < after)
        with self._reader.begin() as connection:
            rows = connection.execute(query.where(~CHALLENGE))
            return sorted((part_of(row) for row in rows), key=lambda part: part.ordinal)


def _narrowed(connection: Connection, wanted: Wanted) -> Select[Any]:
    """Goes by the rarest of what is asked for: ids and labels where few parts have them, else back in time."""
    rare: list[ColumnElement[bool]] = []
    common: list[ColumnElement[bool]] = []
    if wanted.prefix:
        # The last letter there is: no id has it, as ids are of a few plain letters.
        begins = parts.c.part_id.between(wanted.prefix, wanted.prefix + "\U0010ffff")
        if _few(connection, select(parts.c.part_id).where(begins)):
            rare.append(begins)
        else:
            common.append((parts.c.part_id + "").between(wanted.prefix, wanted.prefix + "\U0010ffff"))
    if wanted.label:
        said = select(labels.c.part_id).where(labels.c.label == wanted.label)
        if not rare and _few(connection, said):
            rare.append(parts.c.part_id.in_(said))
        else:
            common.append(exists().where(labels.c.part_id == parts.c.part_id, labels.c.label == wanted.label))
    query = PARTS.where(*rare, *common, (_line if rare else parts.c.line) == wanted.line)
    if wanted.since is not None:
        query = query.where(parts.c.captured_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(parts.c.captured_at < wanted.until)
    if wanted.lot:
        query = query.where(parts.c.lot == wanted.lot, IN_LOT)
    if wanted.camera:
        query = query.where(parts.c.camera == wanted.camera)
    if wanted.outcome is not None:
        query = query.where(parts.c.outcome == wanted.outcome)
        query = query if wanted.outcome is Outcome.PASS else query.where(NOT_PASSED)
    return query


def _few(connection: Connection, query: Select[Any]) -> bool:
    return len(connection.execute(query.limit(FEW + 1)).all()) <= FEW
