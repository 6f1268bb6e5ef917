"""What a worker writes into any store, and what readers then find."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

from service.ledger.store import SqlLedger
from service.records import DrawPolicy, Heartbeat, ModelInForce, Outcome
from tests.ledger.conftest import Opener
from tests.ledger.rows import label, verdict, verdicts
from tests.line import MODEL


def _ids(rows: object) -> list[str]:
    return [row.verdict.part_id for row in rows]  # type: ignore[attr-defined]


def test_a_verdict_comes_back_as_it_was(ledger: SqlLedger) -> None:
    """Every field of a verdict is read back exactly, with the time of recording beside."""
    plain = verdict("p", image="f" * 64, lot="Ł 7")
    flagged = verdict("q", outcome=Outcome.REJECT, band=None, weight=1, predicted="crack", exceedance=1.4)
    assert ledger.record([plain, flagged]) == [plain, flagged]
    first, second = ledger.parts_after(0, 10)
    assert (first.verdict, second.verdict) == (plain, flagged)
    assert first.recorded_at == second.recorded_at == 1000.0
    assert (first.ordinal, second.ordinal) == (0, 1)
    assert first.sequence < second.sequence


def test_a_part_is_recorded_once(ledger: SqlLedger) -> None:
    """A part id that is there, or twice in one batch, gives the verdict of record back and adds no row."""
    first = verdict("p")
    ledger.record([first])
    again = verdict("p", line="b", outcome=Outcome.REJECT)
    new, twice = verdict("q"), verdict("q", camera="right")
    assert ledger.record([again, new, twice]) == [first, new, new]
    assert _ids(ledger.parts_after(0, 10)) == ["p", "q"]
    assert ledger.record([]) == []


def test_ordinals_have_no_gaps(ledger: SqlLedger, opened: Opener) -> None:
    """Two writers who record for two lines at once leave each line's ordinals 0, 1, 2 ... in the order of sequence."""
    together = Barrier(2)

    def write(writer: SqlLedger, name: str) -> None:
        together.wait()
        for number in range(30):
            writer.record([*verdicts(f"{name}{number}a", 3, "a"), *verdicts(f"{name}{number}b", 2, "b")])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, writer, name) for writer, name in ((ledger, "x"), (opened(), "y"))]:
            done.result()
    rows = ledger.parts_after(0, 1000)
    for line, size in (("a", 180), ("b", 120)):
        assert [row.ordinal for row in rows if row.verdict.line == line] == list(range(size))


def test_pages_follow_each_other(ledger: SqlLedger) -> None:
    """Reading from the last sequence on, in pages of any size, meets every part once and in order."""
    ledger.record(verdicts("p", 7))
    found, last = [], 0
    while rows := ledger.parts_after(last, 3):
        assert len(rows) <= 3
        found += _ids(rows)
        last = rows[-1].sequence
    assert found == [f"p-{number}" for number in range(7)]


def test_parts_are_found_by_id(ledger: SqlLedger) -> None:
    """Of many ids asked for, more than fit one question, those that exist are answered, and only those."""
    ledger.record(verdicts("p", 1203))
    asked = [f"p-{number}" for number in range(0, 2000, 2)] + ["p-0", "%", "'; DROP TABLE parts; --"]
    expected = {f"p-{number}" for number in range(0, 1203, 2)}
    assert set(ledger.parts(asked)) == expected
    assert ledger.parts(asked)["p-4"].verdict == verdict("p-4")
    assert ledger.known(asked) == dict.fromkeys(expected, 500.25)


def test_search_pages_backwards(ledger: SqlLedger) -> None:
    """The newest parts of a line come first, and the page before any ordinal is one question."""
    for number in range(4):
        ledger.record([verdict(f"a{number}"), verdict(f"b{number}", "b")])
    assert _ids(ledger.search("a", 3)) == ["a3", "a2", "a1"]
    assert _ids(ledger.search("a", 3, before=1)) == ["a0"]
    assert _ids(ledger.search("c", 3)) == []


