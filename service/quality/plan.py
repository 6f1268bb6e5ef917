"""Before anything is measured: how long until recall is proven, how soon a fall is paged, and what budget that takes.

Simulated with fixed seeds, so that the same question has the same answer. Counts vary as Poisson counts do; who audits is
assumed to be right, every reject to be looked at again, and every label to be back at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf, isfinite, log, sqrt

import numpy as np
import numpy.typing as npt

from service.errors import InvalidInput
from service.quality.draw import BANDS, DEFAULT_GUESSES, DEFAULT_SHARES, weights
from service.quality.evidence import bets
from service.quality.meter import limit_in_buckets
from service.quality.recall import estimate

NEAR = (0.0,) * (BANDS - 1) + (1.0,)
"""Share of the misses per score band, when what is missed lies near the threshold: the audit looks there most."""

UNSEEN = DEFAULT_SHARES
"""When what is missed scores like good parts, as a new kind of defect does: only the uniform floor finds it."""

RUNS = 200
LOOK_AGAIN = 1.04
"""The simulated line looks whether recall is proven each time it has so many times the parts of the look before."""
DAYS = 365.0
"""What takes longer than that is no plan any more."""
REST, PATIENCE = 1000, 10_000
"""Buckets with an event: on the healthy line before the fall, and at most after it."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plant:
    """A line as one plans it. prevalence: share of truly defective parts. recall: what the line is believed to catch.

    threshold: R0. false_page_every: seconds. defects: kinds of defect that share the false pages; with several,
    prevalence and recall are those of one. Raises InvalidInput.
    """

    prevalence: float
    recall: float
    parts_per_day: float
    bucket_parts: int
    threshold: float
    false_page_every: float
    defects: int = 1

    def __post_init__(self) -> None:
        for name in ("prevalence", "recall", "threshold"):
            check_share(name, getattr(self, name))
        for name in ("parts_per_day", "bucket_parts", "false_page_every", "defects"):
            value = getattr(self, name)
            if not 0 < value <= 1e10:
                raise InvalidInput(f"{name} {value:g}: expected a number above 0, at most 10 billion")


@dataclass(frozen=True, slots=True)
class Need:
    """What a proof takes: caught defects, audited parts, parts inspected, days."""

    hits: int
    audits: int
    parts: int
    days: float


@dataclass(frozen=True, slots=True)
class Proof:
    """Half of all lines like this one are PROVEN by `median`, nine in ten by `p90`; None where it takes over a year or for ever.

    reason: why there is no median.
    """

    median: Need | None
    p90: Need | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delay:
    """From a fall of recall to its page; None where it is not paged within a year."""

    median_parts: int | None
    p90_parts: int | None
    median_days: float | None
    p90_days: float | None


def check_share(name: str, value: float, least: float = 0.0) -> None:
    """Raises InvalidInput unless value is in (least, 1); a percentage gets the ratio that was meant."""
    if least < value < 1:
        return
    meant = f"; for {value:g} % write {value / 100:g}" if 1 < value < 100 else ""
    raise InvalidInput(f"{name} {value:g}: expected a share above {least:g} and below 1{meant}")


def audits_per_part(plant: Plant, budget: float) -> float:
    """Audited parts in one inspected part: what the whole-numbered weights make of the budget on the passed ones."""
    drawn = sum(share / w for share, w in zip(DEFAULT_SHARES, spread(budget), strict=True)) / sum(DEFAULT_SHARES)
    return drawn * (1 - plant.prevalence * plant.recall)


def spread(budget: float) -> list[int]:
    """The weight per score band of a line of which nothing is known yet. Raises InvalidInput."""
    if not 0 < budget <= 1:
        meant = f"; for {budget:g} % write {budget / 100:g}" if 1 < budget <= 100 else ""
        raise InvalidInput(f"budget {budget:g}: expected a share of the passed parts above 0, at most 1{meant}")
    return weights(budget, DEFAULT_SHARES, DEFAULT_GUESSES)


@lru_cache(maxsize=1024)
def hits_to_prove(threshold: float, largest_weight: float) -> int:
    """The fewest hits that prove recall >= threshold when the audit found no miss. Nothing proves it with fewer.

    >>> hits_to_prove(0.80, 50)
    740
    """
    low, high = 0, 1
    while estimate(high, {}, largest_weight).lower < threshold:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if estimate(middle, {}, largest_weight).lower < threshold else (low, middle)
    return high


def to_prove(plant: Plant, budget: float, misses: Sequence[float] = UNSEEN) -> Proof:
    """When the lower limit over all parts since the start first reaches the threshold (SPEC, "How much evidence is enough").

    misses: share of the misses per score band, NEAR or UNSEEN. The number of hits and of audited misses is left to chance.
    """
    if plant.recall <= plant.threshold:
        return Proof(None, None, f"it can never be, with a true recall of {plant.recall:g}")
    drawn = spread(budget)
    rng = np.random.default_rng(1)
    rates = _rates(plant, plant.recall, drawn, misses)
    fewest = hits_to_prove(plant.threshold, max(drawn))
    first = max(1.0, fewest - 3 * sqrt(fewest)) / rates[0]
    counts, unproven, parts = np.zeros((RUNS, 1 + BANDS), dtype=np.int64), np.arange(RUNS), 0.0
    proven_at = np.full(RUNS, inf)
    while len(unproven) > RUNS // 10 and (look := max(first, parts * LOOK_AGAIN)) <= DAYS * plant.parts_per_day:
        counts[unproven] += rng.poisson(rates * (look - parts), (len(unproven), 1 + BANDS))
        parts = look
        done = np.array([_lower(counts[run].tolist(), drawn) >= plant.threshold for run in unproven])
        proven_at[unproven[done]] = parts
        unproven = unproven[~done]
    median, late = (_need(plant, budget, at) for at in _quantiles(proven_at))
    return Proof(median, late, "" if median else f"it takes more than {DAYS:g} days")


