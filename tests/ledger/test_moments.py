"""What comes later in the ledger was recorded later, whatever the clocks say."""

from __future__ import annotations

from sqlalchemy import Engine, select

from service.ledger.chain import CHAINED
from service.ledger.store import SqlLedger
from tests.ledger.conftest import Opener
from tests.ledger.rows import label, one_of_each, verdict


def _moments(database: Engine) -> dict[str, list[float]]:
    with database.begin() as connection:
        return {
            table.name: [*connection.execute(select(table.c.recorded_at).order_by(table.c.sequence)).scalars()]
            for table in CHAINED
        }


def test_a_clock_that_is_set_back(opened: Opener, database: Engine) -> None:
    """Rows of every kind follow one another closely until the clock has caught up."""
    now = 9000.0
    ledger = opened(lambda: now)
    ledger.record([verdict("before")])
    now = 1000.0
    one_of_each(ledger)
    for moments in _moments(database).values():
        assert all(9000.0 < moment < 9000.1 for moment in moments if moment != 9000.0)
    now = 9001.0
    ledger.record([verdict("after")])
    assert _moments(database)["parts"][-1] == 9001.0


def test_clocks_that_differ(ledger: SqlLedger, opened: Opener, database: Engine) -> None:
    """The station's clock is behind the worker's: a label comes after its part, and two transactions never at one moment."""
    worker, station = opened(lambda: 9000.0), opened(lambda: 8000.0)
    worker.record([verdict("p")])
    for name in ("good", "crack"):
        station.add_labels([label("p", name)])
    worker.record([verdict("q")])
    found = _moments(database)
    part, later = found["parts"]
    first, second = found["labels"]
    assert part < first < second < later


def test_one_transaction_is_one_moment(opened: Opener, database: Engine) -> None:
    """Labels that came together take effect together, also while the clock is behind."""
    opened(lambda: 9000.0).record([verdict("p"), verdict("q")])
    opened(lambda: 10.0).add_labels([label("p"), label("q")])
    found = _moments(database)
    assert len({*found["parts"]}) == len({*found["labels"]}) == 1
