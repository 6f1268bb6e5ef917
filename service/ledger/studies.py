"""Studies of the inspectors: what was set up, what they answered, and the parts whose truth is known well enough for one.

Answers have a table of their own and are never labels: nothing that is said of the line can depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from sqlalchemy import func, or_, select

from service.errors import InvalidInput
from service.ledger.base import Base
from service.ledger.schema import columns, labels, parts, studies, study_answers, study_ends, study_parts, values
from service.records import SEPARATOR, Study, StudyAnswer, StudyPart

_SET_UP = [studies.c[field.name] for field in fields(Study) if field.name not in ("created_at", "closed_at")]
_TIMES = [studies.c.recorded_at, study_ends.c.recorded_at.label("closed_at")]
_STUDIES = (
    select(*[*_SET_UP, *_TIMES])
    .outerjoin(study_ends, study_ends.c.study == studies.c.name)
    .order_by(studies.c.sequence)
)
_PARTS = select(*columns(study_parts, StudyPart)).order_by(study_parts.c.sequence)
_ANSWERS = select(*columns(study_answers, StudyAnswer)).order_by(study_answers.c.sequence)


class Studies(Base):
    """Fulfils ports.StudyLedger. Durable when a call returns."""

    def studies(self) -> Sequence[Study]:
        """All that there ever were, oldest first."""
        with self._reader.begin() as connection:
            return [Study(*row) for row in connection.execute(_STUDIES)]

    def study_parts(self, study: str) -> Sequence[StudyPart]:
        with self._reader.begin() as connection:
            return [StudyPart(*row) for row in connection.execute(_PARTS.where(study_parts.c.study == study))]

    def study_answers(self, study: str, inspector: str | None = None) -> Sequence[StudyAnswer]:
        """In the order in which they came; of one inspector, or of all."""
        query = _ANSWERS.where(study_answers.c.study == study)
        if inspector is not None:
            query = query.where(study_answers.c.inspector == inspector)
        with self._reader.begin() as connection:
            return [StudyAnswer(*row) for row in connection.execute(query)]

    def add_study(self, study: Study, parts: Sequence[StudyPart]) -> Study:
        """Both or none. Raises InvalidInput for a name that was ever given."""
        with self._writer.begin() as connection:
            if connection.execute(select(studies.c.name).where(studies.c.name == study.name)).first():
                raise InvalidInput(f"study {study.name!r}: there is one of that name; choose another")
            dated = replace(study, created_at=self._moment(connection))
            row = {column.name: getattr(dated, column.name) for column in _SET_UP}
            self.append(connection, studies, [{"recorded_at": dated.created_at, **row}])
            each = {"recorded_at": dated.created_at, "study": study.name}
            self.append(connection, study_parts, [each | values(part) for part in parts])
        return dated

    def answer_study(self, answer: StudyAnswer) -> None:
        """The same again adds no row, nor does what the newest answer to this key says already."""
        with self._writer.begin() as connection:
            known = [StudyAnswer(*row) for row in connection.execute(_ANSWERS.where(study_answers.c.key == answer.key))]
            newest = max(reversed(known), key=lambda row: row.answered_at, default=None)
            if answer not in known and (newest is None or newest.label != answer.label):
                self.append(connection, study_answers, [{"recorded_at": self._moment(connection), **values(answer)}])

    def close_study(self, name: str, by: str) -> None:
        """For good; again is no change. Raises InvalidInput for an unknown name."""
        with self._writer.begin() as connection:
            if connection.execute(select(studies.c.name).where(studies.c.name == name)).first() is None:
                raise InvalidInput(f"study {name!r}: there is none of that name; `redrabbit study list` shows all")
            if connection.execute(select(study_ends.c.study).where(study_ends.c.study == name)).first() is None:
                self.append(
                    connection, study_ends, [{"recorded_at": self._moment(connection), "study": name, "by": by}]
                )

    def labels_given(self, after: int) -> tuple[int, Mapping[str, int]]:
        """How many labels of a larger sequence each inspector gave, and the newest sequence."""
        query = select(labels.c.inspector, func.count(), func.max(labels.c.sequence)).group_by(labels.c.inspector)
        with self._reader.begin() as connection:
            rows = connection.execute(query.where(labels.c.sequence > after)).all()
        return max((row[2] for row in rows), default=after), {row[0]: row[1] for row in rows}

    def newest_label(self) -> int:
        """The sequence of the newest one, 0 where there is none."""
        with self._reader.begin() as connection:
            return connection.execute(select(func.max(labels.c.sequence))).scalar_one() or 0

    def twice_labelled(self, line: str, before: float, limit: int) -> Sequence[str]:
        """Parts of the line, with a picture, that two or more inspectors have labelled and nobody since `before`, the newest first."""
        query = (
            select(parts.c.part_id)
            .join(labels, labels.c.part_id == parts.c.part_id)
            .where(parts.c.line == line, parts.c.image != "")
            .group_by(parts.c.part_id)
            .having(func.count(labels.c.inspector.distinct()) > 1, func.max(labels.c.labelled_at) <= before)
        )
        with self._reader.begin() as connection:
            return [*connection.execute(query.order_by(func.max(parts.c.sequence).desc()).limit(limit)).scalars()]

    def passes_of(self, line: str, names: Sequence[str]) -> Sequence[str]:
        """Parts of the line that bear the name of a challenge part, alone or before the separator."""
        after = chr(ord(SEPARATOR) + 1)
        bears = [
            or_(
                parts.c.part_id == name,
                (parts.c.part_id >= name + SEPARATOR) & (parts.c.part_id < name + after),
            )
            for name in names
        ]
        with self._reader.begin() as connection:
            return [
                part_id
                for one in bears
                for part_id in connection.execute(select(parts.c.part_id).where(parts.c.line == line, one)).scalars()
            ]
