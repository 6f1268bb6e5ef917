"""The page: an e-detector. A meter that goes down a little for every defect we caught and up a lot for every audited miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, log, log1p

BETS = (1.0, 5.0, 25.0)
"""kappa: how boldly each of the three detectors bets, in units of the audit budget (SPEC, "The page")."""

CHALLENGE_BETS = (0.05, 0.2, 0.8)
"""lambda * rho of the three detectors that are fed by challenge parts, one part a step."""

SURGE_ABOVE, SURGE_UNTIL = 8.0, 2.0

Misses = Mapping[int, int] | Mapping[float, int]


class Evidence:
    """Evidence that recall is below `threshold`, bucket by bucket (e-detector after Shin, Ramdas and Rinaldo).

    threshold: R0 in (0, 1). budget: share of passed parts that is audited. limit: c, in buckets; while recall is at or
    above R0 a false page is expected no sooner than after c buckets with an event. `close` in bucket order; reaching the
    limit latches `paged` and starts the meter anew.

    >>> meter = Evidence(threshold=0.8, budget=0.02, limit=200)
    >>> round(meter.close(hits=10, misses={}), 4)
    0.6635
    """

    def __init__(self, threshold: float, budget: float, limit: float, largest_reject_weight: float = 1.0) -> None:
        self.limit = limit
        self._odds = (1 - threshold) / threshold * largest_reject_weight
        self._bets = bets(threshold, budget, largest_reject_weight)
        self.logs = NOTHING
        self.paged = False

    def close(self, hits: int, misses: Misses) -> float:
        """Takes in one closed bucket and returns the evidence after it. misses: {weight: count}."""
        self.logs = step(self.logs, log_factors(self._bets, self._odds, hits, misses))
        value = mean_of_logs(self.logs)
        if value >= self.limit:
            self.paged = True
            self.logs = NOTHING
        return value


NOTHING = (-inf,) * len(BETS)
"""The logarithms of M_j before the first event, and after a page."""


def log_factors(bets: Sequence[float], odds: float, hits: int, misses: Misses) -> tuple[float, ...] | None:
    """log L_j of one bucket, None when it holds no event. odds: rho, times v_M."""
    if not hits and not any(misses.values()):
        return None
    return tuple(
        hits * log1p(-bet * odds) + sum(count * log1p(bet * weight) for weight, count in misses.items()) for bet in bets
    )


def step(logs: Sequence[float], factors: Sequence[float] | None) -> tuple[float, ...]:
    """M_j <- (M_j + 1) L_j, in logarithms; a bucket without an event changes nothing."""
    if factors is None:
        return tuple(logs)
    return tuple(_log_plus_one(before) + factor for before, factor in zip(logs, factors, strict=True))


def cusum_step(logs: Sequence[float], factors: Sequence[float] | None) -> tuple[float, ...]:
    """M_j <- max(M_j, 1) L_j, in logarithms: the version that asks for more audits, and pages nobody."""
    if factors is None:
        return tuple(logs)
    return tuple(max(before, 0.0) + factor for before, factor in zip(logs, factors, strict=True))


def surging(before: bool, evidence: float) -> bool:
    """Whether more audits are to be drawn: from above 8 until below 2 (SPEC, "Surge")."""
    return evidence > SURGE_ABOVE or (before and evidence >= SURGE_UNTIL)


def bets(threshold: float, budget: float, largest_reject_weight: float = 1.0) -> tuple[float, ...]:
    """lambda_j = min(kappa_j * budget, 0.8 / (rho * v_M)), rho the odds of a miss at the threshold."""
    odds = (1 - threshold) / threshold
    return tuple(min(bet * budget, 0.8 / (odds * largest_reject_weight)) for bet in BETS)


def challenge_bets(threshold: float) -> tuple[float, ...]:
    """lambda = (.05, .2, .8) / rho: the bets of the detector that challenge parts feed (w = 1)."""
    odds = (1 - threshold) / threshold
    return tuple(bet / odds for bet in CHALLENGE_BETS)


def smallest_limit(threshold: float, bets: Sequence[float]) -> float:
    """The limit must exceed this, or the meter could page without any audited miss: mean of 1 / (lambda_j * rho)."""
    odds = (1 - threshold) / threshold
    return sum(1 / (bet * odds) for bet in bets) / len(bets)


def misses_to_page(threshold: float, bets: Sequence[float], limit: float, weight: float) -> int:
    """How many misses of that weight, found in one bucket by a meter that was at rest, page at once."""
    odds = (1 - threshold) / threshold
    count = 0
    while mean_of_logs(step(NOTHING, log_factors(bets, odds, 0, {weight: count}))) < limit:
        count += 1
    return count


def mean_of_logs(logs: Sequence[float]) -> float:
    """Mean of exp(logs), capped at the largest float instead of overflowing."""
    top = max(logs)
    if top == -inf:
        return 0.0
    return exp(min(700.0, top + log(sum(exp(value - top) for value in logs) / len(logs))))


def _log_plus_one(log_value: float) -> float:
    """log(exp(x) + 1) without overflow."""
    return max(log_value, 0.0) + log1p(exp(-abs(log_value))) if log_value > -inf else 0.0
