"""Buckets add up, and windows say only what their evidence carries."""

from dataclasses import replace
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from service.quality.buckets import Bucket, merged
from service.quality.confusion import Confusion
from service.quality.windows import in_window, quality
from service.records import ALL, Outcome, State, Verdict
from service.thresholds import Window

PART = Verdict("p", "line", "cam", 0.0, "m", "t", (0.5, 0.5), 0.5, "good", Outcome.PASS, 2, 10, 1)


def part(outcome: str, weight: int = 10, band: int = 2, at: float = 0.0, predicted: str = "crack") -> Verdict:
    """A verdict with what buckets look at."""
    flagged = outcome == "reject"
    return replace(
        PART, outcome=Outcome(outcome), weight=1 if flagged else weight, band=None if flagged else band,
        captured_at=at, predicted=predicted if flagged else "good",
    )  # fmt: skip


verdicts = st.builds(
    part,
    outcome=st.sampled_from(["pass", "reject", "audit"]),
    weight=st.integers(1, 100),
    band=st.integers(0, 4),
    at=st.floats(0, 1e6),
    predicted=st.sampled_from(["crack", "scratch"]),
)
settled = st.tuples(verdicts, st.sampled_from([None, "good", "crack", "scratch"]))


def bucket_of(parts: list[tuple[Verdict, str | None]]) -> Bucket:
    """A bucket of parts with what they turned out to be."""
    bucket = Bucket()
    for verdict, actual in parts:
        bucket.add_part(verdict)
        if actual is not None:
            bucket.settle(verdict, actual)
    return bucket


@given(st.lists(settled, max_size=30), st.integers(0, 30))
def test_two_halves_give_what_the_whole_would_have(parts: list[tuple[Verdict, str | None]], cut: int) -> None:
    """Merging is exact, in either order."""
    left, right = bucket_of(parts[:cut]), bucket_of(parts[cut:])
    assert merged([left, right]) == bucket_of(parts) == merged([right, left])


@given(st.lists(settled, max_size=30), settled)
def test_taking_an_answer_back_leaves_no_trace_in_any_figure(
    parts: list[tuple[Verdict, str | None]], corrected: tuple[Verdict, str | None]
) -> None:
    """A label and its withdrawal change no number that is shown."""
    verdict, actual = corrected
    before, after = bucket_of([*parts, (verdict, None)]), bucket_of([*parts, (verdict, None)])
    if actual is not None:
        after.settle(verdict, actual)
        after.settle(verdict, actual, step=-1)
    for defect in (ALL, "crack"):
        assert quality(before, "l", defect, "good", "w", 0.8) == quality(after, "l", defect, "good", "w", 0.8)


@given(st.lists(settled, max_size=40), st.integers(1, 5))
def test_volunteered_labels_change_no_estimate(parts: list[tuple[Verdict, str | None]], volunteers: int) -> None:
    """A customer return is a ceiling beside the estimate, never in it."""
    passed = part("pass")
    without = bucket_of([*parts, *[(passed, None)] * volunteers])
    with_labels = bucket_of([*parts, *[(passed, "crack")] * volunteers])
    for defect in (ALL, "crack"):
        one, other = (quality(bucket, "l", defect, "good", "w", 0.8) for bucket in (without, with_labels))
        assert one.recall == other.recall
        assert other.false_negative == one.false_negative + volunteers


def test_the_seed_confusion_gives_its_precision_and_recall_for_both_classes() -> None:
    """TP 50, FP 5, FN 3, TN 42: 0.909 and 0.943; seen from the other class 0.933 and 0.893. Both axes are named."""
    matrix = Confusion(("good", "defective"), ((42, 5), (3, 50)))
    figures = [
        matrix.precision("defective"),
        matrix.recall("defective"),
        matrix.precision("good"),
        matrix.recall("good"),
    ]
    assert [round(figure.point or 0, 3) for figure in figures] == [0.909, 0.943, 0.933, 0.894]
    assert "actual" in matrix.table()
    assert "predicted" in matrix.table()


