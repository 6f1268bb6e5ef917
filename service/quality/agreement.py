"""How far inspectors agree, from the parts that two or more of them have labelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations

from service.quality.recall import proportion
from service.records import AgreementState, Estimate, InspectorAgreement


def kappa(pairs: Mapping[tuple[str, str], int]) -> float | None:
    """Cohen's kappa (1960) of {(what one said, what the other said): parts}; None where chance alone would agree.

    >>> round(kappa({("bad", "bad"): 20, ("bad", "good"): 5, ("good", "bad"): 10, ("good", "good"): 15}), 3)
    0.4
    """
    total = sum(pairs.values())
    if not total:
        return None
    one: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for (said, answered), n in pairs.items():
        one[said] += n
        other[answered] += n
    agreed = sum(n for (said, answered), n in pairs.items() if said == answered) / total
    by_chance = sum(one[name] * other[name] for name in one) / total**2
    return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else None


def majority(said: Mapping[str, str]) -> str | None:
    """What more than half of the inspectors said, None where no class has that many."""
    label, votes = Counter(said.values()).most_common(1)[0]
    return label if 2 * votes > len(said) else None


class Agreement:
    """Counts over the parts of one line; what one part adds can be taken back."""

    def __init__(self) -> None:
        self._pairs: defaultdict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        self._answers: Counter[tuple[str, str, str]] = Counter()

    def count(self, said: Mapping[str, str], step: int = 1) -> None:
        """said: {inspector: newest label} of one part; step -1 takes it back."""
        if len(said) < 2:
            return
        for one, other in combinations(sorted(said), 2):
            self._pairs[one, other][said[one], said[other]] += step
        truth = majority(said)
        if truth is not None:
            self._answers.update({(name, truth, label): step for name, label in said.items()})

    def state(self, good: str) -> AgreementState:
        """Shares against what most inspectors of a part said, with Clopper-Pearson limits."""
        names = sorted({name for name, *_ in self._answers})
        return AgreementState(
            tuple(InspectorAgreement(name, *self._shares(name, good)) for name in names),
            {names: (kappa(table), table.total()) for names, table in sorted(self._pairs.items()) if table.total()},
        )

    def _shares(self, name: str, good: str) -> tuple[Estimate, Estimate]:
        said = Counter[tuple[bool, bool]]()
        for (who, truth, label), n in self._answers.items():
            if who == name:
                said[truth == good, label == good] += n
        return (
            proportion(said[False, True], said[False, True] + said[False, False]),
            proportion(said[True, False], said[True, True] + said[True, False]),
        )
