"""The draw learns from closed buckets, spends its budget, and is checked against its own probabilities."""

from __future__ import annotations

from random import Random

from pytest import approx

from service.quality.draw import (
    BANDS,
    DEFAULT_GUESSES,
    DEFAULT_SHARES,
    draw_check,
    drawn,
    learned_guesses,
    learned_shares,
    surged,
    weights,
    worth_changing,
)


def test_an_honest_draw_passes_its_check_and_a_biased_one_does_not() -> None:
    """Two hundred honest lines: small probabilities are as rare as they should be. One that forgets a fifth is found."""
    cells = {(0, 50): 0, (1, 50): 0, (3, 12): 0, (4, 3): 0}
    found = []
    for line in range(200):
        passed, taken = dict.fromkeys(cells, 0), dict.fromkeys(cells, 0)
        for number in range(4000):
            cell = (*cells,)[number % 4]
            passed[cell] += 1
            taken[cell] += drawn(b"key", f"{line}/{number}", cell[1])
        found.append(draw_check(passed, taken))
        biased = {cell: n * 4 // 5 for cell, n in taken.items()}
    assert None not in found
    assert sum(value < 0.05 for value in found if value is not None) <= 22  # 10 expected, + 3.9 standard deviations
    assert sum(value < 0.5 for value in found if value is not None) > 70
    assert (draw_check(passed, biased) or 0) < 0.01


def test_too_few_draws_say_nothing_and_a_census_must_be_complete() -> None:
    """Fewer than five expected: no probability. Of weight 1 every part must have been drawn."""
    assert draw_check({(0, 50): 200}, {(0, 50): 9}) is None
    assert draw_check({}, {}) is None
    assert draw_check({(0, 1): 200}, {(0, 1): 199}) == 0.0


def test_weights_go_where_misses_were_found() -> None:
    """A band in which audits found misses is drawn more often than before, the others are drawn no less than half the budget."""
    audits = {("good", band, 50): 400 for band in range(BANDS)} | {("crack", 1, 50): 40}
    learned = learned_guesses(audits, "good")
    assert learned[1] == approx(41 / (1 / 2e-4 + 440))
    before, after = weights(0.02, DEFAULT_SHARES, DEFAULT_GUESSES), weights(0.02, DEFAULT_SHARES, learned)
    assert after[1] < before[1] / 1.5
    assert max(after) <= 100
    assert worth_changing(before, after) and not worth_changing(after, after)


def test_shares_begin_with_the_default_and_end_with_what_was_seen() -> None:
    """They sum to one, so that the budget is spent and no more."""
    assert learned_shares({}) == approx(list(DEFAULT_SHARES))
    seen = learned_shares({(4, 3): 500_000, (0, 50): 500_000})
    assert seen[0] == approx(0.5, abs=0.01) and sum(seen) == approx(1)


def test_a_budget_is_spent_whatever_the_scores() -> None:
    """Draw probabilities of the integer weights sum to about the budget over random shares and guesses."""
    dice = Random(3)
    for _ in range(100):
        shares = [dice.random() for _ in range(BANDS)]
        guesses = [10 ** dice.uniform(-5, -0.5) for _ in range(BANDS)]
        budget = dice.choice([0.005, 0.02, 0.1])
        spent = sum(share / weight for share, weight in zip(shares, weights(budget, shares, guesses), strict=True))
        assert spent / sum(shares) == approx(budget, rel=0.25)


def test_a_surge_quadruples_the_budget_up_to_a_census() -> None:
    """Never above every part."""
    assert (surged(0.02, False), surged(0.02, True), surged(0.4, True)) == (0.02, 0.08, 1.0)
