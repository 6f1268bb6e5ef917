"""The chain of rows: what it finds when somebody has been at the ledger, whoever keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import pytest
from sqlalchemy import Connection, Engine, select, text

from service.ledger.chain import CHAINED, canonical
from service.ledger.guards import lifted
from service.ledger.schema import draw_policies, labels, parts
from service.ledger.store import SqlLedger
from service.ledger.verifying import Finding, Head, verify
from service.records import DrawPolicy, Outcome
from tests.ledger.conftest import Opener
from tests.ledger.rows import label, one_of_each, verdict, verdicts
from tests.line import MODEL

NOT_THE_ROW = "is not the row that was recorded here: changed, inserted or put in another's place"


def _verified(ledger: SqlLedger, known: Mapping[str, Head] | None = None) -> tuple[list[Finding], dict[str, Head]]:
    found = []
    with ledger.still() as (_, connection):
        walk = verify(connection, known=known)
        while True:
            try:
                found.append(next(walk))
            except StopIteration as end:
                return found, end.value


def _findings(ledger: SqlLedger, known: Mapping[str, Head] | None = None) -> list[tuple[str, int, str]]:
    return [(one.table, one.sequence, one.what) for one in _verified(ledger, known)[0]]


def _by_hand(database: Engine, table: str, *statements: str) -> None:
    with database.begin() as connection, lifted(connection, table, "UPDATE"), lifted(connection, table, "DELETE"):
        for statement in statements:
            connection.execute(text(statement))


def test_every_table_of_what_happened_is_chained(ledger: SqlLedger) -> None:
    """A row of each goes in through the ledger's own calls, none of them round the chain."""
    one_of_each(ledger)
    found, heads = _verified(ledger)
    assert found == []
    assert set(heads) == {table.name for table in CHAINED}
    assert {head.sequence for head in heads.values()} == {1}


def test_rows_of_many_kinds_keep_their_hashes(ledger: SqlLedger, opened: Opener) -> None:
    """Exact floats, none, true and false, letters of any alphabet, nested lists, an integer where a float belongs: what the database gives
    back has the bytes of what went in, for a process that opens the ledger later too."""
    odd = verdict("é~日\n\"'\\", scores=(0.1 + 0.2, 1e-17, 1.0, 5e-324), captured_at=2, exceedance=-0.0, lot="\u2028")
    ledger.record([odd, replace(odd, part_id="r", outcome=Outcome.REJECT, band=None, image="f" * 64)])
    ledger.register(replace(MODEL, guesses=(0.25, 1 / 3), scores={"good": (1, 2), "crack": [3, 4]}, name="ü"))
    ledger.set_draw_policy(DrawPolicy(0, "a", 0, (1, 2, 3), 0.02, surge=True))
    ledger.set_draw_policy(DrawPolicy(0, "a", 1e9 + 1 / 3, (1, 2), 1e-3))
    assert _verified(ledger)[0] == []
    opened().record(verdicts("later", 3))
    assert _verified(ledger)[0] == []


def test_the_bytes_of_a_row(ledger: SqlLedger, database: Engine) -> None:
    """Written down as documented, so that another program can compute a hash: JSON, names sorted, nothing for what is NULL."""
    ledger.set_draw_policy(DrawPolicy(0, "a", 7, (1, 40), 0.02))
    expected = '{"budget":0.02,"line":"a","number":1,"recorded_at":1000.0,"sequence":1,"since":7.0,"surge":false,"weights":[1,40]}'
    with database.begin() as connection:
        row = connection.execute(select(draw_policies)).mappings().one()
        assert canonical(draw_policies, row) == expected.encode()
        assert row["row_hash"] == sha256(f"draw_policies{expected}".encode()).hexdigest()


def test_numbers_follow_each_other_and_the_table_may_go_on(ledger: SqlLedger, database: Engine) -> None:
    """The second row is hashed with the first one's hash."""
    ledger.add_labels([label("p")])
    ledger.add_labels([label("q")])
    with database.begin() as connection:
        first, second = connection.execute(select(labels).order_by(labels.c.sequence)).mappings()
    assert second["row_hash"] == sha256(first["row_hash"].encode() + canonical(labels, second)).hexdigest()


