"""Everything the monitor says is a function of the ledger as known at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from service.demo.replay import SimulatedClock
from service.ledger.store import SqlLedger, open_ledger
from service.monitor import Monitor
from service.records import ALL, UNSURE, ChallengePart, Label, Outcome, Source, State, Verdict, WindowQuality
from service.thresholds import parse
from tests.line import LINE, MODEL

THRESHOLDS = parse(
    """
    defaults:
      recall: {page: 0.8, warn: 0.9}
      windows: [{parts: 400}, {hours: 1}]
      bucket: {parts: 100, closes_after: 10m}
      false_page_every: 30d
      audit: {budget: 0.25}
    """
)
STRICT = parse(
    "defaults: {windows: [{parts: 200}], bucket: {parts: 200, closes_after: 10m}, labels: {second_look: false}}"
)
WEIGHT = 4


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: SimulatedClock) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as opened:
        opened.register(MODEL)
        yield opened


def _part(number: int, at: float, outcome: Outcome) -> Verdict:
    flagged = outcome is Outcome.REJECT
    return Verdict(
        part_id=f"p{number}",
        line=LINE,
        camera="left",
        captured_at=at,
        model=MODEL.digest,
        thresholds="t",
        scores=(0.1, 0.9) if flagged else (0.9, 0.1),
        exceedance=1.8 if flagged else 0.2,
        predicted="crack" if flagged else "good",
        outcome=outcome,
        band=None if flagged else 1,
        weight=1 if flagged else WEIGHT,
        policy=1,
    )


def _produce(ledger: SqlLedger, clock: SimulatedClock, count: int, first: int = 0) -> list[Verdict]:
    """One part a second: every tenth is rejected, every fourth of the others is drawn."""
    outcomes = [
        Outcome.REJECT if n % 10 == 0 else Outcome.AUDIT if n % 4 == 1 else Outcome.PASS
        for n in range(first, first + count)
    ]
    made = []
    for number, outcome in enumerate(outcomes, first):
        clock.now += 1.0
        made.append(_part(number, clock.now, outcome))
    ledger.record(made)
    return made


def _label(ledger: SqlLedger, clock: SimulatedClock, verdict: Verdict, label: str, *inspectors: str) -> None:
    ledger.add_labels([Label(verdict.part_id, label, name, clock.now) for name in inspectors or ("ines",)])


def _row(monitor: Monitor, window: str = "400 parts", defect: str = ALL) -> WindowQuality:
    (found,) = [row for row in monitor.snapshot().lines[LINE].quality if row.window == window and row.defect == defect]
    return found


def test_following_in_steps_equals_starting_anew(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """Whatever the order of parts, labels, corrections and looks: a restart finds the same numbers."""
    dice = Random(7)
    followed = Monitor(ledger, lambda: THRESHOLDS, clock)
    waiting: list[Verdict] = []
    early = [Label(f"p{n}", "crack", "early", clock.now) for n in (5, 111, 399, 777)]
    ledger.add_labels(early)
    for step in range(40):
        waiting += [
            verdict for verdict in _produce(ledger, clock, 25, 25 * step) if verdict.outcome is not Outcome.PASS
        ]
        dice.shuffle(waiting)
        for _ in range(dice.randrange(12)):
            verdict = waiting[dice.randrange(len(waiting))]
            _label(
                ledger,
                clock,
                verdict,
                dice.choice(["good", "good", "crack", UNSURE]),
                dice.choice(["ines", "otto", "ida"]),
            )
        if dice.random() < 0.5:
            followed.snapshot()
    clock.now += 3600
    anew = Monitor(ledger, lambda: THRESHOLDS, clock)
    assert followed.snapshot() == anew.snapshot()
    assert followed.overall(LINE) == anew.overall(LINE)
    assert followed.second_looks(LINE) == anew.second_looks(LINE)
    assert anew.snapshot().lines[LINE].corrections > 0


def test_a_clock_ahead_of_the_ledgers_changes_nothing(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """Whoever asked as of a moment that had not come yet finds what somebody finds who did not."""
    followed = Monitor(ledger, lambda: THRESHOLDS, clock)
    parts = [part for part in _produce(ledger, clock, 300) if part.outcome is not Outcome.PASS]
    for number, part in enumerate(parts):
        if number % 20 == 0:
            followed.snapshot(clock.now + 3600)
        _label(ledger, clock, part, "crack" if number % 3 else "good")
    ledger.register_challenge(ChallengePart(LINE, "p", "crack", 0.0))
    followed.snapshot(clock.now + 3600)
    ledger.report_challenge(parts[0].part_id, "p", "eva")
    followed.snapshot(clock.now + 3600)
    ledger.acknowledge(LINE, "crack", "eva", "")
    clock.now += 7200
    anew = Monitor(ledger, lambda: THRESHOLDS, clock).snapshot()
    assert followed.snapshot() == anew
    assert anew.lines[LINE].closed_buckets == 3


def test_new_thresholds_are_followed_from_the_start_when_they_cut_differently(
    ledger: SqlLedger, clock: SimulatedClock
) -> None:
    """Other buckets are other sums; a monitor that lived through the edit agrees with one that did not."""
    current = [THRESHOLDS]
    edited = Monitor(ledger, lambda: current[0], clock)
    for verdict in _produce(ledger, clock, 600):
        if verdict.outcome is not Outcome.PASS:
            _label(ledger, clock, verdict, "crack" if verdict.flagged else "good")
    edited.snapshot()
    current[0] = STRICT
    clock.now += 3600
    assert edited.snapshot() == Monitor(ledger, lambda: STRICT, clock).snapshot()


def test_only_closed_buckets_are_official(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """A bucket waits until its labels have had their time; until then its parts are provisional."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    for verdict in _produce(ledger, clock, 150):
        if verdict.outcome is not Outcome.PASS:
            _label(ledger, clock, verdict, "good")
    assert monitor.snapshot().lines[LINE].closed_buckets == 0
    assert _row(monitor).recall.point is None and not _row(monitor).recall.estimable
    clock.now += 601
    snapshot = monitor.snapshot().lines[LINE]
    assert (snapshot.closed_buckets, snapshot.open_parts) == (1, 50)
    assert {row.parts for row in snapshot.quality} == {100}
    assert {row.provisional for row in snapshot.provisional} == {True}


