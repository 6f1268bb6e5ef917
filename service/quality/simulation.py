"""Many simulated lines at once: what their buckets hold, and what the e-detector makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log

import numpy as np
import numpy.typing as npt

from service.quality.evidence import bets

RUNS = 200
PATIENCE = 4000
"""So many buckets with an event, at most, until a page is no longer waited for."""

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Meters:
    """`Evidence` of many simulated lines at once; counts: hits, then audited misses per band."""

    def __init__(self, threshold: float, budget: float, limit: float, drawn: Sequence[int]) -> None:
        bold = np.array(bets(threshold, budget))
        self._factors = np.vstack([np.log1p(-bold * (1 - threshold) / threshold), np.log1p(np.outer(drawn, bold))])
        self._limit = log(limit * len(bold))
        self.logs = np.full((RUNS, len(bold)), -inf)

    def close(self, counts: Counts) -> npt.NDArray[np.bool_]:
        """Takes in one bucket with an event of each line; which of them paged, and began anew."""
        self.logs = np.logaddexp(self.logs, 0.0) + counts @ self._factors
        paged: npt.NDArray[np.bool_] = np.logaddexp.reduce(self.logs, axis=1) >= self._limit
        self.logs[paged] = -inf
        return paged


def first_pages(rng: np.random.Generator, meters: Meters, expected: Array, longest: float) -> tuple[Array, float]:
    """At which bucket each line paged first (inf: not yet), and up to which one every line was watched."""
    paged_at, buckets = np.full(RUNS, inf), np.zeros(RUNS)
    for _ in range(PATIENCE):
        gaps, counts = eventful(rng, expected)
        buckets += gaps
        paged = meters.close(counts)
        paged_at[paged] = np.minimum(paged_at[paged], buckets[paged])
        if buckets.min() > longest or np.mean(paged_at <= buckets.min()) >= 0.9:
            break
    return paged_at, min(longest, float(buckets.min()))


def eventful(rng: np.random.Generator, expected: Array) -> tuple[Counts, Counts]:
    """Per run: after how many buckets the next one with an event comes, and its counts, Poisson but not all zero."""
    total = float(expected.sum())
    some = -np.expm1(-total)
    first = -np.log1p(-some * rng.random(RUNS)) / total  # when in the bucket, from 0 to 1, its first event is
    events = 1 + rng.poisson(total * (1 - first).clip(0.0))
    return rng.geometric(some, RUNS), rng.multinomial(events, expected / total)


def quantiles(values: Array) -> list[float]:
    """Median and 90 % quantile, where some may be infinite."""
    return [float(value) for value in np.quantile(values, [0.5, 0.9], method="inverted_cdf")]
