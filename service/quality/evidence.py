"""The page: an e-detector. A meter that goes down a little for every defect we caught and up a lot for every audited miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, log, log1p

BETS = (1.0, 5.0, 25.0)
"""kappa: how boldly each of the three detectors bets, in units of the audit budget (SPEC, "The page")."""


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
        self.threshold = threshold
        self.limit = limit
        self._odds = (1 - threshold) / threshold
        self._reject_weight = largest_reject_weight
        self._bets = bets(threshold, budget, largest_reject_weight)
        self.logs: tuple[float, ...] = (-inf,) * len(self._bets)
        self.paged = False

    def close(self, hits: int, misses: Mapping[int, int] | Mapping[float, int]) -> float:
        """Takes in one closed bucket and returns the evidence after it. misses: {weight: count}."""
        if hits or any(misses.values()):
            self.logs = tuple(
                _log_plus_one(before) + self._log_factor(bet, hits, misses)
                for before, bet in zip(self.logs, self._bets, strict=True)
            )
        value = mean_of_logs(self.logs)
        if value >= self.limit:
            self.paged = True
            self.logs = (-inf,) * len(self._bets)
        return value

    def _log_factor(self, bet: float, hits: int, misses: Mapping[int, int] | Mapping[float, int]) -> float:
        caught = hits * log1p(-bet * self._odds * self._reject_weight)
        return caught + sum(count * log1p(bet * weight) for weight, count in misses.items())


def bets(threshold: float, budget: float, largest_reject_weight: float = 1.0) -> tuple[float, ...]:
    """lambda_j = min(kappa_j * budget, 0.8 / (rho * v_M)), rho the odds of a miss at the threshold."""
    odds = (1 - threshold) / threshold
    return tuple(min(bet * budget, 0.8 / (odds * largest_reject_weight)) for bet in BETS)


def smallest_limit(threshold: float, budget: float) -> float:
    """The limit must exceed this, or the meter could page without any audited miss: mean of 1 / (lambda_j * rho)."""
    odds = (1 - threshold) / threshold
    sizes = [1 / (bet * odds) for bet in bets(threshold, budget)]
    return sum(sizes) / len(sizes)


def mean_of_logs(logs: Sequence[float]) -> float:
    """Mean of exp(logs), capped at the largest float instead of overflowing."""
    top = max(logs)
    if top == -inf:
        return 0.0
    return exp(min(700.0, top + log(sum(exp(value - top) for value in logs) / len(logs))))


def _log_plus_one(log_value: float) -> float:
    """log(exp(x) + 1) without overflow."""
    return max(log_value, 0.0) + log1p(exp(-abs(log_value))) if log_value > -inf else 0.0