def test_an_idle_line_forgets(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """Windows by hours are seen as of now: yesterday's recall is not today's."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    for verdict in _produce(ledger, clock, 100):
        if verdict.outcome is not Outcome.PASS:
            _label(ledger, clock, verdict, "crack" if verdict.flagged else "good")
    clock.now += 700
    assert _row(monitor, "1h").true_positive == 10
    clock.now += 7200
    row = _row(monitor, "1h")
    assert (row.parts, row.true_positive, row.recall.estimable, row.state) == (0, 0, False, State.UNKNOWN)
    assert row.reason


def test_rejects_that_nobody_labels_give_no_number(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """Fewer than 80 % of the rejects resolved: the bucket stays out and the reason is said."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    for verdict in _produce(ledger, clock, 100):
        if verdict.outcome is Outcome.AUDIT:
            _label(ledger, clock, verdict, "good")
    clock.now += 700
    row = _row(monitor)
    assert not row.recall.estimable and row.state is State.UNKNOWN and "reject" in row.reason


def test_an_audited_defect_counts_after_its_second_look(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """One inspector alone makes no miss; the part is asked for again, and a second one makes it w escapes."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    parts = _produce(ledger, clock, 100)
    for verdict in parts:
        if verdict.outcome is not Outcome.PASS:
            _label(ledger, clock, verdict, "crack" if verdict.flagged or verdict.part_id == "p1" else "good")
    clock.now += 700
    assert _row(monitor).false_negative == 0
    assert monitor.second_looks(LINE) == ["p1"]
    _label(ledger, clock, parts[1], "crack", "otto")
    row = _row(monitor)
    assert (row.false_negative, row.recall.denominator) == (1, 10 + WEIGHT)
    assert monitor.second_looks(LINE) == []


def test_a_correction_takes_the_old_answer_back(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """The newest answer of an inspector counts, also in a bucket closed long ago."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    parts = _produce(ledger, clock, 100)
    for verdict in parts:
        if verdict.outcome is not Outcome.PASS:
            _label(ledger, clock, verdict, "crack" if verdict.flagged else "good")
    clock.now += 700
    assert (_row(monitor).true_positive, _row(monitor).false_positive) == (10, 0)
    _label(ledger, clock, parts[0], "good")
    assert (_row(monitor).true_positive, _row(monitor).false_positive) == (9, 1)
    assert monitor.snapshot().lines[LINE].corrections == 1


def test_what_is_due_is_counted_until_it_is_labelled(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """Rejects and audits wait; passed parts never do."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    parts = _produce(ledger, clock, 100)
    audits = sum(verdict.outcome is Outcome.AUDIT for verdict in parts)
    snapshot = monitor.snapshot().lines[LINE]
    assert snapshot.pending == {Source.REVIEW: 10, Source.AUDIT: audits}
    assert snapshot.oldest_pending_at == parts[0].captured_at
    _label(ledger, clock, parts[0], "crack")
    assert monitor.snapshot().lines[LINE].pending == {Source.REVIEW: 9, Source.AUDIT: audits}


def test_a_label_for_a_part_nobody_knows_waits(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """It is counted as waiting, and takes effect when its part comes."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    ledger.add_labels([Label("p0", "crack", "ines", clock.now)])
    assert monitor.snapshot().unknown_part_labels == 1
    _produce(ledger, clock, 10)
    snapshot = monitor.snapshot()
    assert snapshot.unknown_part_labels == 0
    assert sum(snapshot.lines[LINE].labels.values()) == 1


def _misses(ledger: SqlLedger, clock: SimulatedClock, buckets: int, first: int) -> int:
    """Buckets in which the audit finds most of what is there: recall far below 0.8."""
    for bucket in range(first, first + buckets):
        for verdict in _produce(ledger, clock, 100, bucket * 100):
            if verdict.flagged:
                _label(ledger, clock, verdict, "crack" if verdict.part_id.endswith("0") else "good")
            elif verdict.outcome is Outcome.AUDIT:
                _label(ledger, clock, verdict, "crack", "ines", "otto")
    return first + buckets


def test_a_fall_pages_and_a_correction_takes_the_page_back(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """The evidence is replayed from the bucket that a correction touches."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    end = _misses(ledger, clock, 3, 0)
    clock.now += 700
    (evidence,) = monitor.snapshot().lines[LINE].evidence
    assert evidence.paged and evidence.defect == "crack"
    assert _row(monitor, defect="crack").state is State.BELOW
    for row in ledger.parts_after(0, end * 100):
        if row.verdict.outcome is Outcome.AUDIT:
            _label(ledger, clock, row.verdict, "good", "ines", "otto")
    (evidence,) = monitor.snapshot().lines[LINE].evidence
    assert not evidence.paged
    assert monitor.snapshot() == Monitor(ledger, lambda: THRESHOLDS, clock).snapshot()


def test_the_observed_recall_is_shown_beside_and_is_too_high(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """An audited miss stands for w passed parts in the estimate and for one in the naive share."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    _misses(ledger, clock, 1, 0)
    clock.now += 700
    row = _row(monitor)
    assert row.observed is not None and row.recall.point is not None
    assert row.observed > row.recall.point


def test_a_model_change_keeps_the_history(ledger: SqlLedger, clock: SimulatedClock) -> None:
    """A new model with another class adds a row; what is known of the old class stays."""
    monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
    _misses(ledger, clock, 2, 0)
    clock.now += 700
    before = _row(monitor, defect="crack")
    ledger.register(replace(MODEL, digest="e" * 64, classes=("good", "crack", "scratch"), since=clock.now))
    after = _row(monitor, defect="crack")
    assert (after.true_positive, after.false_negative) == (before.true_positive, before.false_negative)
    assert _row(monitor, defect="scratch").recall.point is None
