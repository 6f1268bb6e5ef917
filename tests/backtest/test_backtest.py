"""A backtest says what the line said, and what it would have said under other rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from service.backtest.period import Period
from service.backtest.retold import Judge, Retold, by_shadow, by_thresholds
from service.backtest.run import Result, run
from service.ports import LedgerReader
from service.records import ALL, LineSnapshot, ModelInForce, Outcome, WindowQuality
from service.thresholds import Thresholds, parse
from tests.backtest.conftest import FALLS_AT, OTHER, PARTS, RULES, Recorded
from tests.line import LINE, MODEL


def play(
    recorded: Recorded,
    judge: Judge | None = None,
    budget: float = 0.25,
    rules: Thresholds = RULES,
    model: ModelInForce | None = None,
    fell: int | None = FALLS_AT,
    **period: Any,
) -> Result:
    as_of = period.setdefault("until", recorded.clock.now)
    within = Period(cast(LedgerReader, recorded.ledger), LINE, **period)
    return run(cast(Any, within), Retold(cast(Any, within), judge, budget, model), LINE, rules, as_of, fell)


def figures(line: LineSnapshot) -> LineSnapshot:
    """Without what a running line has beside its figures."""
    return replace(line, models=(), heartbeats=(), comparisons=())


def recall(result: Result) -> WindowQuality:
    return next(row for row in result.line.quality if row.defect == ALL)


def test_at_any_moment_it_says_what_the_line_said_then(recorded: Recorded) -> None:
    """Pages, windows, evidence, counts: all of it, whatever has been recorded since."""
    assert len(recorded.said) > 3
    for moment, said in recorded.said:
        assert figures(play(recorded, until=moment).line) == figures(said)


def test_a_page_after_the_fall_is_true_and_has_its_delay(recorded: Recorded) -> None:
    """One page, some thousand parts after recall fell; where the fall is not known, the evidence says about where it was."""
    (known,) = play(recorded).pages
    assert known.true is True and 0 < known.delay == known.page.ordinal - FALLS_AT < 5_000
    assert known.delay_seconds == known.delay - 1
    (guessed,) = play(recorded, fell=None).pages
    assert guessed.true is True and abs(guessed.page.began_ordinal - FALLS_AT) <= 1_000


def test_a_page_before_a_fall_that_is_known_is_false(recorded: Recorded) -> None:
    """Whoever knows when it was, knows better than the evidence."""
    (found,) = play(recorded, fell=PARTS).pages
    assert found.true is False and found.delay < 0


def test_other_rules_page_otherwise(recorded: Recorded) -> None:
    """A lower threshold does not page; a stricter one pages before the fall."""
    low = parse(
        "defaults: {recall: {page: 0.3, warn: 0.3}, windows: [{parts: 20000}], bucket: {parts: 500, closes_after: 10m}}"
    )
    high = parse(
        "defaults: {recall: {page: 0.95, warn: 0.95}, windows: [{parts: 20000}], false_page_every: 2h, "
        "bucket: {parts: 500, closes_after: 10m}}"
    )
    assert play(recorded, rules=low).pages == []
    assert play(recorded, rules=high).pages[0].page.ordinal < FALLS_AT


@pytest.mark.parametrize(
    ("threshold", "passed", "rejected"), [(0.7, True, False), (0.3, False, True), (0.5, False, False)]
)
def test_other_decision_thresholds(recorded: Recorded, threshold: float, passed: bool, rejected: bool) -> None:
    """The limits hold what the line would truly have caught; nobody changes sides when the threshold is the one in force."""
    result = play(recorded, by_thresholds([MODEL], {"crack": threshold}))
    assert (result.changes.now_passed > 0, result.changes.now_rejected > 0) == (passed, rejected)
    assert (result.changes.borrowed > 0) == rejected
    true = recorded.recall(threshold / MODEL.decision_thresholds["crack"])
    row = recall(result)
    assert row.recall.lower <= true <= row.recall.upper
    assert row.recall.point == pytest.approx(true, abs=0.06)


def test_what_a_higher_threshold_would_not_have_drawn_keeps_silent(recorded: Recorded) -> None:
    """Of the parts that pass now, those that were not drawn have no label; a drawn defect has the second look that it would have had."""
    period = Period(cast(LedgerReader, recorded.ledger), LINE, until=recorded.clock.now)
    retold = Retold(cast(Any, period), by_thresholds([MODEL], {"crack": 0.9}), None)
    rows, sequence = [], 0
    while found := retold.parts_after(sequence, 5_000):
        rows += found
        sequence = found[-1].sequence
    labels = retold.labels_after(0, 100_000)
    assert [label.sequence for label in labels] == list(range(1, len(labels) + 1))
    turned = {
        row.verdict.part_id: row.verdict
        for row in rows
        if row.verdict.band is not None and row.verdict.exceedance > 0.6
    }
    said = retold.labels(list(turned))
    audited = [part for part, verdict in turned.items() if verdict.outcome is Outcome.AUDIT]
    assert set(said) == set(audited) and 0.3 * len(turned) < len(audited) < 0.7 * len(turned)
    assert all(len({row.label.inspector for row in said[part]}) == 2 for part in audited)


def test_a_smaller_budget(recorded: Recorded) -> None:
    """Half of the audits, twice the weight, the same recall within wider limits."""
    whole, half = play(recorded), play(recorded, budget=0.125)
    drawn = sum(n for (_, outcome), n in whole.line.parts.items() if outcome is Outcome.AUDIT)
    assert half.changes.not_drawn == pytest.approx(drawn / 2, rel=0.1)
    assert recall(half).largest_weight == 2 * recall(whole).largest_weight
    true = recorded.recall(1.0)
    assert recall(half).recall.lower <= true <= recall(half).recall.upper
    assert (
        recall(half).recall.upper - recall(half).recall.lower > recall(whole).recall.upper - recall(whole).recall.lower
    )


def test_a_larger_budget_is_what_was_drawn(recorded: Recorded) -> None:
    """Labels of parts that nobody drew do not exist."""
    assert figures(play(recorded, budget=1.0).line) == figures(play(recorded).line)


def test_another_model(recorded: Recorded) -> None:
    """A shadow, on the half of the parts that it has judged."""
    shadow = replace(MODEL, digest=OTHER, name="other")
    result = play(recorded, by_shadow(recorded.ledger.shadow_verdicts, OTHER), model=shadow)
    assert result.changes.unseen == PARTS // 2 and result.parts == PARTS // 2
    row = recall(result)
    judged = {part: truth for part, truth in recorded.truth.items() if int(part[1:]) % 500 < 250}
    true = replace(recorded, truth=judged).recall(1.0, shadow=True)
    assert row.recall.lower <= true <= row.recall.upper
    assert result.line.terms[-1].model == OTHER


def test_a_later_beginning(recorded: Recorded) -> None:
    """Parts and labels before it count nowhere."""
    result = play(recorded, since=recorded.said[-1][0])
    first = min(int(part[1:]) for part in recorded.truth if int(part[1:]) + 1_767_225_600 >= recorded.said[-1][0])
    assert result.parts == PARTS - first
    assert sum(result.line.labels.values()) < sum(play(recorded).line.labels.values())


def test_the_outlook_holds_the_truth(recorded: Recorded) -> None:
    """Escapes and overkill at every decision threshold, from the labels of one."""
    result = play(recorded)
    held = 0
    for one in result.outlooks[ALL]:
        true = recorded.recall(one.factor)
        held += one.recall.lower <= true <= one.recall.upper
        escapes = sum(bad and u < one.factor for bad, u, _ in recorded.truth.values()) / PARTS
        overkill = sum(not bad and u >= one.factor for bad, u, _ in recorded.truth.values()) / PARTS
        assert one.escapes == pytest.approx(escapes, abs=0.004) and one.overkill == pytest.approx(overkill, abs=0.02)
        assert one.flagged == sum(u >= one.factor for _, u, _ in recorded.truth.values()) / PARTS
    assert held >= 0.9 * len(result.outlooks[ALL])
    (now,) = (one for one in result.outlooks[ALL] if one.factor == 1)
    row = next(row for row in result.line.provisional if row.defect == ALL)
    assert (now.recall.point, now.recall.lower) == (row.recall.point, row.recall.lower)
