"""Parts that nobody has judged, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from service.ledger.base import Base, rows_of
from service.ledger.schema import columns, not_inspected, parts, values
from service.records import NotInspected

_ALL = select(*columns(not_inspected, NotInspected))


class Absent(Base):
    """Fulfils the part of ports.PartLedger and ports.LedgerReader that is about them."""

    def record_not_inspected(self, missing: Sequence[NotInspected]) -> Sequence[NotInspected]:
        """One transaction, durable when it returns; LedgerUnavailable: none of it is recorded.

        One that is there already gives the record back in its place; one whose part has a verdict is left out.
        """
        ids = [one.part_id for one in missing]
        with self._writer.begin() as connection:
            judged = {row.part_id for row in rows_of(connection, select(parts.c.part_id), parts.c.part_id, ids)}
            found = rows_of(connection, _ALL, not_inspected.c.part_id, ids)
            of_record = {one.part_id: one for one in (NotInspected(*row) for row in found)}
            new = {one.part_id: one for one in reversed(missing) if one.part_id not in {*judged, *of_record}}
            rows = [one for one in missing if new.get(one.part_id) is one]
            if rows:
                now = self._moment(connection)
                self.append(connection, not_inspected, [{"recorded_at": now, **values(one)} for one in rows])
        known = {**of_record, **new}
        return [known[part_id] for part_id in ids if part_id in known and part_id not in judged]

    def not_inspected_after(self, sequence: int, limit: int) -> Sequence[tuple[int, float, NotInspected]]:
        """(sequence, recorded_at, record) of a larger sequence, ascending."""
        table = not_inspected
        query = select(table.c.sequence, table.c.recorded_at, *columns(table, NotInspected))
        newer = query.where(table.c.sequence > sequence).order_by(table.c.sequence).limit(limit)
        with self._reader.begin() as connection:
            return [(at, recorded_at, NotInspected(*rest)) for at, recorded_at, *rest in connection.execute(newer)]
