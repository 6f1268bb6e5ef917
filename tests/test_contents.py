"""What a window says it is made of gives back the window's figures, whatever was labelled, corrected, starved or reported."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from service.demo.replay import SimulatedClock
from service.ledger.store import SqlLedger, open_ledger
from service.monitor import Monitor
from service.records import ALL, ChallengePart, Label, Outcome, WindowQuality
from service.thresholds import parse
from tests.ledger.rows import verdict
from tests.line import LINE, MODEL

THRESHOLDS = parse(
    "defaults: {bucket: {parts: 10, closes_after: 1m}, windows: [{parts: 60}, {hours: 0.03}], audit: {budget: 0.5}}"
)
CLASSES = ("good", "crack", "dent")


def _live(ledger: SqlLedger, clock: SimulatedClock, dice: Random) -> None:
    """150 parts, a second each, of which anything may be true and anything be said, in time or late, once or thrice."""
    ledger.register(replace(MODEL, classes=CLASSES, decision_thresholds={"crack": 0.5, "dent": 0.5}))
    ledger.register_challenge(ChallengePart(LINE, "RR", "crack", clock.now))
    for number in range(150):
        clock.now += 1
        outcome = dice.choice(list(Outcome))
        flagged = outcome is Outcome.REJECT
        band, weight = (None, 1) if flagged else dice.choice([(0, 8), (2, 3), (4, 1)])
        rabbit = dice.random() < 0.05
        ledger.record(
            [
                verdict(
                    f"RR~{number}" if rabbit else f"p{number}",
                    LINE,
                    captured_at=clock.now,
                    outcome=outcome,
                    predicted=dice.choice(CLASSES[1:]) if flagged else "good",
                    band=band,
                    weight=weight,
                )
            ]
        )
        known = ledger.parts_after(max(0, number - 40), 100)
        for _ in range(dice.randrange(9)):
            part = dice.choice(known).verdict
            word = dice.choice([*CLASSES, "unsure"])
            ledger.add_labels([Label(part.part_id, word, dice.choice(["ines", "otto", "eva"]), clock.now)])
        if dice.random() < 0.02:
            ledger.report_challenge(dice.choice(known).verdict.part_id, "RR", "eva")
    clock.now += 45


def _again(ledger: SqlLedger, monitor: Monitor, row: WindowQuality) -> tuple[int, int, float, int]:
    """Hits, false rejects, escapes by weight and known misses of a row, counted part by part."""
    contents, settling = monitor.contents(LINE, row.window), monitor.settling(LINE)
    assert contents is not None and settling is not None
    hits = false = known = 0
    escapes = 0.0
    for part in ledger.labelled(LINE, 0, 10_000):
        one = part.verdict
        actual = settling.actual(one, ledger.labels([one.part_id]).get(one.part_id, ()))
        if actual is None or not contents.holds(part):
            continue
        if one.flagged and actual == "good":
            false += row.defect in (ALL, one.predicted)
        elif actual != "good" and row.defect in (ALL, actual):
            hits += one.flagged
            known += not one.flagged
            escapes += 0.0 if one.flagged else contents.weight(one)
    return hits, false, escapes, known


@pytest.mark.parametrize("seed", range(8))
def test_counting_part_by_part_gives_the_estimate(tmp_path: Path, seed: int) -> None:
    """Every row of every window: the sums over the parts are the counts that the estimate uses."""
    clock = SimulatedClock()
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        _live(ledger, clock, Random(seed))
        monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
        rows = monitor.snapshot().lines[LINE].quality
        assert any(row.parts for row in rows)
        for row in rows:
            hits, false, escapes, known = _again(ledger, monitor, row)
            assert (hits, false, known) == (row.true_positive, row.false_positive, row.false_negative)
            assert escapes == pytest.approx(row.recall.denominator - row.recall.numerator)
