"""Which models a line shall have, what its worker answered, and what shadows would have said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import func, select

from service.ledger.base import AnyRow, Base, rows_of
from service.ledger.parts import register
from service.ledger.schema import columns, model_answers, model_orders, shadow_verdicts, values
from service.records import ModelAnswer, ModelInForce, ModelOrder, RecordedOrder, RecordedShadow, ShadowVerdict

_ORDERS = select(model_orders.c.sequence, model_orders.c.recorded_at, *columns(model_orders, ModelOrder)).order_by(
    model_orders.c.sequence
)
_ANSWERS = select(*columns(model_answers, ModelAnswer)).order_by(model_answers.c.sequence)
_ANSWERED = select(func.count()).select_from(model_answers)
_JUDGED = select(shadow_verdicts.c.part_id, shadow_verdicts.c.model)
_SHADOWS = select(
    shadow_verdicts.c.sequence, shadow_verdicts.c.recorded_at, *columns(shadow_verdicts, ShadowVerdict)
).order_by(shadow_verdicts.c.sequence)


class Orders(Base):
    """Fulfils ports.ModelLedger. Durable when a call returns."""

    def order_model(self, order: ModelOrder) -> RecordedOrder:
        """A new row, for the line's worker to follow."""
        with self._writer.begin() as connection:
            now = self._moment(connection)
            sequence = self.append(connection, model_orders, [{"recorded_at": now, **values(order)}])
            return RecordedOrder(sequence, now, order)

    def model_orders(self, line: str) -> Sequence[RecordedOrder]:
        """All orders of the line by sequence, with their answers, as of one moment."""
        answers: defaultdict[int, list[ModelAnswer]] = defaultdict(list)
        with self._reader.begin() as connection:
            for row in connection.execute(_ANSWERS.where(model_answers.c.line == line)):
                answers[row.order].append(ModelAnswer(*row))
            return [
                RecordedOrder(sequence, recorded_at, ModelOrder(*fields), tuple(answers[sequence]))
                for sequence, recorded_at, *fields in connection.execute(_ORDERS.where(model_orders.c.line == line))
            ]

    def answer_order(self, answer: ModelAnswer, seen: int, model: ModelInForce | None = None) -> bool:
        """Together with the registration of the model that is in force by it, both or none; unless another worker was first."""
        with self._writer.begin() as connection:
            if connection.execute(_ANSWERED.where(model_answers.c.order == answer.order)).scalar_one() != seen:
                return False
            now = self._moment(connection)
            if model is not None:
                register(connection, model, now)
            self.append(connection, model_answers, [{"recorded_at": now, **values(answer)}])
            return True

    def record_shadow(self, verdicts: Sequence[ShadowVerdict]) -> None:
        """One transaction. A part that this model has judged already is not recorded again."""
        with self._writer.begin() as connection:
            ids = (verdict.part_id for verdict in verdicts)
            judged = {tuple(row) for row in rows_of(connection, _JUDGED, shadow_verdicts.c.part_id, ids)}
            new = {key: one for one in verdicts if (key := (one.part_id, one.model)) not in judged}
            now = self._moment(connection)
            if new:
                self.append(connection, shadow_verdicts, [{"recorded_at": now, **values(one)} for one in new.values()])

    def shadow_verdicts_after(self, sequence: int, limit: int) -> Sequence[RecordedShadow]:
        """What shadows said, with a larger sequence, ascending: a row always comes after its part's own record."""
        query = _SHADOWS.where(shadow_verdicts.c.sequence > sequence).limit(limit)
        with self._reader.begin() as connection:
            return [_shadow(row) for row in connection.execute(query)]

    def shadow_verdicts(self, part_ids: Iterable[str]) -> Mapping[str, Sequence[RecordedShadow]]:
        """What shadows said of these parts, by sequence; a part without any is absent."""
        found: defaultdict[str, list[RecordedShadow]] = defaultdict(list)
        with self._reader.begin() as connection:
            for row in rows_of(connection, _SHADOWS, shadow_verdicts.c.part_id, part_ids):
                found[row.part_id].append(_shadow(row))
        return dict(found)


def _shadow(row: AnyRow) -> RecordedShadow:
    sequence, recorded_at, *fields = row
    return RecordedShadow(sequence, recorded_at, ShadowVerdict(*fields))
