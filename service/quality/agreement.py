"""How far inspectors agree, from the parts that two or more of them have labelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

from service.quality.kappa import kappa_of, of_pairs, of_raters
from service.quality.recall import proportion
from service.records import AgreementState, Estimate, InspectorAgreement, Kappa


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


@lru_cache(maxsize=1024)
def _of_pairs(table: tuple[tuple[tuple[str, str], int], ...]) -> Kappa:
    """Remembered: a line is asked every second, and most pairs have labelled nothing new since."""
    return kappa_of([(of_pairs([said]), n) for said, n in table])


@lru_cache(maxsize=64)
def _of_parts(table: tuple[tuple[tuple[str, ...], int], ...]) -> Kappa:
    return kappa_of([(of_raters([said]), n) for said, n in table])


class Agreement:
    """Counts over the parts of one line; what one part adds can be taken back."""

    def __init__(self) -> None:
        self._pairs: defaultdict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        self._answers: Counter[tuple[str, str, str]] = Counter()
        self._parts: Counter[tuple[str, ...]] = Counter()

    def count(self, said: Mapping[str, str], step: int = 1) -> None:
        """said: {inspector: newest label} of one part; step -1 takes it back."""
        if len(said) < 2:
            return
        for one, other in combinations(sorted(said), 2):
            self._pairs[one, other][said[one], said[other]] += step
        self._parts[tuple(sorted(said.values()))] += step
        truth = majority(said)
        if truth is not None:
            self._answers.update({(name, truth, label): step for name, label in said.items()})

    def state(self, good: str) -> AgreementState:
        """Shares against what most inspectors of a part said, with Clopper-Pearson limits; kappas by pair and over all.

        Sorted, because sums in another order may differ in the last digit: the order in which labels came must not matter.
        """
        names = sorted({name for name, *_ in self._answers})
        tables = {names: table for names, table in sorted(self._pairs.items()) if table.total()}
        return AgreementState(
            tuple(InspectorAgreement(name, *self._shares(name, good)) for name in names),
            {names: (kappa(table), table.total()) for names, table in tables.items()},
            {names: _of_pairs(tuple(sorted((+table).items()))) for names, table in tables.items()},
            _of_parts(tuple(sorted((+self._parts).items()))) if +self._parts else None,
        )

    def _shares(self, name: str, good: str) -> tuple[Estimate, Estimate]:
        said = Counter[tuple[bool, bool]]()
        for (who, truth, label), n in self._answers.items():
            if who == name:
                said[truth == good, label == good] += n
        missed = proportion(said[False, True], said[False, True] + said[False, False])
        false_alarm = proportion(said[True, False], said[True, True] + said[True, False])
        return (
            missed if missed.events else replace(missed, reason="no defect was labelled by two or more yet"),
            false_alarm
            if false_alarm.events
            else replace(false_alarm, reason="no good part was labelled by two or more yet"),
        )