def _lower(counts: Sequence[int], drawn: Sequence[int]) -> float:
    found: dict[int, int] = {}
    for weight, count in zip(drawn, counts[1:], strict=True):
        if count:  # bands may share a weight
            found[weight] = found.get(weight, 0) + count
    return estimate(counts[0], found, max(drawn)).lower


def _need(plant: Plant, budget: float, parts: float) -> Need | None:
    if not isfinite(parts):
        return None
    whole = ceil(parts)
    hits, audits = plant.prevalence * plant.recall * whole, audits_per_part(plant, budget) * whole
    return Need(round(hits), round(audits), whole, whole / plant.parts_per_day)


def to_page(plant: Plant, budget: float, fallen: float, misses: Sequence[float] = UNSEEN) -> Delay:
    """From a fall to the recall `fallen` until the e-detector pages (SPEC, "The page"; without surge).

    misses: where those lie that were caught before the fall; those that were missed already lie near the threshold.
    The meter has run on the healthy line before. Only buckets with an event are simulated: the others leave it as it is.
    """
    check_share("fallen", fallen)
    drawn = spread(budget)
    bucket_days = plant.bucket_parts / plant.parts_per_day
    limit = limit_in_buckets(plant.false_page_every, bucket_days * 86400, plant.defects, plant.threshold, budget)
    rng = np.random.default_rng(1)
    meters = _Meters(plant.threshold, budget, limit, drawn)
    paged_at = np.full(RUNS, inf)
    if fallen < min(plant.threshold, plant.recall):
        before = plant.bucket_parts * _rates(plant, plant.recall, drawn, NEAR)
        for _ in range(REST):
            meters.close(_eventful(rng, before)[1])
        new = (plant.recall - fallen) / (1 - fallen)
        mixed = [new * share + (1 - new) * near for share, near in zip(misses, NEAR, strict=True)]
        after = plant.bucket_parts * _rates(plant, fallen, drawn, mixed)
        buckets = np.zeros(RUNS)
        for _ in range(PATIENCE):
            gaps, counts = _eventful(rng, after)
            buckets += gaps
            paged = meters.close(counts)
            paged_at[paged] = np.minimum(paged_at[paged], buckets[paged])
            if np.isfinite(paged_at).mean() >= 0.9 or buckets.min() * bucket_days > DAYS:
                break
    paged_at[paged_at * bucket_days > DAYS] = inf
    found = [int(at) if isfinite(at) else None for at in _quantiles(paged_at)]
    parts = [None if at is None else at * plant.bucket_parts for at in found]
    return Delay(parts[0], parts[1], *(None if at is None else at * bucket_days for at in found))


class _Meters:
    """`Evidence` of many simulated lines at once; counts: hits, then audited misses per band."""

    def __init__(self, threshold: float, budget: float, limit: float, drawn: Sequence[int]) -> None:
        bold = np.array(bets(threshold, budget))
        self._factors = np.vstack([np.log1p(-bold * (1 - threshold) / threshold), np.log1p(np.outer(drawn, bold))])
        self._limit = log(limit * len(bold))
        self.logs = np.full((RUNS, len(bold)), -inf)

    def close(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Takes in one bucket with an event of each line; which of them paged, and began anew."""
        self.logs = np.logaddexp(self.logs, 0.0) + counts @ self._factors
        paged: npt.NDArray[np.bool_] = np.logaddexp.reduce(self.logs, axis=1) >= self._limit
        self.logs[paged] = -inf
        return paged


def _rates(plant: Plant, recall: float, drawn: Sequence[int], misses: Sequence[float]) -> Array:
    """Expected hits, then audited misses per band, in one inspected part."""
    missed = plant.prevalence * (1 - recall) / sum(misses)
    return np.array([plant.prevalence * recall, *(missed * share / w for share, w in zip(misses, drawn, strict=True))])


def _eventful(rng: np.random.Generator, expected: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per run: after how many buckets the next one with an event comes, and its counts, Poisson but not all zero."""
    total = float(expected.sum())
    some = -np.expm1(-total)
    first = -np.log1p(-some * rng.random(RUNS)) / total  # when in the bucket, from 0 to 1, its first event is
    events = 1 + rng.poisson(total * (1 - first).clip(0.0))
    return rng.geometric(some, RUNS), rng.multinomial(events, expected / total)


def _quantiles(values: Array) -> list[float]:
    """Median and 90 % quantile, where some may be infinite."""
    return [float(value) for value in np.quantile(values, [0.5, 0.9], method="inverted_cdf")]


def budget_for(plant: Plant, days: float, misses: Sequence[float] = UNSEEN) -> float | None:
    """The smallest budget with which half of all lines are PROVEN within so many days; None when even a census is too slow."""
    if not days > 0:
        raise InvalidInput(f"days {days:g}: expected a number above 0")

    def enough(budget: float) -> bool:
        proof = to_prove(plant, budget, misses)
        return proof.median is not None and proof.median.days <= days

    if not enough(1.0):
        return None
    low, high = 1e-4, 1.0
    while high / low > 1.03:
        middle = sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
