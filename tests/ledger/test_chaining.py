"""A ledger of the version before there was a chain becomes one with it."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from service.ledger.migrating import upgrade
from service.ledger.migrations.versions import r0009_chain
from service.ledger.store import _opened, migrate, open_ledger
from service.ledger.verifying import verify
from tests.ledger.rows import Ticking, label, verdict

BEFORE = "0008"

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def _old(url: str, first: int) -> None:
    """Twelve labels and parts, the first of this sequence, and draw policies of two lines."""
    with _opened(url, read_only=False) as engine, engine.execution_options(writing=True).begin() as connection:
        upgrade(connection, BEFORE)
        for number in range(first, first + 12):
            connection.execute(
                text("INSERT INTO labels VALUES (:n, 1.5, 'p' || :n, 'crack', 'eva', 1.25, '')"), {"n": number}
            )
            connection.execute(
                text(
                    "INSERT INTO parts VALUES (:n, :n - 1, 1.5, 'p' || :n, 'a', 'left', 1, 'm', 't', '[0.5, 1e-9]', 0.1, 'good', 'pass',"
                    " NULL, 1, 1, '', '')"
                ),
                {"n": number},
            )
        for line, at in (("b", 3.0), ("a", 2.0), ("b", 1.0)):
            connection.execute(
                text("INSERT INTO draw_policies VALUES (:line, :number, :at, 0.0, '[1, 40]', 0.02, true)"),
                {"line": line, "number": int(at), "at": at},
            )
        engine.dispose()


@pytest.mark.parametrize("first", [1, 5])
def test_rows_of_an_older_ledger_are_chained(url: str, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """In several chunks, as they are, the draw policies in the order in which they were recorded; one that was pruned by hand
    begins where it begins; and it goes on from there."""
    monkeypatch.setattr(r0009_chain, "CHUNK", 5)
    _old(url, first)
    migrate(url)
    with closing(open_ledger(url, Ticking())) as ledger:
        for _ in range(2):
            with ledger.still() as (_, connection):
                assert [*verify(connection)] == []
                ordered = connection.execute(text("SELECT line, number FROM draw_policies ORDER BY sequence")).all()
                assert [*map(tuple, ordered)] == [("b", 1), ("a", 2), ("b", 3)]
            ledger.record([verdict("new")])
            ledger.add_labels([label("new")])
        assert [(row.sequence, row.ordinal) for row in ledger.parts_after(0, 99)][-1] == (first + 12, first + 11)