def test_what_waits_for_a_label(ledger: SqlLedger) -> None:
    """Rejects and audits of the line without any label are listed, oldest first; passed and labelled ones are not."""
    kinds = [Outcome.REJECT, Outcome.PASS, Outcome.AUDIT, Outcome.REJECT]
    ledger.record([verdict(f"p{number}", outcome=kind) for number, kind in enumerate(kinds)])
    ledger.record([verdict("other", "b", outcome=Outcome.REJECT)])
    assert _ids(ledger.unlabelled("a", 10)) == ["p0", "p2", "p3"]
    ledger.add_labels([label("p2", "unsure")])
    waiting = ledger.unlabelled("a", 10)
    assert _ids(waiting) == ["p0", "p3"]
    assert _ids(ledger.unlabelled("a", 1)) == ["p0"]
    assert _ids(ledger.unlabelled("a", 10, after=waiting[0].sequence)) == ["p3"]


def test_the_newest_model_of_a_role_is_in_force(ledger: SqlLedger) -> None:
    """The same model registered again changes nothing, not even `since`; another digest takes its place."""

    def in_force() -> list[ModelInForce]:
        return list(ledger.line_state()[0])

    ledger.register(MODEL)
    ledger.register(replace(MODEL, since=50.0))
    assert in_force() == [MODEL]
    shadow = replace(MODEL, role="shadow", digest="e" * 64)
    newer = replace(MODEL, digest="f" * 64, decision_thresholds={"crack": 0.25})
    elsewhere = replace(MODEL, line="b")
    for model in (elsewhere, shadow, newer):
        ledger.register(model)
    assert in_force() == [newer, shadow, elsewhere]
    ledger.register(MODEL)
    assert in_force() == [MODEL, shadow, elsewhere]


def test_draw_policies_are_numbered(ledger: SqlLedger) -> None:
    """Each line counts its policies from 1; the newest one is in force and the number that came along is ignored."""
    policy = DrawPolicy(99, "a", 10.0, (40, 40, 2), 0.02)
    assert ledger.draw_policy("a") is None
    first = ledger.set_draw_policy(policy)
    second = ledger.set_draw_policy(replace(policy, weights=(20, 2, 1), surge=True))
    other = ledger.set_draw_policy(replace(policy, line="b"))
    assert (first.number, second.number, other.number) == (1, 2, 1)
    assert ledger.draw_policy("a") == second == DrawPolicy(2, "a", 10.0, (20, 2, 1), 0.02, True)
    assert ledger.line_state()[1] == [second, other]


def test_a_worker_is_as_alive_as_its_last_beat(ledger: SqlLedger) -> None:
    """The newest beat of each worker is kept, and nothing of the earlier ones."""
    beat = Heartbeat("a", "one", 1.0, 2.0)
    last = replace(beat, seen_at=9.0, stopped=True)
    other = replace(beat, worker="two")
    for one in (other, beat, last):
        ledger.beat(one)
    assert ledger.line_state()[2] == [last, other]


def test_a_reader_never_waits_for_a_writer(opened: Opener) -> None:
    """While a writer is in the middle of its transaction a reader is answered, with what was there before."""
    writing, go_on = Event(), Event()

    def waits() -> float:
        writing.set()
        assert go_on.wait(60)
        return 1.0

    opened().record(verdicts("before", 2))
    reader, writer = opened(read_only=True), opened(clock=waits)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(writer.record, verdicts("during", 5))
        assert writing.wait(60)
        try:
            assert _ids(reader.parts_after(0, 10)) == ["before-0", "before-1"]
        finally:
            go_on.set()
        done.result()
    assert len(reader.parts_after(0, 10)) == 7


def test_forty_threads_read_at_once(ledger: SqlLedger) -> None:
    """As many threads as a station has are in the middle of their questions together; none waits for another to end."""
    ledger.record(verdicts("p", 1))
    together = Barrier(40)

    def asked() -> Iterator[str]:
        together.wait(60)
        yield "p-0"

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ledger.known(asked()), range(40)))
    assert answers == [{"p-0": 500.25}] * 40


def test_a_reader_sees_whole_batches(ledger: SqlLedger, opened: Opener) -> None:
    """Whenever a reader looks, each batch is there with all of its parts or not at all, and what it saw stays."""
    reader = opened(read_only=True)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(lambda: [ledger.record(verdicts(f"p{number}", 10)) for number in range(60)])
        seen: list[str] = []
        while not done.done():
            found = _ids(reader.parts_after(0, 1000))
            assert len(found) % 10 == 0
            assert found[: len(seen)] == seen
            seen = found
        done.result()
    assert len(reader.parts_after(0, 1000)) == 600