def test_the_seed_confusion_through_the_line_gives_the_same() -> None:
    """The same counts as labelled parts of a census line."""
    parts = (
        [(part("reject"), "crack")] * 50 + [(part("reject"), "good")] * 5
        + [(part("audit", weight=1), "crack")] * 3 + [(part("audit", weight=1), "good")] * 42
    )  # fmt: skip
    seen = quality(bucket_of(parts), "l", "crack", "good", "w", 0.8)
    assert (seen.true_positive, seen.false_positive, seen.false_negative, seen.true_negative) == (50, 5, 3, 42)
    assert round(seen.precision.point or 0, 3) == 0.909
    assert round(seen.observed or 0, 3) == 0.943
    assert seen.recall.point is None  # three audited misses: the interval is shown, the point is not
    assert round((seen.recall.numerator / seen.recall.denominator), 3) == 0.943


def test_audits_that_did_not_return_are_stood_for_by_those_that_did() -> None:
    """Ten drawn at weight 4, five returned, one a miss: it stands for eight parts."""
    parts: list[tuple[Verdict, str | None]] = [(part("audit", weight=4), None)] * 5
    parts += [(part("audit", weight=4), "good")] * 4 + [(part("audit", weight=4), "crack")]
    assert bucket_of(parts).misses("crack", "good") == {8.0: 1}
    assert bucket_of(parts).plain_misses("crack", "good") == {4: 1}


def test_without_an_audited_label_there_is_no_recall() -> None:
    """Rejects alone say nothing about what was missed."""
    seen = quality(bucket_of([(part("reject"), "crack")] * 9 + [(part("pass"), None)]), "l", ALL, "good", "w", 0.8)
    assert seen.state is State.UNKNOWN
    assert (seen.recall.point, seen.recall.lower, seen.recall.upper) == (None, 0.0, 1.0)
    assert "no audited part" in seen.reason
    assert seen.observed == 1.0


def test_windows_take_whole_buckets_and_forget_by_the_clock() -> None:
    """By parts as many as fit; by hours what was captured since, even when nothing new arrives."""
    buckets = [bucket_of([(part("pass", at=hour * 3600.0), None)] * 10) for hour in range(5)]
    assert in_window(buckets, Window(parts=25), as_of=inf, model="") == 3
    assert in_window(buckets, Window(hours=2), as_of=4.5 * 3600, model="") == 3
    assert in_window(buckets, Window(hours=2), as_of=9 * 3600, model="") == 5


def test_a_window_begins_anew_with_a_model() -> None:
    """Also where an earlier one comes back; what the new one has not closed yet is not made up for by the old one's."""
    buckets = [bucket_of([(part("pass"), None)] * 10) for _ in range(5)]
    for bucket, model in zip(buckets, "aabba", strict=True):
        bucket.model = model
    assert [
        in_window(buckets, Window(parts=1000), inf, model, count) for model, count in [("a", 2), ("b", 4), ("a", 5)]
    ] == [
        0,
        2,
        4,
    ]
    assert in_window(buckets, Window(parts=1000), inf, "c") == 5


def test_a_challenge_part_fills_its_place_and_counts_nowhere() -> None:
    """Known beforehand or told afterwards: the bucket is as full, and no figure has seen the part."""
    others: list[tuple[Verdict, str | None]] = [(part("audit"), "good")] * 9
    before, after = bucket_of(others), bucket_of([*others, (part("reject"), None)])
    before.add_challenge(part("reject"))
    after.exclude(part("reject"))
    assert before == after
    assert before.full(10) and not bucket_of(others).full(10)
    assert quality(before, "l", ALL, "good", "w", 0.8) == quality(bucket_of(others), "l", ALL, "good", "w", 0.8)


def test_a_bucket_without_its_rejects_looked_at_is_left_out() -> None:
    """Under 80 % of rejects resolved the counts are not believed."""
    rejects: list[tuple[Verdict, str | None]] = [(part("reject"), "crack")] * 7
    assert not bucket_of([*rejects, *[(part("reject"), None)] * 3]).usable
    assert bucket_of([*rejects, (part("reject"), None)]).usable
