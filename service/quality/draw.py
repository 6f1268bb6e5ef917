"""The audit draw: which passed parts a person looks at, with known probability and without state."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import sqrt

from scipy.special import chdtrc

BAND_EDGES = (0.1, 0.25, 0.5, 0.75)
"""Score bands on u, the largest score / threshold: [0, .1), [.1, .25), [.25, .5), [.5, .75), [.75, 1)."""

BANDS = len(BAND_EDGES) + 1

DEFAULT_GUESSES = (2e-4, 2e-4, 4e-4, 5e-3, 0.2)
"""Miss probability per band before anything is known of a line (SPEC, "The audit draw")."""

DEFAULT_SHARES = (0.6, 0.2, 0.12, 0.05, 0.03)
"""Share of passed parts per band before anything is known; only spreads the first budget, never enters an estimate."""

SURGE = 4
"""Audits are drawn so many times as often while evidence rises (SPEC, "Surge")."""

PRIOR_PARTS = 1000
"""So many parts does the default spread over the bands count for, against what closed buckets show."""

UNIFORM_SHARE = 0.5
"""Part of the budget that is drawn uniformly, because a new kind of defect scores like a good part."""


def band(exceedance: float) -> int:
    """The score band of a passed part with u = exceedance in [0, 1).

    >>> [band(u) for u in (0.0, 0.1, 0.49, 0.99)]
    [0, 1, 2, 4]
    """
    return sum(exceedance >= edge for edge in BAND_EDGES)


def drawn(key: bytes, part_id: str, weight: int) -> bool:
    """Whether the part is drawn: first 8 bytes of HMAC-SHA256(key, part_id) < floor(2^64 / weight).

    The same on every worker and on replay; nobody without the key can predict it.

    >>> drawn(b"test-key-0001", "LINE1-000031", 50), drawn(b"test-key-0001", "LINE1-000032", 50)
    (True, False)
    """
    if weight < 1:
        raise ValueError(f"weight {weight}: expected an integer of at least 1")
    digest = hmac.digest(key, part_id.encode(), sha256)
    return int.from_bytes(digest[:8], "big") < 2**64 // weight


def weights(budget: float, shares: Sequence[float], guesses: Sequence[float]) -> list[int]:
    """One integer weight per band that spends `budget`, the share of passed parts to audit.

    shares: share of passed parts per band. guesses: miss probability per band. Draw probability
    pi = min(1, budget/2 + k sqrt(guess)), k such that the shares' mean of pi is the budget (the allocation of
    least variance, Neyman, over a uniform floor); weight = round(1/pi), at least 1.

    >>> weights(1.0, [0.9, 0.1], [0.001, 0.1])
    [1, 1]
    """
    if not 0 < budget <= 1 or len(shares) != len(guesses) or sum(shares) <= 0:
        raise ValueError(
            f"budget {budget}, shares {shares}, guesses {guesses}: expected a ratio and equally many of both"
        )
    total = sum(shares)
    floor = budget * UNIFORM_SHARE

    def probabilities(k: float) -> list[float]:
        return [min(1.0, floor + k * sqrt(guess)) for guess in guesses]

    def spent(k: float) -> float:
        return sum(share * pi for share, pi in zip(shares, probabilities(k), strict=True)) / total

    low, high = 0.0, 1.0
    while spent(high) < budget and high < 1e12:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) < budget else (low, middle)
    return [max(1, round(1 / pi)) for pi in probabilities(high)]


def surged(budget: float, surge: bool) -> float:
    """The budget in force: SURGE times the wished one while evidence rises."""
    return min(1.0, SURGE * budget) if surge else budget


def learned_shares(passed: Mapping[tuple[int, int], int]) -> list[float]:
    """Share of passed parts per band. passed: {(band, weight): parts} of closed buckets; at first the default counts most."""
    seen = [sum(n for (at, _), n in passed.items() if at == band) for band in range(BANDS)]
    return [
        (share * PRIOR_PARTS + n) / (PRIOR_PARTS + sum(seen)) for share, n in zip(DEFAULT_SHARES, seen, strict=True)
    ]


def learned_guesses(
    audits: Mapping[tuple[str, int, int], int], good: str, first: Sequence[float] = DEFAULT_GUESSES
) -> list[float]:
    """Miss probability per band: audited misses / audited parts, with the first guess as one miss that was found before.

    audits: {(actual, band, weight): settled audited parts} of closed buckets.
    """
    found = []
    for band, guess in enumerate(first):
        audited = sum(n for (_, at, _), n in audits.items() if at == band)
        misses = sum(n for (actual, at, _), n in audits.items() if at == band and actual != good)
        found.append((1 + misses) / (1 / max(guess, 1e-6) + audited))
    return found


def worth_changing(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether new weights differ enough from the old ones to be written down: a quarter, in any band."""
    return any(max(old, new) > 1.25 * min(old, new) for old, new in zip(before, after, strict=True))


def draw_check(passed: Mapping[tuple[int, int], int], drawn: Mapping[tuple[int, int], int]) -> float | None:
    """Probability of draw counts at least this far from their probabilities: Pearson's chi-square over bands and weights.

    passed, drawn: {(band, weight): parts}. Cells that expect fewer than 5 draws are added up to one. None where even that
    expects fewer, 0 where a part of weight 1 was not drawn.

    >>> round(draw_check({(0, 50): 10_000}, {(0, 50): 200}), 3), draw_check({(0, 50): 10_000}, {(0, 50): 300}) < 1e-6
    (1.0, True)
    """
    cells: list[tuple[float, float, float]] = []
    few = [0.0, 0.0, 0.0]
    for cell, parts in passed.items():
        expected, seen = parts / cell[1], drawn.get(cell, 0)
        if cell[1] == 1 and seen != parts:
            return 0.0
        one = (seen, expected, expected * (1 - 1 / cell[1]))
        if expected >= 5:
            cells.append(one)
        else:
            few = [total + value for total, value in zip(few, one, strict=True)]
    if few[1] >= 5:
        cells.append((few[0], few[1], few[2]))
    cells = [cell for cell in cells if cell[2] > 0]
    if not cells:
        return None
    return float(chdtrc(len(cells), sum((seen - expected) ** 2 / variance for seen, expected, variance in cells)))
