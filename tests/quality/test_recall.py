"""What must hold of every estimate, whatever the counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from service.quality.buckets import Bucket, merged
from service.quality.recall import estimate, proportion
from service.quality.windows import parts_to_prove, quality
from service.records import ALL, State
from tests.quality.test_buckets import bucket_of, part, settled

hits = st.integers(1, 2000)
misses = st.dictionaries(st.integers(1, 200), st.integers(1, 20), max_size=4)


@given(hits, misses)
def test_the_limits_contain_the_point(caught: int, missed: dict[int, int]) -> None:
    """And lie between 0 and 1."""
    seen = estimate(caught, missed, max(missed, default=1))
    assert seen.point is not None
    assert 0 <= seen.lower <= seen.point <= seen.upper <= 1


@given(hits, st.integers(0, 50))
def test_a_census_has_plain_clopper_pearson_limits(caught: int, missed: int) -> None:
    """Where every part is looked at, w = 1, recall is an ordinary share."""
    ours, plain = estimate(caught, {1: missed} if missed else {}, 1), proportion(caught, caught + missed)
    assert (ours.point, ours.lower, ours.upper) == approx((plain.point, plain.lower, plain.upper), abs=1e-9)


@given(hits, misses, st.integers(2, 10))
def test_more_of_the_same_never_widens_the_limits(caught: int, missed: dict[int, int], times: int) -> None:
    """A window that grows, with labels that agree with the point, knows at least as much."""
    largest = max(missed, default=1)
    few = estimate(caught, missed, largest)
    many = estimate(caught * times, {weight: n * times for weight, n in missed.items()}, largest)
    assert many.lower >= few.lower - 1e-12
    assert many.upper <= few.upper + 1e-12


@given(st.lists(st.lists(settled, max_size=12), min_size=3, max_size=3))
def test_merging_is_associative_and_commutative(groups: list) -> None:  # type: ignore[type-arg]
    """Workers, buckets and windows may be added in any order."""
    a, b, c = map(bucket_of, groups)
    assert merged([merged([a, b]), c]) == merged([a, merged([b, c])]) == merged([c, a, b])


def window(caught: int, missed: int, good: int, weight: int) -> Bucket:
    """Rejects that are all defects, and audits of one weight."""
    audits = [(part("audit", weight=weight), "crack")] * missed + [(part("audit", weight=weight), "good")] * good
    return bucket_of([(part("reject"), "crack")] * caught + audits)


def test_what_evidence_is_missing_is_told_in_parts() -> None:
    """A window of as many parts, at the same rates, proves recall; one of a tenth less does not."""
    total = window(100, 0, 100, 50)
    row = quality(total, "l", ALL, "good", "w", 0.8)
    assert row.state is State.UNDECIDED
    needed = parts_to_prove(row)
    assert needed is not None
    scale = needed / total.parts
    assert estimate(round(100 * scale), {}, 50).lower >= 0.8 - 1e-3
    assert estimate(round(90 * scale), {}, 50).lower < 0.8


def test_recall_at_its_threshold_is_never_proven() -> None:
    """More of the same leaves the point where it is: nothing is promised."""
    row = quality(window(100, 2, 100, 50), "l", ALL, "good", "w", 0.5)
    assert parts_to_prove(row) is None


def test_audits_that_nobody_returns_show_in_the_worst_case() -> None:
    """Ten of thirty audits are out: the estimate scales those that came back, the worst case takes all ten for misses."""
    parts = [(part("reject"), "crack")] * 300 + [(part("audit"), "good")] * 20 + [(part("audit"), None)] * 10
    row = quality(bucket_of(parts), "l", ALL, "good", "w", 0.8)
    assert row.recall.lower > 0.8
    assert row.worst_lower == estimate(300, {10: 10}, 10).lower < row.recall.lower


def test_known_misses_are_a_ceiling_that_volunteers_lower() -> None:
    """Three customer returns among 97 hits: recall of those parts is at most 0.97, and the estimate has not moved."""
    parts = [(part("reject"), "crack")] * 97 + [(part("audit"), "good")] * 50
    before = quality(bucket_of(parts), "l", ALL, "good", "w", 0.8)
    after = quality(bucket_of([*parts, *[(part("pass"), "crack")] * 3]), "l", ALL, "good", "w", 0.8)
    assert (before.ceiling, after.ceiling) == (1.0, 0.97)
    assert before.recall == after.recall


def test_rejects_that_nobody_looked_at_yet_raise_the_ceiling() -> None:
    """They may all be hits: the ceiling must not be lower than the truth can be."""
    parts = [(part("reject"), "crack")] * 90 + [(part("reject"), None)] * 9 + [(part("audit"), "crack")]
    assert quality(bucket_of(parts), "l", ALL, "good", "w", 0.8).ceiling == 0.99


def test_caught_under_a_wrong_name_is_caught_and_not_named_right() -> None:
    """Recall asks whether a defect is caught; whether it is named right is the second question."""
    named = [(part("reject", predicted="crack"), "crack")] * 60 + [(part("reject", predicted="scratch"), "crack")] * 20
    audits = [(part("audit", weight=2), "crack")] * 10 + [(part("audit", weight=2), "good")] * 10
    row = quality(bucket_of(named + audits), "l", "crack", "good", "w", 0.8)
    assert row.recall.point == 0.8
    assert row.named_right.point == 0.6
    assert row.named_right.lower <= row.recall.lower
