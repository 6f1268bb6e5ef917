"""Recall, precision and their limits from audited parts: Horvitz-Thompson weighting, Fay-Feuer / Clopper-Pearson limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scipy.special import betainc, betaincinv

from service.records import Escapes, Estimate, State

POINT_NEEDS_MISSES = 5
"""Below so many audited misses the interval is shown and the point is not."""


def estimate(
    hits: float,
    misses: Mapping[float, float] | Mapping[float, int] | Mapping[int, int],
    largest_weight: float,
    confidence: float = 0.95,
    *,
    hits_squares: float | None = None,
    largest_reject_weight: float = 1.0,
) -> Estimate:
    """Recall T / (T + F) with limits (SPEC, "Estimate and interval").

    hits: T, true positives (the sum of reject weights, when not every reject is re-inspected; then hits_squares is the
    sum of their squares). misses: {weight: count} of confirmed audited misses. largest_weight: the largest weight that
    any passed part in the window had, drawn or not. The gamma limits of Fay and Feuer (1997) for the weighted misses,
    joined with the hits to a beta; with one common weight exactly Clopper-Pearson mapped by q / (q + w (1 - q)).

    >>> estimate(90, {50: 3}, 50).point
    0.375
    >>> estimate(0, {}, 50).point is None
    True
    """
    if hits < 0 or largest_weight < 1 or any(w < 1 or n < 0 for w, n in misses.items()):
        raise ValueError(f"hits {hits}, misses {dict(misses)}, largest weight {largest_weight}: weights are at least 1")
    return of_sums(
        hits,
        escapes_of(misses, largest_weight),
        confidence,
        hits_squares=hits_squares,
        largest_reject_weight=largest_reject_weight,
    )


def escapes_of(
    misses: Mapping[float, float] | Mapping[float, int] | Mapping[int, int], largest_weight: float
) -> Escapes:
    """F, V and w_M of `estimate`.

    >>> escapes_of({50: 3, 2: 1}, 50)
    Escapes(weighted=152.0, squares=7504.0, audited=4, largest_weight=50)
    """
    return Escapes(
        weighted=float(sum(w * n for w, n in misses.items())),
        squares=float(sum(w * w * n for w, n in misses.items())),
        audited=round(sum(misses.values())),
        largest_weight=largest_weight,
    )


def of_sums(
    hits: float,
    escapes: Escapes,
    confidence: float = 0.95,
    *,
    hits_squares: float | None = None,
    largest_reject_weight: float = 1.0,
) -> Estimate:
    """As `estimate`, which needs no more of the misses than these sums: those of several lines or machines may be added."""
    squares = hits if hits_squares is None else hits_squares
    weighted, weighted_squares, largest_weight = escapes.weighted, escapes.squares, escapes.largest_weight
    tail = (1 - confidence) / 2
    lower, upper = 0.0, 1.0
    if hits > 0:
        spread, mass = weighted_squares + largest_weight**2, weighted + largest_weight
        q = float(betaincinv(hits**2 / squares, mass**2 / spread, tail))
        lower = _mapped(q, squares / hits, spread / mass)
    if weighted > 0:
        spread, mass = squares + largest_reject_weight**2, hits + largest_reject_weight
        q = float(betaincinv(mass**2 / spread, weighted**2 / weighted_squares, 1 - tail))
        upper = _mapped(q, spread / mass, weighted_squares / weighted)
    total = hits + weighted
    return Estimate(
        point=hits / total if total > 0 else None,
        lower=lower,
        upper=upper,
        numerator=hits,
        denominator=total,
        events=escapes.audited,
        reason="" if total > 0 else "no defect was found yet, neither caught nor missed",
    )


def pointed(recall: Estimate) -> Estimate:
    """Without its point where too few audited misses carry one.

    >>> pointed(estimate(90, {50: 3}, 50)).reason
    '3 audited misses; a point needs 5'
    """
    if recall.point is None or recall.events >= POINT_NEEDS_MISSES:
        return recall
    return replace(recall, point=None, reason=f"{recall.events} audited misses; a point needs {POINT_NEEDS_MISSES}")


def p_value(hits: int, misses: Mapping[int, int], largest_weight: float, share: float) -> float:
    """Two-sided p-value of T / (T + F) = share: the smallest error at which the limits of `estimate` leave it out.

    With one common weight of 1 and a share of 1/2 this is McNemar's exact test.

    >>> round(p_value(2, {1: 10}, 1, 0.5), 4)  # 2 * P(Binomial(12, 1/2) <= 2)
    0.0386
    """
    weighted = sum(w * n for w, n in misses.items())
    squares = sum(w * w * n for w, n in misses.items())
    tails = [0.5]
    if hits:
        spread, mass = squares + largest_weight**2, weighted + largest_weight
        tails.append(float(betainc(hits, mass**2 / spread, _unmapped(share, 1.0, spread / mass))))
    if weighted:
        tails.append(1 - float(betainc(hits + 1, weighted**2 / squares, _unmapped(share, 1.0, squares / weighted))))
    return 2 * min(tails)


def _unmapped(share: float, hit_scale: float, miss_scale: float) -> float:
    """The q that `_mapped` maps to the share."""
    return miss_scale * share / (hit_scale * (1 - share) + miss_scale * share)


def _mapped(q: float, hit_scale: float, miss_scale: float) -> float:
    return hit_scale * q / (hit_scale * q + miss_scale * (1 - q))


def proportion(successes: int, trials: int, confidence: float = 0.95) -> Estimate:
    """successes / trials with Clopper-Pearson limits (1934).

    >>> proportion(0, 0).point is None
    True
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials}: expected 0 <= successes <= trials")
    tail = (1 - confidence) / 2
    return Estimate(
        point=successes / trials if trials else None,
        lower=float(betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0,
        upper=float(betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0,
        numerator=successes,
        denominator=trials,
        events=trials,
        reason="" if trials else "no reject was looked at again yet",
    )


def state(recall: Estimate, threshold: float | None) -> State:
    """PROVEN when the lower limit reaches the threshold, BELOW when the upper one does not, else UNDECIDED.

    >>> state(estimate(600, {}, 50), 0.75)
    <State.PROVEN: 'PROVEN'>
    """
    if threshold is None or not recall.estimable:
        return State.UNKNOWN
    if recall.lower >= threshold:
        return State.PROVEN
    return State.BELOW if recall.upper < threshold else State.UNDECIDED
