"""Labels that come at the same time share a commit, and nobody who brought one is left waiting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from threading import Event

import pytest

from service.errors import LedgerUnavailable
from service.ledger.groups import GroupCommit
from service.ledger.store import SqlLedger
from service.ports import LabelReceipt
from service.records import Label
from tests.ledger.rows import label, verdicts

WAITING = 31


class Gate:
    """Lets a group through to the ledger once it is opened; fails those that come while there is a `fault`."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.reached = Event()
        self.opened = Event()
        self.fault: Exception | None = None
        self.sizes: list[int] = []

    def add_label_groups(self, groups: Sequence[tuple[Sequence[Label], str]]) -> list[list[LabelReceipt]]:
        self.sizes.append(len(groups))
        self.reached.set()
        assert self.opened.wait(60)
        if self.fault is not None:
            raise self.fault
        return self._ledger.add_label_groups(groups)


@pytest.fixture
def gate(ledger: SqlLedger) -> Gate:
    ledger.record(verdicts("p", WAITING + 1))
    return Gate(ledger)


@pytest.fixture
def commit(gate: Gate) -> Iterator[GroupCommit]:
    with closing(GroupCommit(gate, most=WAITING)) as commit:
        yield commit
        gate.opened.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WAITING + 3) as pool:
        yield pool


Answers = list["Future[Sequence[LabelReceipt]]"]


def _crowd(pool: ThreadPoolExecutor, commit: GroupCommit, gate: Gate) -> Answers:
    """32 clients at a closed gate: one is being committed, and as many wait as may. One more shows that they do."""
    answers = [pool.submit(commit.add_labels, [label("p-0")], "c0")]
    assert gate.reached.wait(60)
    more = [pool.submit(commit.add_labels, [label(f"p-{n}"), label(f"q-{n}")], f"c{n}") for n in range(1, WAITING + 2)]
    (turned_away,) = wait(more, 60, FIRST_COMPLETED).done
    with pytest.raises(LedgerUnavailable, match="31 requests wait for the disk already"):
        turned_away.result()
    return [*answers, *(answer for answer in more if answer is not turned_away)]


def test_those_who_wait_share_one_commit(commit: GroupCommit, gate: Gate, pool: ThreadPoolExecutor) -> None:
    """While one commit is on its way all others gather into the next one, up to a limit; who comes on top is told so."""
    answers = _crowd(pool, commit, gate)
    gate.opened.set()
    assert not wait(answers, 60).not_done
    assert gate.sizes == [1, WAITING]


def test_everybody_gets_their_own_receipts(ledger: SqlLedger, pool: ThreadPoolExecutor) -> None:
    """32 clients, label by label at once: each is answered for its own parts, and every label is there once, by client."""
    ledger.record(verdicts("p", 32 * 20))
    with closing(GroupCommit(ledger)) as commit:

        def client(number: int) -> list[tuple[str, str]]:
            parts = [f"p-{number * 20 + place}" for place in range(20)]
            asked = [commit.add_labels([label(part), label(part)], f"c{number}") for part in parts]
            return [(receipt.part_id, receipt.status) for receipts in asked for receipt in receipts]

        answers = list(pool.map(client, range(32)))
    for number, answer in enumerate(answers):
        parts = [f"p-{number * 20 + place}" for place in range(20)]
        assert answer == [(part, status) for part in parts for status in ("recorded", "unchanged")]
    rows = ledger.labels_after(0, 10_000)
    assert {(row.label.part_id, row.client) for row in rows} == {(f"p-{n}", f"c{n // 20}") for n in range(640)}
    assert len(rows) == 640


def test_a_fault_reaches_all_of_its_group(commit: GroupCommit, gate: Gate, pool: ThreadPoolExecutor) -> None:
    """When a commit fails each of its clients is told, nothing is recorded, and the next ones are served."""
    gate.fault = LedgerUnavailable("disk full")
    answers = _crowd(pool, commit, gate)
    gate.opened.set()
    for answer in answers:
        with pytest.raises(LedgerUnavailable, match="disk full"):
            answer.result(60)
    gate.fault = None
    assert commit.add_labels([label("p-0")]) == [LabelReceipt("p-0", "recorded")]


def test_closing_commits_what_waits(commit: GroupCommit, gate: Gate, pool: ThreadPoolExecutor) -> None:
    """Whoever waits when the station ends is answered, durably; whoever comes after that is turned away at once."""
    answers = _crowd(pool, commit, gate)
    closed = pool.submit(commit.close)
    says = ""
    while "ending" not in says:  # until then the queue is full, so that no try can wait
        with pytest.raises(LedgerUnavailable) as refusal:
            commit.add_labels([label("p-0")])
        says = str(refusal.value)
    assert not closed.done()
    gate.opened.set()
    closed.result(60)
    assert {receipt.status for answer in answers for receipt in answer.result(60)} == {"recorded", "waiting"}
    with pytest.raises(LedgerUnavailable, match="the station is ending; ask again"):
        commit.add_labels([label("p-0")])


def test_closing_twice(ledger: SqlLedger) -> None:
    """Closing what is closed, or was never used, is no change."""
    commit = GroupCommit(ledger)
    commit.close()
    commit.close()
