"""The simulation behind docs/truth.md in small: the figures are true, and it would be seen if they were not."""

from __future__ import annotations

import numpy as np
import pytest

from service.paging import Paging
from service.quality.buckets import Filed
from service.quality.challenge import Challenges
from service.records import ALL, Acknowledgement, Past
from service.thresholds import parse
from tests.bench.truth.coverage import CONFIDENCE, Cell, look
from tests.bench.truth.line import DEFECT, GOOD, KINDS, bucket, draw, first_weights, make
from tests.bench.truth.pager import BUDGET, PAGERS, PROMISE, SIZE, THRESHOLD, Pager
from tests.bench.truth.pages import stay
from tests.bench.truth.solar import BUDGETS, Scored, replays

REPLICATES = 400
HARD = [
    Cell(0.02, 0.6, 0.02, 50_000, "unseen"),
    Cell(0.05, 0.8, 0.05, 50_000, "mixed"),
    Cell(0.02, 0.8, 0.02, 10_000, "mixed"),
    Cell(0.005, 0.9, 0.05, 50_000, "near"),
    Cell(0.005, 0.95, 0.01, 2_000, "unseen"),
]


@pytest.mark.parametrize("cell", HARD, ids=lambda cell: " ".join(cell.named()))
def test_the_limits_hold_the_true_recall(cell: Cell) -> None:
    """95 times in 100, in the cells that are tightest, less three standard errors."""
    seen = look(cell, REPLICATES, np.random.default_rng(1))
    assert seen.coverage >= CONFIDENCE - 3 * seen.error


@pytest.mark.parametrize("cell", HARD[:3], ids=lambda cell: " ".join(cell.named()))
def test_misses_that_count_once_would_be_seen(cell: Cell) -> None:
    """The simulation can fail: with every weight written down as 1 the limits lie above the truth."""
    seen = look(cell, REPLICATES, np.random.default_rng(1), written=[1] * 5)
    assert seen.coverage < 0.5
    assert seen.too_high > 0.5


@pytest.mark.parametrize("cell", HARD[:3], ids=lambda cell: " ".join(cell.named()))
def test_what_is_observed_is_too_high(cell: Cell) -> None:
    """TP / (TP + FN) over labelled parts is not recall: that is why there are limits."""
    assert look(cell, REPLICATES, np.random.default_rng(1)).naive > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_at_its_threshold_pages_no_more_than_promised(kind: str) -> None:
    """Exactly at the threshold is the worst of what is still good enough; a line below it pages far more often."""
    buckets = 3 * PROMISE
    wished = buckets / PROMISE
    most = wished + 3 * wished**0.5
    good_enough = stay(THRESHOLD, kind, 1, buckets, [1], rules=False)
    fallen = stay(0.6, kind, 1, buckets // 2, [1], rules=False)
    for name in PAGERS:
        assert good_enough.pages[name] <= most < fallen.pages[name]


def test_the_simulated_pager_pages_as_the_service_does() -> None:
    """Bucket by bucket the same pages as service.paging, which finds its limit from the clock."""
    text = f"""
defaults:
  recall: {{page: {THRESHOLD}, warn: 0.9}}
  false_page_every: {PROMISE * SIZE}s
  audit: {{budget: {BUDGET}}}
  bucket: {{parts: {SIZE}, closes_after: 1s}}
  windows: [{{parts: 10000}}]
"""
    service = Paging("line", parse(text).defaults, (ALL, DEFECT), GOOD, Challenges(GOOD), Past())
    dice, ours, theirs, filed = np.random.default_rng(3), [], [], Filed()
    made, spread, pager = make(dice, 60, SIZE, 0.02, 0.5, "mixed"), first_weights(BUDGET), Pager(False, False)
    for number in range(60):
        end = (number + 1.0) * SIZE
        audited = draw(dice, made.missed[number], made.good[number], spread)
        filed.buckets.append(bucket(made, number, audited, spread, BUDGET, end))
        filed.closed_at.append(end)
        before = len(service.pages())
        service.follow(filed, 0, end)
        service.acknowledge(Acknowledgement("line", ALL, end, "somebody", ""))
        theirs += [number] * (len(service.pages()) - before)
        ours += [number] * pager.close(filed.buckets[-1])
    assert len(ours) > 1
    assert ours == theirs


def test_real_pictures_are_judged_within_the_limits() -> None:
    """On solar cells whose labels are all known; what is observed is too high every time."""
    detector = Scored()
    runs = [replays(detector, seed, 2000) for seed in range(10)]
    for budget in BUDGETS:
        assert sum(run[budget].holds(run[budget].caught) for run in runs) >= 9
        assert all((run[budget].said.observed or 0) > run[budget].caught for run in runs)
