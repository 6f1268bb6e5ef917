"""Before anything is measured: how long until recall is proven, how soon a fall is paged, and what budget that takes.

Simulated with fixed seeds, so that the same question has the same answer. Counts vary as Poisson counts do; who audits is
assumed to be right, every reject to be looked at again, and every label to be back at once. A draw that audits more while
evidence gathers (surge) would page sooner than said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf, isfinite, sqrt

import numpy as np

from service.errors import InvalidInput
from service.quality.draw import BANDS, DEFAULT_GUESSES, DEFAULT_SHARES, weights
from service.quality.evidence import bets
from service.quality.meter import limit_in_steps
from service.quality.recall import estimate
from service.quality.simulation import RUNS, Array, Meters, eventful, first_pages, quantiles

NEAR = (0.0,) * (BANDS - 1) + (1.0,)
"""Share of the misses per score band, when what is missed lies near the threshold: the audit looks there most."""

UNSEEN = DEFAULT_SHARES
"""When what is missed scores like good parts, as a new kind of defect does: only the uniform floor finds it."""

LOOK_AGAIN = 1.04
"""The simulated line looks whether recall is proven each time it has so many times the parts of the look before."""
DAYS = 365.0
"""What takes longer than that is no plan any more."""
REST = 1000
"""So many buckets with an event the healthy line has behind it when it falls."""


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
            if not 0 < value <= 1e9:
                raise InvalidInput(f"{name} {value:g}: expected a number above 0, at most a billion")


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
    """From a fall of recall to its page; None where that takes longer than `watched_days`, which are inf for what is no fall."""

    median_parts: int | None
    p90_parts: int | None
    median_days: float | None
    p90_days: float | None
    watched_days: float


def check_share(name: str, value: float) -> None:
    """Raises InvalidInput unless value is in (0, 1); a percentage gets the ratio that was meant."""
    if 0 < value < 1:
        return
    meant = f"; for {value:g} % write {value / 100:g}" if 1 < value < 100 else ""
    raise InvalidInput(f"{name} {value:g}: expected a share above 0 and below 1{meant}")


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
    median, late = (_need(plant, budget, at) for at in quantiles(proven_at))
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
    whole = ceil(parts / plant.bucket_parts) * plant.bucket_parts  # a window holds whole buckets
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
    wished = plant.false_page_every * plant.defects
    limit = limit_in_steps(wished, bucket_days * 86400, plant.threshold, bets(plant.threshold, budget))
    if fallen >= min(plant.threshold, plant.recall):
        return Delay(None, None, None, None, inf)
    rng = np.random.default_rng(1)
    meters = Meters(plant.threshold, budget, limit, drawn)
    before = plant.bucket_parts * _rates(plant, plant.recall, drawn, NEAR)
    for _ in range(REST):
        meters.close(eventful(rng, before)[1])
    new = (plant.recall - fallen) / (1 - fallen)
    mixed = [new * share + (1 - new) * near for share, near in zip(misses, NEAR, strict=True)]
    after = plant.bucket_parts * _rates(plant, fallen, drawn, mixed)
    paged_at, watched = first_pages(rng, meters, after, DAYS / bucket_days)
    (parts, days), (late_parts, late_days) = (
        (int(at) * plant.bucket_parts, at * bucket_days) if at <= watched else (None, None)
        for at in quantiles(paged_at)
    )
    return Delay(parts, late_parts, days, late_days, watched * bucket_days)


def _rates(plant: Plant, recall: float, drawn: Sequence[int], misses: Sequence[float]) -> Array:
    """Expected hits, then audited misses per band, in one inspected part."""
    missed = plant.prevalence * (1 - recall) / sum(misses)
    return np.array([plant.prevalence * recall, *(missed * share / w for share, w in zip(misses, drawn, strict=True))])


def budget_for(plant: Plant, days: float, misses: Sequence[float] = UNSEEN) -> float | None:
    """The smallest budget with which half of all lines are PROVEN within so many days; None when even a census is too slow."""
    if not days > 0:
        raise InvalidInput(f"days {days:g}: expected a number above 0")

    def enough(budget: float) -> bool:
        proof = to_prove(plant, budget, misses)
        return proof.median is not None and proof.median.days <= days

    if not enough(1.0):
        return None
    low, high = 1e-6, 1.0
    while high / low > 1.03:
        middle = sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