CASES = {
    "changed": (
        ["UPDATE parts SET exceedance = 0.7 WHERE sequence = 3"],
        [("parts", 3, NOT_THE_ROW)],
    ),
    "missing": (
        ["DELETE FROM parts WHERE sequence IN (3, 4)"],
        [("parts", 3, "rows 3 to 4 are missing"), ("parts", 5, "has ordinal 4 of line a, expected 2")],
    ),
    "the first is missing": (
        ["DELETE FROM parts WHERE sequence = 1"],
        [("parts", 1, "row 1 is missing"), ("parts", 2, "has ordinal 1 of line a, expected 0")],
    ),
    "inserted at the end": (
        [
            "INSERT INTO parts (sequence, ordinal, recorded_at, part_id, line, camera, captured_at, model, thresholds, scores, exceedance,"
            " predicted, outcome, band, weight, policy, image, lot) SELECT 7, 6, recorded_at, 'new', line, camera, captured_at, model,"
            " thresholds, scores, exceedance, predicted, outcome, band, weight, policy, image, lot FROM parts WHERE sequence = 6"
        ],
        [("parts", 7, "was inserted by something else than redrabbit: it has no hash")],
    ),
    "inserted before the first": (
        ["UPDATE parts SET sequence = 0, ordinal = -1 WHERE sequence = 6"],
        [("parts", 0, "was inserted: the table begins after it"), ("parts", 0, "has ordinal -1 of line a, expected 0")],
    ),
    "swapped": (
        [
            "UPDATE parts SET sequence = 100 WHERE sequence = 3",
            "UPDATE parts SET sequence = 3 WHERE sequence = 5",
            "UPDATE parts SET sequence = 5 WHERE sequence = 100",
        ],
        [
            ("parts", 3, NOT_THE_ROW),
            ("parts", 3, "has ordinal 4 of line a, expected 2"),
            ("parts", 4, NOT_THE_ROW),
            ("parts", 4, "has ordinal 3 of line a, expected 5"),
            ("parts", 5, NOT_THE_ROW),
            ("parts", 5, "has ordinal 2 of line a, expected 4"),
            ("parts", 6, NOT_THE_ROW),
            ("parts", 6, "has ordinal 5 of line a, expected 3"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_somebody_did_by_hand(ledger: SqlLedger, database: Engine, case: str) -> None:
    """The table, the row and what is wrong with it are named; what is right is not."""
    statements, expected = CASES[case]
    ledger.record(verdicts("p", 6))
    ledger.add_labels([label("p-1")])
    _by_hand(database, "parts", *statements)
    assert _findings(ledger) == expected


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_value_of_none_of_ours(ledger: SqlLedger, database: Engine) -> None:
    """SQLite lets everything into every column; it stops no reading."""
    ledger.record(verdicts("p", 6))
    _by_hand(database, "parts", "UPDATE parts SET outcome = 'fine', scores = '[1' WHERE sequence = 3")
    assert _findings(ledger) == [("parts", 3, "was changed: scores is '[1'")]


def test_a_cut_tail_shows_against_heads_kept_elsewhere(ledger: SqlLedger, database: Engine) -> None:
    """Nothing in the rows that are left says that there were more; the heads do."""
    ledger.record(verdicts("p", 6))
    _, heads = _verified(ledger)
    _by_hand(database, "parts", "DELETE FROM parts WHERE sequence > 4")
    assert _findings(ledger) == []
    assert _findings(ledger, heads) == [
        ("parts", 5, "the end is missing: the heads know rows up to 6, the last one here is 4")
    ]
    _by_hand(database, "parts", "DELETE FROM parts")
    assert _findings(ledger) == []
    assert [(table, row) for table, row, _ in _findings(ledger, heads)] == [("parts", 1)]


def test_a_chain_made_anew_shows_against_heads_kept_elsewhere(ledger: SqlLedger, database: Engine) -> None:
    """Whoever may write the file can compute every hash again. Rows that come after the heads are no fault."""
    ledger.record(verdicts("p", 4))
    _, heads = _verified(ledger)
    ledger.record(verdicts("q", 2))
    assert _findings(ledger, heads) == []
    _by_hand(database, "parts", "UPDATE parts SET predicted = 'crack' WHERE sequence = 2")
    with database.begin() as connection, lifted(connection, "parts", "UPDATE"):
        _chain_anew(connection)
    assert _findings(ledger) == []
    assert _findings(ledger, heads) == [
        ("parts", 4, "has another hash than the heads say: it, or rows before it, were chained anew")
    ]


def _chain_anew(connection: Connection) -> None:
    row_hash = "parts"
    for row in connection.execute(select(parts).order_by(parts.c.sequence)).mappings().all():
        row_hash = sha256(row_hash.encode() + canonical(parts, row)).hexdigest()
        change = text("UPDATE parts SET row_hash = :h WHERE sequence = :s")
        connection.execute(change, {"h": row_hash, "s": row["sequence"]})


def test_an_ordinal_that_is_given_twice_or_left_out(ledger: SqlLedger, database: Engine) -> None:
    """Each line counts its parts by itself."""
    ledger.record([*verdicts("p", 2), *verdicts("q", 2, "b"), *verdicts("r", 1)])
    assert _findings(ledger) == []
    _by_hand(database, "parts", "UPDATE parts SET ordinal = 7 WHERE part_id = 'q-1'")
    assert _findings(ledger) == [("parts", 4, NOT_THE_ROW), ("parts", 4, "has ordinal 7 of line b, expected 1")]


def test_one_moment_of_a_ledger_at_work(ledger: SqlLedger, opened: Opener) -> None:
    """What is recorded while it is being read is not seen, and nothing waits for the reader."""
    ledger.record(verdicts("p", 3))
    with opened(read_only=True).still() as (unmoved, connection):
        assert len(unmoved.parts_after(0, 10)) == 3
        ledger.record(verdicts("q", 3))
        assert len(unmoved.parts_after(0, 10)) == 3
        assert [*verify(connection)] == []
    assert len(ledger.parts_after(0, 10)) == 6
