"""A shadow against the model that has the say, on the same parts: who caught what the other missed.

Parts that the active model flagged are looked at again, each counts once. What it passed is known of audited parts alone, and each
of those stands for as many as its weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from service.quality.recall import p_value
from service.records import ALL, Comparison, OneSided

SURE = 0.05
"""A difference is called one up to this p-value, which is for one look, settled beforehand: who looks daily sees one by chance."""


class Paired:
    """Two models on the parts of one line that both have judged.

    weights: {weight of the draw: parts, drawn or not}. counts: {(actual, what the active one said, what the shadow said, weight): settled parts that were rejected
    or audited}. A model says `good` or the defect it takes the part for.
    """

    def __init__(self, active: str, shadow: str) -> None:
        self.active, self.shadow = active, shadow
        self.weights: Counter[int] = Counter()
        self.counts: Counter[tuple[str, str, str, int]] = Counter()

    def compare(self, defect: str, good: str) -> Comparison:
        """What the settled parts say of one defect (ALL: any)."""
        return Comparison(
            active=self.active,
            shadow=self.shadow,
            defect=defect,
            parts=self.weights.total(),
            labelled=sum(self.counts.values()),
            recall=(self._recall(0, defect, good), self._recall(1, defect, good)),
            precision=(self._precision(0, defect, good), self._precision(1, defect, good)),
            caught=self._one_sided(good, lambda actual: actual == defect if defect != ALL else actual != good),
            false_rejects=self._one_sided(good, lambda actual: actual == good),
        )

    def _recall(self, model: int, defect: str, good: str) -> float | None:
        """Horvitz-Thompson, as everywhere: weighted defects that this one flagged / all of them."""
        mine = {key: n for key, n in self.counts.items() if (key[0] == defect if defect != ALL else key[0] != good)}
        return _share(mine, lambda key: key[1 + model] != good)

    def _precision(self, model: int, defect: str, good: str) -> float | None:
        """Of what this one takes for the defect (ALL: any), the weighted share that is defective."""
        said = {
            key: n
            for key, n in self.counts.items()
            if (key[1 + model] == defect if defect != ALL else key[1 + model] != good)
        }
        return _share(said, lambda key: key[0] != good)

    def _one_sided(self, good: str, wanted: Callable[[str], bool]) -> OneSided:
        """McNemar's question, of weighted parts: were as many flagged by the active one alone as by the shadow alone?"""
        only_active, only_shadow = 0, Counter[int]()
        for (actual, active, shadow, weight), n in self.counts.items():
            if wanted(actual) and (active == good) != (shadow == good):
                if shadow == good:
                    only_active += n
                else:
                    only_shadow[weight] += n
        found = sum(only_shadow.values())
        largest = max((weight for weight, n in self.weights.items() if n), default=1)
        p = p_value(only_active, only_shadow, largest, 0.5) if only_active + found else None
        return OneSided(only_active, sum(weight * n for weight, n in only_shadow.items()), found, p)


def in_words(one: Comparison) -> str:
    """What may be said of the shadow, in one sentence."""
    caught = _difference(
        one.caught, "catches more defects", "misses defects that the active model catches", "catches as many"
    )
    rejects = _difference(
        one.false_rejects, "rejects more good parts", "rejects fewer good parts", "rejects as many good parts"
    )
    return f"the shadow {caught} and {rejects}"


def _difference(found: OneSided, more: str, fewer: str, same: str) -> str:
    if found.p_value is None:
        return f"{same} (no part on which the two differ)"
    if found.p_value > SURE:
        return f"{same}, for all that is known (p = {found.p_value:.2f})"
    p = f"p = {found.p_value:.2g}" if found.p_value >= 0.0001 else "p < 0.0001"
    return f"{more if found.by_shadow > found.by_active else fewer} ({p})"


def _share(
    counts: dict[tuple[str, str, str, int], int], wanted: Callable[[tuple[str, str, str, int]], bool]
) -> float | None:
    total = sum(key[3] * n for key, n in counts.items())
    return sum(key[3] * n for key, n in counts.items() if wanted(key)) / total if total else None
