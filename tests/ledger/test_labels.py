"""What inspectors say, and who may: labels and tokens in any store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier

import pytest

from service.errors import InvalidInput
from service.ledger.store import SqlLedger
from service.records import Label
from tests.ledger.conftest import Opener
from tests.ledger.rows import label, verdict

ONE, TWO = sha256(b"one").hexdigest(), sha256(b"two").hexdigest()


def _statuses(ledger: SqlLedger, *labels: Label) -> list[str]:
    return [receipt.status for receipt in ledger.add_labels(labels, "tablet")]


def _rows(ledger: SqlLedger, part_id: str = "p") -> list[str]:
    return [row.label.label for row in ledger.labels([part_id]).get(part_id, ())]


def test_a_label_comes_back_as_it_was(ledger: SqlLedger) -> None:
    """Every field of a label is read back, with the client who brought it and the time at which it came."""
    ledger.record([verdict("p")])
    assert _statuses(ledger, label("p", "crack", "Zoë", 600.125)) == ["recorded"]
    (row,) = ledger.labels_after(0, 10)
    assert (row.label, row.client, row.recorded_at) == (Label("p", "crack", "Zoë", 600.125), "tablet", 1001.0)
    assert ledger.labels(["p", "q"]) == {"p": [row]}
    assert ledger.labels_after(row.sequence, 10) == []


def test_the_same_label_again_is_no_row(ledger: SqlLedger) -> None:
    """The same answer of the same inspector is unchanged, at another time and twice in one list too."""
    ledger.record([verdict("p")])
    assert _statuses(ledger, label("p"), label("p"), label("p", at=700.0)) == ["recorded", "unchanged", "unchanged"]
    assert _statuses(ledger, label("p", at=800.0), label("p", inspector="ben")) == ["unchanged", "recorded"]
    assert _rows(ledger) == ["good", "good"]


def test_a_correction_is_a_later_row(ledger: SqlLedger) -> None:
    """Another answer of the same inspector is a new row and leaves the old one; so is going back to the first."""
    ledger.record([verdict("p")])
    said = [label("p", "good", at=1.0), label("p", "crack", at=2.0), label("p", "good", at=3.0)]
    assert [_statuses(ledger, one) for one in said] == [["recorded"]] * 3
    assert _rows(ledger) == ["good", "crack", "good"]


def test_an_old_request_sent_again_undoes_nothing(ledger: SqlLedger) -> None:
    """A client that repeats a request from before a correction adds no row."""
    ledger.record([verdict("p")])
    old = label("p", "good", at=1.0)
    _statuses(ledger, old, label("p", "crack", at=2.0))
    assert _statuses(ledger, old) == ["unchanged"]
    assert _rows(ledger) == ["good", "crack"]


def test_a_label_may_come_before_its_part(ledger: SqlLedger) -> None:
    """It waits, is kept, and is found beside the part once that is recorded; said again it is unchanged."""
    assert _statuses(ledger, label("p", "crack")) == ["waiting"]
    ledger.record([verdict("p")])
    assert _rows(ledger) == ["crack"]
    assert _statuses(ledger, label("p", "crack"), label("p", "good", at=601.0)) == ["unchanged", "recorded"]


def test_groups_get_their_own_receipts(ledger: SqlLedger) -> None:
    """Several clients' labels in one transaction: receipts by group and in order, each row under its client."""
    ledger.record([verdict("p")])
    groups = [([label("p"), label("q")], "one"), ([], "two"), ([label("p"), label("p", inspector="ben")], "three")]
    found = [[receipt.status for receipt in group] for group in ledger.add_label_groups(groups)]
    assert found == [["recorded", "waiting"], [], ["unchanged", "recorded"]]
    assert [row.client for row in ledger.labels_after(0, 10)] == ["one", "one", "three"]


def test_two_stations_record_one_answer_once(ledger: SqlLedger, opened: Opener) -> None:
    """The same labels brought to two processes at once become one row each, and exactly one of the two says so."""
    together, parts = Barrier(2), [f"p-{number}" for number in range(40)]
    ledger.record([verdict(part_id) for part_id in parts])

    def bring(station: SqlLedger) -> list[str]:
        together.wait()
        return [_statuses(station, label(part_id))[0] for part_id in parts]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(bring, (ledger, opened())))
    assert [sorted(pair) for pair in zip(*answers, strict=True)] == [["recorded", "unchanged"]] * 40
    assert [row.label.part_id for row in ledger.labels_after(0, 100)] == parts


def test_a_token_is_known_by_its_hash(ledger: SqlLedger) -> None:
    """A token in force is found by the hash of its secret, with its role and lines; any other hash finds nothing."""
    given = ledger.add_token("tablet", "inspector", ONE, ["a", "b"])
    assert ledger.token(ONE) == given
    assert (given.name, given.role, given.lines, given.created_at) == ("tablet", "inspector", ("a", "b"), 1000.0)
    assert ledger.token(TWO) is None
    assert ledger.token("%") is None


def test_a_token_ends_when_it_expires(opened: Opener) -> None:
    """Up to its last second a token is good, from then on it is not; it stays in the list."""
    now = [100.0]
    ledger = opened(clock=lambda: now[0])
    given = ledger.add_token("tablet", "inspector", ONE, expires_at=200.0)
    now[0] = 199.0
    assert ledger.token(ONE) == given
    now[0] = 200.0
    assert ledger.token(ONE) is None
    assert ledger.tokens() == [given]


def test_a_revoked_token_is_none(ledger: SqlLedger) -> None:
    """Revoked is at once and for ever: again keeps the first time, and neither name nor secret is given a second time."""
    ledger.add_token("tablet", "inspector", ONE)
    ledger.revoke_token("tablet")
    assert ledger.token(ONE) is None
    (revoked,) = ledger.tokens()
    ledger.revoke_token("tablet")
    assert ledger.tokens() == [revoked]
    assert revoked.revoked_at is not None
    with pytest.raises(InvalidInput, match="token tablet: there is one"):
        ledger.add_token("tablet", "inspector", TWO)
    with pytest.raises(InvalidInput, match="token other: there is one"):
        ledger.add_token("other", "inspector", ONE)


@pytest.mark.parametrize(
    ("name", "role", "hash", "says"),
    [
        ("tablet", "boss", ONE, "role 'boss'; expected a name and one of inspector, engineer"),
        ("", "inspector", ONE, "expected a name"),
        ("tablet", "inspector", "secret", "expected the SHA-256"),
        ("tablet", "inspector", ONE + "\n", "expected the SHA-256"),
    ],
)
def test_a_token_that_cannot_be(ledger: SqlLedger, name: str, role: str, hash: str, says: str) -> None:
    """An unknown role, no name, or what is no hash is refused, and nothing is given."""
    with pytest.raises(InvalidInput, match=says):
        ledger.add_token(name, role, hash)
    assert ledger.tokens() == []


def test_revoking_nobody(ledger: SqlLedger) -> None:
    """A name that was never given is told so."""
    with pytest.raises(InvalidInput, match="token 'nobody': there is none"):
        ledger.revoke_token("nobody")
