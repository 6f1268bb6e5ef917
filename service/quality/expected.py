"""What the scores alone say: recall that may be expected, and how far the scores have drifted. Hints, never a page.

Both assume that a score still means what it meant in validation; a new kind of defect is invisible to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, floor, log

from service.records import ALL, ModelInForce

BINS = 64
"""Of a probability, equally wide in its logarithm of odds from -8 to 8; the outermost hold everything beyond."""

_HALF = 8.0
COARSE = 10
SCORED = 10
"""So many full buckets, the newest ones, are looked at."""

NEEDS = 500
"""So many parts must have been scored before anything is said."""


class Scores:
    """The scores of a line's newest full buckets, counted per row and bin. rows: ALL first, then the defects."""

    def __init__(self, rows: Sequence[str]) -> None:
        self._rows = rows
        self._buckets: dict[int, Counter[tuple[int, int, bool]]] = {}
        self._newest = self._first = -1
        self._said: tuple[dict[str, float], float | None] | None = None

    def begin(self, number: int) -> None:
        """Another model took over with bucket `number`: scores of one model say nothing of another."""
        self._first, self._said = number, None
        self._buckets.clear()

    def add(self, number: int, probabilities: Sequence[float], flagged: bool, step: int = 1) -> None:
        """Counts one part of bucket `number`, with P(defect) of each row; step -1 takes it back."""
        if number > self._newest:
            self._newest, self._said = number, None
            self._buckets = {at: kept for at, kept in self._buckets.items() if at >= number - SCORED}
        if number >= max(self._newest - SCORED, self._first):
            counts = self._buckets.setdefault(number, Counter())
            counts.update({(row, bin_of(p), flagged): step for row, p in enumerate(probabilities)})

    def say(self, model: ModelInForce | None) -> tuple[dict[str, float], float | None]:
        """({row: expected recall}, drift) over the full buckets; what cannot be said is absent, or None."""
        if model is None or not model.scores:
            return {}, None
        if self._said is None:
            self._said = self._computed(model)
        return self._said

    def _computed(self, model: ModelInForce) -> tuple[dict[str, float], float | None]:
        counts = sum(
            (kept for at, kept in self._buckets.items() if at < self._newest), Counter[tuple[int, int, bool]]()
        )
        pictures = {name: sum(bins) for name, bins in model.scores.items()}
        total = sum(pictures.values())
        expected: dict[str, float] = {}
        for number, row in enumerate(self._rows):
            of_row = {(at, flagged): n for (one, at, flagged), n in counts.items() if one == number}
            trained = total - pictures.get(model.good, 0) if row == ALL else pictures.get(row, 0)
            recall = expected_recall(of_row, trained / total if total else 0.0)
            if recall is not None:
                expected[row] = recall
        seen = Counter[int]()
        for (row_number, at, _), n in counts.items():
            if row_number == 0:
                seen[at] += n
        bad = [sum(bins) for bins in zip(*(model.scores[name] for name in model.defects), strict=True)]
        return expected, drift(seen, model.scores[model.good], bad)


def bin_of(probability: float) -> int:
    """The bin of a probability.

    >>> bin_of(0.0), bin_of(0.5), bin_of(1.0)
    (0, 32, 63)
    """
    if not 0 < probability < 1:
        return 0 if probability <= 0 else BINS - 1
    odds = log(probability / (1 - probability))
    return min(BINS - 1, max(0, floor((odds + _HALF) / (2 * _HALF) * BINS)))


def _centre(at: int) -> float:
    return 1 / (1 + exp(_HALF - (at + 0.5) * 2 * _HALF / BINS))


def expected_recall(scores: Mapping[tuple[int, bool], int], trained_share: float) -> float | None:
    """Sum of P(defect) over flagged parts / over all parts (SPEC, "Without labels").

    scores: {(bin of P(defect), flagged): parts}. trained_share: share of the defect among the pictures that the scores were
    calibrated on. The share on the line is another: it is found, and the scores corrected for it, by the EM iteration of
    Saerens, Latinne and Decaestecker (2002). None with fewer than NEEDS parts.
    """
    total = sum(scores.values())
    if total < NEEDS or not 0 < trained_share < 1:
        return None
    share = trained_share
    corrected: dict[int, float] = {}
    for _ in range(200):
        up, down = share / trained_share, (1 - share) / (1 - trained_share)
        corrected = {at: up * (p := _centre(at)) / (up * p + down * (1 - p)) for at in {at for at, _ in scores}}
        found = sum(corrected[at] * n for (at, _), n in scores.items()) / total
        if abs(found - share) < 1e-9:
            break
        share = min(max(found, 1e-9), 1 - 1e-9)
    defective = sum(corrected[at] * n for (at, _), n in scores.items())
    return sum(corrected[at] * n for (at, flagged), n in scores.items() if flagged) / defective if defective else None


def drift(scores: Mapping[int, int], good: Sequence[int], defective: Sequence[int]) -> float | None:
    """Population stability index: sum of (seen - expected) ln(seen / expected) over ten equally filled bins.

    scores: {bin of P(defective): parts}. good, defective: validation counts per bin. Expected is their mixture in the
    proportion that fits the seen scores best, so that another defect rate alone is no drift. None with too few parts.
    """
    total = sum(scores.values())
    if total < NEEDS or not sum(good) or not sum(defective):
        return None
    of_good, of_bad = _smooth(good), _smooth(defective)
    share = 0.5
    for _ in range(500):
        found = sum(
            n * share * of_bad[at] / (share * of_bad[at] + (1 - share) * of_good[at]) for at, n in scores.items()
        )
        if abs(found / total - share) < 1e-9:
            break
        share = found / total
    wanted = [share * bad + (1 - share) * fine for bad, fine in zip(of_bad, of_good, strict=True)]
    cut, filled = Counter[int](), Counter[int]()
    below = 0.0
    edges: dict[int, float] = {}
    for at, probability in enumerate(wanted):
        coarse = min(COARSE - 1, floor((below + probability / 2) * COARSE))
        edges[coarse] = edges.get(coarse, 0.0) + probability
        cut[at] = coarse
        below += probability
    for at, n in scores.items():
        filled[cut[at]] += n
    return sum(_term(filled[coarse] / total, probability) for coarse, probability in edges.items())


def _smooth(counts: Sequence[int]) -> list[float]:
    """Half a part is added to each bin, spread over its neighbours: validation sets are small."""
    padded = [counts[0], *counts, counts[-1]]
    spread = [(padded[at - 1] + 2 * padded[at] + padded[at + 1]) / 4 + 0.01 for at in range(1, BINS + 1)]
    return [n / sum(spread) for n in spread]


def _term(seen: float, wanted: float) -> float:
    seen, wanted = max(seen, 1e-4), max(wanted, 1e-4)
    return (seen - wanted) * log(seen / wanted)
