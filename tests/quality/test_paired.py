"""A shadow against the active model on the same parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx
from scipy.stats import binomtest

from service.quality.paired import Paired, in_words
from service.quality.recall import estimate, p_value
from service.records import ALL, Comparison, OneSided


@pytest.mark.parametrize(("only_active", "only_shadow"), [(2, 10), (10, 2), (5, 5), (0, 6), (6, 0), (1, 1)])
def test_with_every_part_labelled_it_is_mcnemars_exact_test(only_active: int, only_shadow: int) -> None:
    """Two-sided binomial test of the parts on which they differ."""
    exact = binomtest(only_active, only_active + only_shadow, 0.5).pvalue
    assert p_value(only_active, {1: only_shadow}, 1, 0.5) == approx(exact)


def test_the_p_value_is_where_the_limits_begin_to_hold_the_share() -> None:
    """Of weighted misses too: at that confidence one limit is the share itself."""
    for hits, misses, largest, share in [(8, {4: 1, 30: 2}, 50, 0.5), (90, {50: 3}, 50, 0.8), (3, {2: 9}, 4, 0.5)]:
        found = estimate(hits, misses, largest, 1 - p_value(hits, misses, largest, share))
        assert min(abs(found.lower - share), abs(found.upper - share)) < 1e-9


@pytest.mark.parametrize("rate", [0.5, 6.0, 40.0])
def test_equal_models_are_called_different_no_more_often_than_promised(rate: float) -> None:
    """Each catches as many that the other misses; the shadow's are seen only where they were drawn, with weight 5 or 20."""
    dice = np.random.default_rng(1)
    runs, called = 4000, 0
    for _ in range(runs):
        drawn = {5: int(dice.poisson(rate / 2 / 5)), 20: int(dice.poisson(rate / 2 / 20))}
        called += p_value(int(dice.poisson(rate)), drawn, 20, 0.5) <= 0.05
    assert called <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5


def test_a_better_shadow_is_found() -> None:
    """It catches 200 that the active one misses, which catches 40 of its own; a fifth of the passed parts is audited."""
    assert p_value(40, {5: 40}, 5, 0.5) < 0.001


def test_recall_precision_and_who_caught_what() -> None:
    """By hand: 10 defects caught by both, 2 by the active one alone, audits of weight 4 found 3 by the shadow alone and 1 by none."""
    pair = Paired("a", "s")
    pair.weights.update((1, 4, 7))
    rows = {
        ("crack", "crack", "crack", 1): 9,
        ("dent", "crack", "dent", 1): 1,
        ("crack", "crack", "good", 1): 2,
        ("crack", "good", "crack", 4): 3,
        ("crack", "good", "good", 4): 1,
        ("good", "crack", "good", 1): 5,
        ("good", "good", "dent", 4): 1,
        ("good", "good", "good", 4): 20,
    }
    pair.counts.update(rows)
    found = pair.compare(ALL, "good")
    assert (found.parts, found.labelled) == (3, 42)
    assert found.recall == (approx(12 / 28), approx(22 / 28))
    assert found.precision == (approx(12 / 17), approx(22 / 26))
    assert (found.caught.by_active, found.caught.by_shadow, found.caught.audited) == (2, 12, 3)
    assert found.caught.p_value == approx(p_value(2, {4: 3}, 7, 0.5))
    assert (found.false_rejects.by_active, found.false_rejects.by_shadow) == (5, 4)
    dent = pair.compare("dent", "good")
    assert dent.recall == (1.0, 1.0) and dent.caught.p_value is None
    assert dent.precision == (None, approx(1 / 5))


def test_nothing_labelled_says_nothing() -> None:
    """No share of nothing, and no test."""
    found = Paired("a", "s").compare(ALL, "good")
    assert found.recall == found.precision == (None, None) and found.caught.p_value is None


def test_in_words() -> None:
    """Three things may be said, and a tiny p-value is not called none."""
    caught = OneSided(1, 40.0, 40, 1e-12)
    rejects = OneSided(9, 4.0, 4, 0.002)
    found = Comparison("a", "s", ALL, 100, 100, (0.5, 0.9), (0.5, 0.6), caught, rejects)
    assert in_words(found) == "the shadow catches more defects (p < 0.0001) and rejects fewer good parts (p = 0.002)"
    alike = replace(found, caught=OneSided(3, 4.0, 4, 0.7), false_rejects=OneSided(0, 0.0, 0, None))
    assert "catches as many, for all that is known (p = 0.70)" in in_words(alike)
    assert "rejects as many good parts (no part on which the two differ)" in in_words(alike)
