"""Agreement of inspectors, and what scores alone say."""

from __future__ import annotations

from random import Random

from pytest import approx

from service.quality.agreement import Agreement, kappa
from service.quality.expected import BINS, NEEDS, bin_of, drift, expected_recall


def test_kappa_is_what_chance_does_not_explain() -> None:
    """Cohen's own kind of table; full agreement is 1, agreement by chance 0, one class alone says nothing."""
    assert kappa({("a", "a"): 45, ("a", "b"): 15, ("b", "a"): 25, ("b", "b"): 15}) == approx(0.1304, abs=1e-4)
    assert kappa({("a", "a"): 5, ("b", "b"): 5}) == 1.0
    assert kappa({("a", "a"): 25, ("a", "b"): 25, ("b", "a"): 25, ("b", "b"): 25}) == 0.0
    assert kappa({("a", "a"): 9}) is None and kappa({}) is None


def test_an_inspector_is_held_against_what_most_say() -> None:
    """Otto misses one of two defects and cries wolf at one of three good parts; a part that splits evenly judges nobody."""
    book = Agreement()
    book.count({"ines": "crack", "otto": "crack", "ida": "crack"})
    book.count({"ines": "crack", "otto": "good", "ida": "crack"})
    book.count({"ines": "good", "otto": "crack", "ida": "good"})
    book.count({"ines": "good", "otto": "good"})
    book.count({"ines": "good", "otto": "good"})
    book.count({"ines": "good", "otto": "crack"})
    book.count({"otto": "crack"})
    otto = next(one for one in book.state("good").inspectors if one.inspector == "otto")
    assert (otto.missed.numerator, otto.missed.denominator) == (1, 2)
    assert (otto.false_alarm.numerator, otto.false_alarm.denominator) == (1, 3)
    assert 0 < otto.missed.lower < 0.5 < otto.missed.upper < 1


def test_a_label_that_is_corrected_leaves_no_trace() -> None:
    """What a part added is taken back before it is counted again."""
    book, fresh = Agreement(), Agreement()
    book.count({"ines": "crack", "otto": "good"})
    book.count({"ines": "crack", "otto": "good"}, -1)
    book.count({"ines": "crack", "otto": "crack"})
    fresh.count({"ines": "crack", "otto": "crack"})
    assert book.state("good").kappa == fresh.state("good").kappa


GOOD = [int(1000 * 0.8**at) for at in range(BINS)]
BAD = GOOD[::-1]


def sample(defects: int, goods: int, shift: int = 0) -> dict[int, int]:
    """Scores as in validation, all of them `shift` bins lower."""
    dice, found = Random(1), dict.fromkeys(range(BINS), 0)
    for counts, n in ((BAD, defects), (GOOD, goods)):
        for at in dice.choices(range(BINS), counts, k=n):
            found[max(0, at - shift)] += 1
    return found


def test_another_defect_rate_is_no_drift_and_other_scores_are() -> None:
    """Half or one percent defects: the index stays small. Scores that move make it large. Few parts say nothing."""
    for defects in (3000, 60):
        index = drift(sample(defects, 6000 - defects), GOOD, BAD)
        assert index is not None and index < 0.05
    moved = drift(sample(3000, 3000, shift=10), GOOD, BAD)
    assert moved is not None and moved > 0.25
    assert drift(sample(1, NEEDS - 2), GOOD, BAD) is None


def test_expected_recall_falls_when_scores_move_under_the_threshold() -> None:
    """It moves the right way, and is near the truth as long as the calibration holds."""

    def flagged(scores: dict[int, int]) -> dict[tuple[int, bool], int]:
        return {(at, at >= 40): n for at, n in scores.items() if n}

    before = expected_recall(flagged(sample(3000, 3000)), 0.5)
    after = expected_recall(flagged(sample(3000, 3000, shift=24)), 0.5)
    assert before is not None and before > 0.95
    assert after is not None and after < before - 0.2
    assert expected_recall({(63, True): NEEDS - 1}, 0.5) is None


def test_bins_cover_every_probability() -> None:
    """Also those that only rounding makes."""
    assert [bin_of(p) for p in (-0.1, 0.0, 1e-12, 1 - 1e-16, 1.0, 1.1)] == [0, 0, 0, BINS - 1, BINS - 1, BINS - 1]
