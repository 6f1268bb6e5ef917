"""Which parts go into a study: of known truth, and enough of them near the decision threshold, where people differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from service.errors import InvalidInput
from service.quality.truth import opinions
from service.records import Kind, RecordedLabel, StudyPart, Verdict

NEAR: Final = 1.5
"""A part is borderline whose exceedance lies within this factor of 1, above or below."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A part whose truth is known. known_by: the inspectors who said so."""

    verdict: Verdict
    reference: str
    known_by: tuple[str, ...] = ()


def known(labels: Sequence[RecordedLabel], unanimous: bool = False) -> tuple[str, tuple[str, ...]] | None:
    """What two or more inspectors say it is, and who of them; None where fewer do, or no more than others say something else."""
    said = opinions(labels)
    votes = Counter(said.values())
    label, most = votes.most_common(1)[0] if votes else ("", 0)
    if most < 2 or 2 * most <= len(said) or (unanimous and most < len(said)):
        return None
    return label, tuple(sorted(name for name, answer in said.items() if answer == label))


def kind_of(candidate: Candidate, good: str) -> Kind:
    if 1 / NEAR <= candidate.verdict.exceedance <= NEAR:
        return Kind.BORDERLINE
    return Kind.GOOD if candidate.reference == good else Kind.DEFECT


def shared_out(parts: int, mix: Mapping[Kind, float]) -> dict[Kind, int]:
    """So many parts of each kind, all of them together `parts` (largest remainders).

    >>> [*shared_out(10, {Kind.DEFECT: 1, Kind.GOOD: 1, Kind.BORDERLINE: 1}).values()]
    [4, 3, 3]
    """
    exact = {kind: parts * share / sum(mix.values()) for kind, share in mix.items()}
    counts = {kind: int(value) for kind, value in exact.items()}
    for kind in sorted(exact, key=lambda kind: counts[kind] - exact[kind])[: parts - sum(counts.values())]:
        counts[kind] += 1
    return counts


def chosen(
    candidates: Iterable[Candidate],
    good: str,
    wanted: Mapping[Kind, int],
    usable: Callable[[Verdict], bool],
    dice: Random,
    fewer: bool = False,
) -> list[StudyPart]:
    """So many of each kind, by lot. usable: whether a part can be shown; asked only of those that are to be taken.

    Raises InvalidInput that says of which kind there are too few; with `fewer`, only where there is none at all.
    """
    pools: dict[Kind, list[Candidate]] = {kind: [] for kind in wanted}
    for candidate in candidates:
        pools.setdefault(kind_of(candidate, good), []).append(candidate)
    taken: list[StudyPart] = []
    short: list[str] = []
    for kind, count in wanted.items():
        pool = pools[kind]
        dice.shuffle(pool)
        fit = _first(count, pool, usable)
        taken += [StudyPart(one.verdict.part_id, one.reference, kind, one.known_by) for one in fit]
        if len(fit) < count:
            short.append(f"{len(fit)} of {count} {kind.value} parts")
    if short and not (fewer and taken):
        raise InvalidInput(
            f"too few parts whose truth is known and whose picture is kept: {', '.join(short)}; "
            "expected more second looks, a reference file, fewer parts, or another mix"
        )
    return taken


def _first(count: int, pool: Sequence[Candidate], usable: Callable[[Verdict], bool]) -> list[Candidate]:
    found: list[Candidate] = []
    for candidate in pool:
        if len(found) == count:
            break
        if usable(candidate.verdict):
            found.append(candidate)
    return found
