"""The worker's side: verdicts, models in force, draw policies, signs of life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from service.ledger.base import Base, rows_of
from service.ledger.schema import anchors, columns, draw_policies, heartbeats, models, parts, values
from service.records import DrawPolicy, Heartbeat, ModelInForce, Verdict

_VERDICTS = select(*columns(parts, Verdict))


class Parts(Base):
    """Fulfils ports.PartLedger."""

    def record(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        """One transaction, durable when it returns; LedgerUnavailable: none of it is recorded.

        A part id that is there already, or twice among `verdicts`, gives the verdict of record back in its place.
        """
        with self._writer.begin() as connection:
            found = rows_of(connection, _VERDICTS, parts.c.part_id, (verdict.part_id for verdict in verdicts))
            of_record = {verdict.part_id: verdict for verdict in (Verdict(*row) for row in found)}
            ordinals: dict[str, int] = {}
            rows: list[dict[str, Any]] = []
            now = self._moment(connection)
            for verdict in verdicts:
                if verdict.part_id not in of_record:
                    of_record[verdict.part_id] = verdict
                    ordinal = ordinals.get(verdict.line)
                    if ordinal is None:
                        ordinal = _next_ordinal(connection, verdict.line)
                    ordinals[verdict.line] = ordinal + 1
                    rows.append({"ordinal": ordinal, "recorded_at": now, **values(verdict)})
            if rows:
                self.append(connection, parts, rows)
        return [of_record[verdict.part_id] for verdict in verdicts]

    def register(self, model: ModelInForce) -> None:
        """A new row unless the newest of this line and role says the same; `since` alone is no difference."""
        with self._writer.begin() as connection:
            register(connection, model, self._moment(connection))

    def draw_policy(self, line: str) -> DrawPolicy | None:
        """The line's newest."""
        with self._reader.begin() as connection:
            return _policy(connection, line)

    def set_draw_policy(self, policy: DrawPolicy, after: int | None = None) -> DrawPolicy:
        """Appends the policy under the line's next number, from 1 on. after: as in the port."""
        with self._writer.begin() as connection:
            newest = _policy(connection, policy.line)
            number = newest.number if newest else 0
            if newest and after is not None and after != number:
                return newest
            numbered = replace(policy, number=number + 1)
            self.append(connection, draw_policies, [{"recorded_at": self._moment(connection), **values(numbered)}])
        return numbered

    def beat(self, heartbeat: Heartbeat) -> None:
        """The newest sign of life of each worker of a line is kept, no history."""
        row = values(heartbeat)
        same = (heartbeats.c.line == heartbeat.line, heartbeats.c.worker == heartbeat.worker)
        with self._writer.begin() as connection:
            if not connection.execute(update(heartbeats).where(*same).values(row)).rowcount:
                connection.execute(insert(heartbeats), row)


def register(connection: Connection, model: ModelInForce, now: float) -> None:
    """As Parts.register, within a writing transaction."""
    newest = (
        select(*columns(models, ModelInForce))
        .where(models.c.line == model.line, models.c.role == model.role)
        .order_by(models.c.sequence.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    if row is None or replace(ModelInForce(*row), since=model.since) != model:
        maps = {"decision_thresholds": dict(model.decision_thresholds), "scores": dict(model.scores)}
        Base.append(connection, models, [{"recorded_at": now, **values(model), **maps}])


def _next_ordinal(connection: Connection, line: str) -> int:
    highest = connection.execute(select(func.max(parts.c.ordinal)).where(parts.c.line == line)).scalar_one()
    if highest is not None:
        return int(highest) + 1
    pruned = select(anchors.c.ordinal).where(anchors.c.name == parts.name, anchors.c.line == line)
    return int(connection.execute(pruned).scalar() or 0)


def _policy(connection: Connection, line: str) -> DrawPolicy | None:
    newest = select(*columns(draw_policies, DrawPolicy)).where(draw_policies.c.line == line)
    row = connection.execute(newest.order_by(draw_policies.c.number.desc()).limit(1)).one_or_none()
    return DrawPolicy(*row) if row else None
