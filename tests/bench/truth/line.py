"""A simulated line whose truth is known: counts per bucket, and the buckets that the service would have made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.quality.buckets import Bucket
from service.quality.draw import DEFAULT_GUESSES, DEFAULT_SHARES, weights
from service.records import ALL

GOOD, DEFECT, ROW = "good", "defect", ALL
FALSE_REJECTS = 0.01
"""Share of the good parts that are flagged."""

KINDS = {
    "near": (0.0, 0.0, 0.0, 0.0, 1.0),
    "mixed": tuple(share / 2 + (band == 4) / 2 for band, share in enumerate(DEFAULT_SHARES)),
    "unseen": DEFAULT_SHARES,
}
"""Where the misses lie, share per score band: near the threshold, half of them there, or all spread as good parts are."""

Ints = NDArray[np.int64]


def first_weights(budget: float) -> list[int]:
    """The weights of a line of which nothing is known yet."""
    return weights(budget, DEFAULT_SHARES, DEFAULT_GUESSES)


@dataclass(frozen=True, slots=True)
class Made:
    """What n buckets of a line hold. hits, false_rejects: (n,). missed, good: passed parts, (n, bands)."""

    hits: Ints
    false_rejects: Ints
    missed: Ints
    good: Ints

    def then(self, later: Self) -> Self:
        """This, and after it the later one."""
        pairs = zip(self._arrays(), later._arrays(), strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))

    def sliding(self, size: int) -> Self:
        """Each bucket with those before it, `size` in all; the first size - 1 are left out."""
        return type(self)(*(sliding(array, size) for array in self._arrays()))

    def _arrays(self) -> tuple[Ints, Ints, Ints, Ints]:
        return self.hits, self.false_rejects, self.missed, self.good


@dataclass(frozen=True, slots=True)
class Drawn:
    """The audited parts among them: (n, bands), or (bands,) of one bucket."""

    missed: Ints
    good: Ints


def make(dice: np.random.Generator, count: int, parts: int, prevalence: float, recall: float, kind: str) -> Made:
    """`count` buckets. prevalence: P(defective). recall: P(flagged | defective). kind: one of KINDS."""
    defective = dice.binomial(parts, prevalence, count)
    hits = dice.binomial(defective, recall)
    false_rejects = dice.binomial(parts - defective, FALSE_REJECTS)
    missed = dice.multinomial(defective - hits, KINDS[kind])
    good = dice.multinomial(parts - defective - false_rejects, DEFAULT_SHARES)
    return Made(hits, false_rejects, missed, good)


def draw(dice: np.random.Generator, missed: Ints, good: Ints, spread: Sequence[int]) -> Drawn:
    """Each passed part is drawn with probability 1 / weight of its band."""
    found = dice.binomial(np.stack([missed, good]), 1 / np.asarray(spread))
    return Drawn(found[0], found[1])


def bucket(made: Made, number: int, audited: Drawn, spread: Sequence[int], budget: float, at: float = 0.0) -> Bucket:
    """Bucket `number` with every reject and every audit labelled rightly. audited: of
    this bucket. at: its end in seconds, one part a second."""
    hits, false_rejects = int(made.hits[number]), int(made.false_rejects[number])
    missed, good = audited.missed.tolist(), audited.good.tolist()
    passed = (made.missed[number] + made.good[number]).tolist()
    bands = list(enumerate(spread))
    audits = {(GOOD, band, weight): n for (band, weight), n in zip(bands, good, strict=True)}
    audits |= {(DEFECT, band, weight): n for (band, weight), n in zip(bands, missed, strict=True) if n}
    parts = sum(passed) + hits + false_rejects
    return Bucket(
        parts=parts,
        flagged=hits + false_rejects,
        budget=budget,
        end=int(at),
        first_captured_at=at - parts,
        last_captured_at=at,
        passed=Counter(dict(zip(bands, passed, strict=True))),
        drawn=Counter({key: a + b for key, a, b in zip(bands, missed, good, strict=True)}),
        rejects=Counter({(DEFECT, DEFECT): hits, (GOOD, DEFECT): false_rejects}),
        audits=Counter(audits),
    )


def sliding(array: Ints, size: int) -> Ints:
    """Sums over `size` neighbours along the first axis."""
    total = np.concatenate([np.zeros_like(array[:1]), array.cumsum(axis=0)])
    sums: Ints = total[size:] - total[:-size]
    return sums
