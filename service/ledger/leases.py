"""Who has which part before him, and what an answer that comes days later was about."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, insert, select, update

from service.ledger.base import Base
from service.ledger.schema import columns, labels, leases, values
from service.records import Lease

KEPT = 30 * 86400.0
"""Seconds after which a lease that has run out is forgotten, and an answer to it comes too late."""

_LEASES = select(*columns(leases, Lease))
_ANSWERED = exists().where(labels.c.part_id == leases.c.part_id, labels.c.inspector == leases.c.inspector)


def _held(now: float) -> ColumnElement[bool]:
    """An answer ends a lease: a second look need not wait for it to run out, and no row must be written for that."""
    return and_(leases.c.until > now, ~_ANSWERED)


class Leases(Base):
    """Fulfils ports.LeaseLedger."""

    def take(self, lease: Lease) -> bool:
        now = self._clock()
        with self._writer.begin() as connection:
            others = select(leases.c.id).where(
                leases.c.part_id == lease.part_id,
                leases.c.sample == "",
                _held(now),
                leases.c.inspector != lease.inspector,
            )
            if not lease.sample and connection.execute(others).first():
                return False
            connection.execute(delete(leases).where(leases.c.until < now - KEPT))
            connection.execute(insert(leases), values(lease))
        return True

    def leases(self, lines: Sequence[str]) -> Sequence[Lease]:
        query = _LEASES.where(_held(self._clock()), leases.c.line.in_(lines))
        with self._reader.begin() as connection:
            return [Lease(*row) for row in connection.execute(query)]

    def lease(self, id: str) -> Lease | None:
        with self._reader.begin() as connection:
            row = connection.execute(_LEASES.where(leases.c.id == id)).one_or_none()
        return Lease(*row) if row else None

    def extend(self, ids: Sequence[str], inspector: str, until: float) -> None:
        if not ids:
            return
        mine = (leases.c.id.in_(ids), leases.c.inspector == inspector)
        with self._writer.begin() as connection:
            connection.execute(update(leases).where(*mine).values(until=until))

    def show(self, id: str) -> None:
        with self._writer.begin() as connection:
            connection.execute(update(leases).where(leases.c.id == id).values(seen=True))
