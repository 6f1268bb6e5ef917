"""The audit draw: which passed parts a person looks at, with known probability and without state."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from math import sqrt

BAND_EDGES = (0.1, 0.25, 0.5, 0.75)
"""Score bands on u, the largest score / threshold: [0, .1), [.1, .25), [.25, .5), [.5, .75), [.75, 1)."""

BANDS = len(BAND_EDGES) + 1

DEFAULT_GUESSES = (2e-4, 2e-4, 4e-4, 5e-3, 0.2)
"""Miss probability per band before anything is known of a line (SPEC, "The audit draw")."""

DEFAULT_SHARES = (0.6, 0.2, 0.12, 0.05, 0.03)
"""Share of passed parts per band before anything is known; only spreads the first budget, never enters an estimate."""

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
