"""The meter: a page needs misses, a page stays known, and rising evidence asks for more audits."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from service.quality.evidence import Evidence, bets, challenge_bets, misses_to_page, smallest_limit, surging
from service.quality.meter import Meter, Step, limit_in_steps
from service.records import Detector

thresholds = st.floats(0.3, 0.99)
budgets = st.floats(0.002, 1.0)


@given(thresholds, budgets, st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_no_page_without_an_audited_miss(threshold: float, budget: float, caught: list[int]) -> None:
    """However few defects come, and however long it goes on: hits alone never reach a limit that a line may have."""
    limit = limit_in_steps(0.0, 1.0, threshold, bets(threshold, budget))
    meter = Evidence(threshold, budget, limit)
    assert all(meter.close(hits, {}) < limit for hits in caught)


@given(thresholds, budgets, st.floats(1, 1e5), st.integers(1, 200))
def test_a_page_is_always_possible_and_needs_a_miss(threshold: float, budget: float, steps: float, weight: int) -> None:
    """So many misses in one bucket page at once; one fewer does not."""
    stakes = bets(threshold, budget)
    limit = limit_in_steps(steps, 1.0, threshold, stakes)
    needed = misses_to_page(threshold, stakes, limit, weight)
    assert needed >= 1
    meter, almost = Evidence(threshold, budget, limit), Evidence(threshold, budget, limit)
    meter.close(0, {weight: needed})
    almost.close(0, {weight: needed - 1})
    assert meter.paged and not almost.paged


@given(thresholds, st.lists(st.booleans(), max_size=40))
def test_challenge_parts_that_are_caught_never_page(threshold: float, caught: list[bool]) -> None:
    """The smallest limit holds for their bets too."""
    stakes = challenge_bets(threshold)
    assert smallest_limit(threshold, stakes) < limit_in_steps(1.0, 1.0, threshold, stakes)
    meter = Meter("l", "crack", threshold, Detector.CHALLENGE)
    limit = limit_in_steps(0.0, 1.0, threshold, stakes)
    meter.follow(len(caught), lambda at: Step(1, {}, stakes, limit, at + 1, "m"), at=0.0)
    assert not meter.pages


def test_the_surge_begins_above_eight_and_ends_below_two() -> None:
    """In between it stays what it was."""
    seen, now = [], False
    for value in (7.9, 8.1, 5.0, 2.0, 1.9, 5.0, 7.9, inf):
        now = surging(now, value)
        seen.append(now)
    assert seen == [False, True, True, True, False, False, False, True]


STAKES = bets(0.8, 0.25)


def steps_of(misses: list[int], limit: float = 100.0, models: str = "") -> list[Step]:
    """Buckets of five hits and so many misses of weight 4, judged by the model of that letter (m)."""
    models = models or "m" * len(misses)
    return [
        Step(5, {4: n} if n else {}, STAKES, limit, 10 * at + 10, model)
        for at, (n, model) in enumerate(zip(misses, models, strict=True))
    ]


def test_a_correction_takes_a_page_back_and_does_not_hide_it() -> None:
    """The page of bucket 2 is marked with the moment of the correction; the evidence is as if the miss had never been."""
    meter, buckets = Meter("l", "crack", 0.8, Detector.AUDIT), steps_of([0, 0, 9, 0])
    (raised,) = meter.follow(4, buckets.__getitem__, at=50.0)
    assert (raised.step, raised.ordinal, raised.raised_at) == (2, 30, 50.0)
    corrected = steps_of([0, 0, 1, 0])
    meter.forget_from(2)
    assert meter.follow(4, corrected.__getitem__, at=70.0) == []
    (kept,) = meter.pages
    assert kept.taken_back_at == 70.0 and not kept.standing
    fresh = Meter("l", "crack", 0.8, Detector.AUDIT)
    fresh.follow(4, corrected.__getitem__, at=0.0)
    assert meter.state("m") == fresh.state("m")


def test_a_page_is_raised_once_however_often_its_past_is_replayed() -> None:
    """A correction before it that leaves it standing does not page again."""
    meter, buckets = Meter("l", "crack", 0.8, Detector.AUDIT), steps_of([1, 0, 9, 0])
    meter.follow(4, buckets.__getitem__, at=50.0)
    meter.forget_from(0)
    assert meter.follow(4, steps_of([0, 0, 9, 0]).__getitem__, at=60.0) == []
    assert [page.raised_at for page in meter.pages] == [50.0]
    assert meter.state("m").paged


def test_a_page_that_stands_is_not_doubled_and_its_successor_takes_over_when_it_is_taken_back() -> None:
    """Three buckets that would page: one page. Once the first of them is corrected, the second bucket's evidence is the page."""
    meter, buckets = Meter("l", "crack", 0.8, Detector.AUDIT), steps_of([9, 9, 9])
    for count in (1, 2, 3):
        meter.follow(count, buckets.__getitem__, at=float(count))
    assert [page.step for page in meter.pages] == [0]
    meter.forget_from(0)
    meter.follow(3, steps_of([0, 9, 9]).__getitem__, at=4.0)
    assert [(page.step, page.standing, page.raised_at) for page in meter.pages] == [(0, False, 1.0), (1, True, 4.0)]
    meter.acknowledge(5.0, "eva", "")
    assert meter.follow(3, steps_of([0, 9, 9]).__getitem__, at=6.0) == []


