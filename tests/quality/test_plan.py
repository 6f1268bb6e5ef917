"""What an audit budget buys, against the figures of the specification and against the detector itself."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from service.errors import InvalidInput
from service.quality import plan, simulation
from service.quality.evidence import Evidence
from service.quality.plan import NEAR, UNSEEN, Plant, budget_for, hits_to_prove, to_page, to_prove
from service.quality.recall import estimate

LINE = Plant(
    prevalence=0.005, recall=0.95, parts_per_day=20_000, bucket_parts=1000, threshold=0.80, false_page_every=90 * 86400
)
MILLION_PARTS = replace(LINE, prevalence=0.02, false_page_every=50 * 86400)
"""A false page at most every 1000 buckets of 1000 parts."""


def test_without_an_audited_miss_the_specified_number_of_hits_proves_recall() -> None:
    """14.8 w: 740 hits at a weight of 50, which are 155,000 parts at 0.5 % defects; one hit fewer proves nothing."""
    hits = hits_to_prove(0.80, 50)
    assert hits == pytest.approx(740, rel=0.01)
    assert hits / (LINE.prevalence * LINE.recall) == pytest.approx(155_000, rel=0.01)
    assert estimate(hits, {}, 50).lower >= 0.80 > estimate(hits - 1, {}, 50).lower


def test_a_proof_takes_longer_than_it_would_if_the_audit_found_nothing() -> None:
    """Half of the lines need more hits than the fewest possible, and nine in ten more than half of them."""
    proof = to_prove(LINE, 0.02)
    assert proof.median is not None and proof.p90 is not None
    assert hits_to_prove(0.80, max(plan.spread(0.02))) <= proof.median.hits < proof.p90.hits
    assert proof.median.days == proof.median.parts / 20_000
    assert proof.median.parts % 1000 == 0, "a window holds whole buckets"
    assert proof.median.audits == pytest.approx(0.02 * proof.median.parts, rel=0.05)


def test_a_tenth_more_parts_prove_it_on_most_lines_and_a_tenth_fewer_do_not() -> None:
    """Of 4000 lines that are drawn anew, and looked at once."""
    median = to_prove(LINE, 0.02, NEAR).median
    assert median is not None
    drawn, rng = plan.spread(0.02), np.random.default_rng(2)

    def proven(parts: float) -> float:
        hits = rng.poisson(parts * LINE.prevalence * LINE.recall, 4000)
        misses = rng.poisson(parts * LINE.prevalence * (1 - LINE.recall) / drawn[-1], 4000)
        lowers = [
            estimate(t, {drawn[-1]: m}, max(drawn)).lower for t, m in zip(hits.tolist(), misses.tolist(), strict=True)
        ]
        return float(np.mean(np.array(lowers) >= LINE.threshold))

    assert proven(0.9 * median.parts) < 0.5 < proven(1.1 * median.parts)


def test_the_same_question_has_the_same_answer() -> None:
    """The seeds are fixed."""
    assert to_prove(LINE, 0.02) == to_prove(LINE, 0.02)
    assert to_page(LINE, 0.02, 0.6) == to_page(LINE, 0.02, 0.6)


@pytest.mark.parametrize("recall", [0.5, 0.80])
def test_a_recall_that_is_not_above_the_threshold_is_never_proven(recall: float) -> None:
    """And the plan says why."""
    proof = to_prove(replace(LINE, recall=recall), 0.02)
    assert (proof.median, proof.p90) == (None, None)
    assert "never" in proof.reason


def test_what_takes_over_a_year_is_not_promised() -> None:
    """A line that makes ten parts a day."""
    slow = replace(LINE, parts_per_day=10)
    proof, delay = to_prove(slow, 0.02), to_page(slow, 0.02, 0.6)
    assert proof.median is None and "365 days" in proof.reason
    assert (delay.median_parts, delay.p90_days, delay.watched_days) == (None, None, 365)
    assert budget_for(slow, 7) is None


def test_a_fall_is_paged_about_as_soon_as_specified() -> None:
    """19 thousand parts when the misses sit near the threshold, 57 thousand when they score like good parts, within a third."""
    near, unseen = to_page(MILLION_PARTS, 0.02, 0.60, NEAR), to_page(MILLION_PARTS, 0.02, 0.60, UNSEEN)
    assert near.median_parts == pytest.approx(19_000, rel=0.34)
    assert unseen.median_parts == pytest.approx(57_000, rel=0.34)
    assert near.p90_parts is not None and near.p90_parts > near.median_parts
    assert near.median_days == near.median_parts / 20_000


def test_fewer_false_pages_are_paid_for_with_a_later_page() -> None:
    """Whether somebody wishes for fewer, or several kinds of defect share them."""
    usual = to_page(MILLION_PARTS, 0.02, 0.6).median_parts
    for change in ({"false_page_every": 5000 * 86400}, {"defects": 100}):
        later = to_page(replace(MILLION_PARTS, **change), 0.02, 0.6).median_parts
        assert usual is not None and later is not None and later > 1.2 * usual


@pytest.mark.parametrize("fallen", [0.80, 0.90, 0.97])
def test_what_is_no_fall_below_the_threshold_is_not_paged(fallen: float) -> None:
    """That is what the detector promises."""
    delay = to_page(MILLION_PARTS, 0.02, fallen)
    assert (delay.median_parts, delay.p90_days, delay.watched_days) == (None, None, inf)


def test_a_fall_that_is_hardly_one_is_watched_for_as_long_as_is_said() -> None:
    """A delay is given only where every line was watched so long; otherwise none is, and not a year either."""
    delay = to_page(replace(MILLION_PARTS, false_page_every=1e9), 0.005, 0.795)
    assert delay.median_parts is None and 100 < delay.watched_days < 365
    found = to_page(MILLION_PARTS, 0.02, 0.6)
    assert found.p90_days is not None and found.p90_days <= found.watched_days


def test_many_simulated_lines_have_the_evidence_of_the_one_that_pages() -> None:
    """The same counts into both give the same evidence and the same pages."""
    drawn, rng = plan.spread(0.02), np.random.default_rng(3)
    one = Evidence(0.80, 0.02, limit=1000)
    many = simulation.Meters(0.80, 0.02, 1000, drawn)
    pages = 0
    for counts in rng.poisson([12, 0.3, 0.1, 0.1, 0.1, 0.6], (150, 6)):
        before, one.paged = one.logs, False
        one.close(int(counts[0]), {})  # the hits alone must count as well
        one.logs, one.paged = before, False
        found: dict[int, int] = {}
        for weight, count in zip(drawn, counts[1:].tolist(), strict=True):
            found[weight] = found.get(weight, 0) + count
        one.close(int(counts[0]), found)
        paged = many.close(np.tile(counts, (simulation.RUNS, 1)))
        assert paged.tolist() == [one.paged] * simulation.RUNS
        assert many.logs[7].tolist() == pytest.approx(one.logs)
        pages += one.paged
    assert pages > 1


def test_skipping_buckets_without_an_event_changes_no_rate() -> None:
    """Counts over gaps come to what was expected in one bucket."""
    rng, expected = np.random.default_rng(4), np.array([0.2, 0.05, 0.0, 0.0, 0.0, 0.1])
    rounds = [simulation.eventful(rng, expected) for _ in range(100)]
    buckets = sum(int(gaps.sum()) for gaps, _ in rounds)
    counts = np.sum([counts.sum(axis=0) for _, counts in rounds], axis=0)
    assert counts / buckets == pytest.approx(expected, rel=0.05)
    assert all((counts.sum(axis=1) > 0).all() for _, counts in rounds)


def test_a_larger_budget_is_quicker_in_everything() -> None:
    """From one half of a percent to a census."""
    proofs = [to_prove(LINE, budget).median for budget in (0.005, 0.02, 0.1, 1.0)]
    days = [proof.days for proof in proofs if proof is not None]
    assert len(days) == 4 and days == sorted(days, reverse=True)
    waits = [to_page(LINE, budget, 0.6).median_parts or 0 for budget in (0.005, 0.02, 0.1, 1.0)]
    assert waits == sorted(waits, reverse=True) and min(waits) > 0


def test_the_budget_for_a_week_proves_it_within_a_week_and_a_smaller_one_does_not() -> None:
    """No more is asked for than is needed."""
    budget = budget_for(LINE, 7)
    assert budget is not None
    enough, less = to_prove(LINE, budget).median, to_prove(LINE, 0.9 * budget).median
    assert enough is not None and less is not None
    assert enough.days <= 7 < less.days


@pytest.mark.parametrize(
    "bad",
    [
        {"prevalence": 5.0},
        {"prevalence": 0.0},
        {"recall": 1.0},
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"parts_per_day": -1.0},
        {"parts_per_day": float("inf")},
        {"bucket_parts": 0},
        {"false_page_every": 0.0},
    ],
)
def test_a_line_that_cannot_be_is_refused(bad: dict[str, float]) -> None:
    """The message names the number."""
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        replace(LINE, **bad)


@pytest.mark.parametrize("budget", [0.0, -0.1, 2.0, float("nan")])
def test_a_budget_that_cannot_be_is_refused(budget: float) -> None:
    """Before it divides anything."""
    for question in (lambda: to_prove(LINE, budget), lambda: to_page(LINE, budget, 0.6)):
        with pytest.raises(InvalidInput, match="budget"):
            question()