def test_a_page_says_where_its_evidence_begins() -> None:
    """Behind the last bucket after which nothing spoke against the line, and never before another model took over."""
    meter = Meter("l", "crack", 0.8, Detector.AUDIT)
    (page,) = meter.follow(6, steps_of([0, 0, 1, 0, 3, 6]).__getitem__, at=1.0)
    assert (page.step, page.began_ordinal) == (5, 40)
    swapped = Meter("l", "crack", 0.8, Detector.AUDIT)
    (page,) = swapped.follow(3, steps_of([3, 1, 9], models="aab").__getitem__, at=1.0)
    assert (page.step, page.began_ordinal) == (2, 20)


def test_an_acknowledged_page_ends_and_the_next_one_needs_evidence_of_its_own() -> None:
    """Hits after it raise nothing; as many misses as before do."""
    meter, buckets = Meter("l", "crack", 0.8, Detector.AUDIT), steps_of([9, 0, 0, 9])
    meter.follow(1, buckets.__getitem__, at=10.0)
    meter.acknowledge(20.0, "eva", "lens cleaned")
    meter.follow(3, buckets.__getitem__, at=30.0)
    assert not meter.state("m").paged
    assert meter.follow(4, buckets.__getitem__, at=40.0)[0].standing
    first, second = meter.pages
    assert (first.acknowledged_at, first.acknowledged_by, first.note) == (20.0, "eva", "lens cleaned")
    assert second.acknowledged_at is None


def test_more_audits_make_bolder_bets() -> None:
    """In a surge the budget is larger and a miss stands for fewer parts: lambda follows."""
    few, many = bets(0.8, 0.02), bets(0.8, 0.08)
    assert max(many) > max(few)
    assert all(bold >= shy for shy, bold in zip(few, many, strict=True))


def test_evidence_begins_anew_with_another_model_and_a_page_about_the_one_before_stands() -> None:
    """What the new model has done alone counts for it, also where it comes back; nothing is said of a model without a step."""
    meter, buckets = Meter("l", "crack", 0.8, Detector.AUDIT), steps_of([9, 2, 2, 2], models="aaba")
    meter.follow(4, buckets.__getitem__, at=5.0)
    alone = Meter("l", "crack", 0.8, Detector.AUDIT)
    alone.follow(1, steps_of([2]).__getitem__, at=0.0)
    assert meter.state("a").evidence == alone.state("m").evidence > 0
    assert meter.state("a").paged and [page.step for page in meter.pages] == [0]
    assert meter.state("c").evidence == 0 and not meter.surge("c")
    assert meter.state("c").limit == 100.0 and meter.state("c").paged
