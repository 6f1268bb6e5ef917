"""An attribute agreement study: how well inspectors agree with themselves, with each other and with what the parts are.

After the attribute agreement study of the AIAG manual "Measurement Systems Analysis" (4th edition, chapter III, section C), whose
figures and limits these are. What it leaves open is decided in docs/agreement.md. Statistics only; who gets which part is the station's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from scipy.special import betaincinv

from service.quality.kappa import Tally, kappa_of, of_pairs, of_raters
from service.quality.recall import proportion
from service.records import UNSURE, Estimate, Kappa, Study, StudyAnswer, StudyPart

Said = Mapping[int, str]
"""{trial: label} of one inspector on one part."""


@dataclass(frozen=True, slots=True)
class Appraiser:
    """One inspector. Limits count parts, not answers: see `share_of_parts`.

    within: parts that he called the same every time. effectiveness: parts that he called what they are every time. right: single
    answers that were right. missed, false_alarm: single answers "good" to a defect, and a defect to a good part. unsure: answers
    that decide nothing; they are not right, and neither a miss nor a false alarm.
    """

    inspector: str
    answered: int
    due: int
    within: Estimate
    effectiveness: Estimate
    right: Estimate
    missed: Estimate
    false_alarm: Estimate
    unsure: int
    within_kappa: Kappa
    reference_kappa: Kappa


@dataclass(frozen=True, slots=True)
class Differing:
    """A part on which not every answer was the reference. said: {inspector: his answers by trial}."""

    part: StudyPart
    said: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What a study says so far. between: parts on which all inspectors agreed every time; all_right: and were right.

    pairs: {(one, other): kappa of the same trial of both}. overall: of all inspectors (Fleiss). reference: of all answers with
    the references. due: answers asked for, 0 of a standing one. differing: parts, the most wrong answers first.
    """

    appraisers: tuple[Appraiser, ...]
    between: Estimate
    all_right: Estimate
    pairs: Mapping[tuple[str, str], Kappa]
    overall: Kappa
    reference: Kappa
    answered: int
    due: int
    differing: tuple[Differing, ...]

    @property
    def complete(self) -> bool:
        return 0 < self.due == self.answered


def share_of_parts(shares: Sequence[float], happened: int, answers: int, none: str) -> Estimate:
    """A share of answers, `happened` of `answers`, whose limits count each part once; shares: the share of each part's answers.

    Clopper-Pearson (1934) at the sum of the parts' shares. Several answers to one part are no new evidence when whoever errs
    errs again, and a share in [0, 1] is never more spread than a single 0 or 1 of the same mean (Hoeffding 1963).

    >>> found = share_of_parts([1.0, 0.0, 0.0, 0.0], 3, 12, "")
    >>> found.point, found.events, round(found.upper, 3)
    (0.25, 4, 0.806)
    """
    n, x = len(shares), sum(shares)
    lower = float(betaincinv(x, n - x + 1, 0.025)) if x > 0 else 0.0
    upper = float(betaincinv(x + 1, n - x, 0.975)) if x < n else 1.0
    point = x / n if n else None
    return Estimate(point, lower, upper, happened, answers, n, "" if n else none)


def result(study: Study, parts: Sequence[StudyPart], answers: Iterable[StudyAnswer]) -> Result:
    """What the answers say. answers: as they came; of one key the latest counts."""
    latest: dict[str, StudyAnswer] = {}
    for answer in sorted(answers, key=lambda answer: answer.answered_at):
        latest[answer.key] = answer
    said: defaultdict[str, defaultdict[str, dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
    for answer in latest.values():
        said[answer.inspector][answer.part_id][answer.trial] = answer.label
    names = study.inspectors or tuple(sorted(said))
    needed = study.trials or 1
    seen = {
        name: {part.part_id: said[name][part.part_id] for part in parts if said[name][part.part_id]} for name in names
    }
    whole = [part for part in parts if names and all(len(seen[name].get(part.part_id, ())) >= needed for name in names)]
    agreed = [
        part for part in whole if len({label for name in names for label in seen[name][part.part_id].values()}) == 1
    ]
    right = [part for part in agreed if seen[names[0]][part.part_id][1] == part.reference]
    return Result(
        appraisers=tuple(_appraiser(study, name, parts, seen[name]) for name in names),
        between=_share(len(agreed), len(whole)),
        all_right=_share(len(right), len(whole)),
        pairs={pair: _kappa(_pair(parts, *(seen[name] for name in pair))) for pair in combinations(names, 2)},
        overall=_kappa(_rounds(parts, [seen[name] for name in names])),
        reference=_kappa(_against(parts, [seen[name] for name in names])),
        answered=len(latest),
        due=len(parts) * study.trials * len(names),
        differing=_differing(parts, seen),
    )


def _appraiser(study: Study, name: str, parts: Sequence[StudyPart], seen: Mapping[str, Said]) -> Appraiser:
    often, needed = max(study.trials, 2), study.trials or 1
    repeated = [said for said in seen.values() if len(said) >= often]
    whole = [part for part in parts if len(seen.get(part.part_id, ())) >= needed]
    every = [part for part in whole if {*seen[part.part_id].values()} == {part.reference}]
    good, bad = ([part for part in parts if (part.reference == study.good) is is_good] for is_good in (True, False))
    return Appraiser(
        inspector=name,
        answered=sum(len(said) for said in seen.values()),
        due=len(parts) * study.trials,
        within=_share(
            sum(len({*said.values()}) == 1 for said in repeated), len(repeated), "no part was seen twice yet"
        ),
        effectiveness=_share(len(every), len(whole)),
        right=_answers(parts, seen, lambda label, part: label == part.reference, "no part was answered yet"),
        missed=_answers(bad, seen, lambda label, _: label == study.good, "no defect was answered yet"),
        false_alarm=_answers(
            good, seen, lambda label, _: label not in (study.good, UNSURE), "no good part was answered yet"
        ),
        unsure=sum(label == UNSURE for said in seen.values() for label in said.values()),
        within_kappa=_kappa([of_raters([[*said.values()]]) for said in seen.values() if len(said) > 1]),
        reference_kappa=_kappa(_against(parts, [seen])),
    )


def _answers(
    parts: Sequence[StudyPart], seen: Mapping[str, Said], counts: Callable[[str, StudyPart], bool], none: str
) -> Estimate:
    """The share of the answers to these parts that count."""
    each = [
        (sum(counts(label, part) for label in said.values()), len(said))
        for part in parts
        if (said := seen.get(part.part_id, {}))
    ]
    return share_of_parts([k / n for k, n in each], sum(k for k, _ in each), sum(n for _, n in each), none)


def _share(parts: int, of: int, none: str = "no part has all of its answers yet") -> Estimate:
    return replace(proportion(parts, of), reason="" if of else none)


def _kappa(tallies: Sequence[Tally]) -> Kappa:
    return kappa_of([(tally, 1) for tally in tallies])


def _pair(parts: Sequence[StudyPart], one: Mapping[str, Said], other: Mapping[str, Said]) -> list[Tally]:
    """The same trial of both, part by part."""
    both = [(one.get(part.part_id, {}), other.get(part.part_id, {})) for part in parts]
    return [of_pairs([(a[trial], b[trial]) for trial in a.keys() & b.keys()]) for a, b in both if a.keys() & b.keys()]


def _rounds(parts: Sequence[StudyPart], seen: Sequence[Mapping[str, Said]]) -> list[Tally]:
    """The answers of all inspectors to a part, trial by trial, where two or more answered."""
    found = []
    for part in parts:
        rounds: defaultdict[int, list[str]] = defaultdict(list)
        for one in seen:
            for trial, label in one.get(part.part_id, {}).items():
                rounds[trial].append(label)
        if judged := [labels for labels in rounds.values() if len(labels) > 1]:
            found.append(of_raters(judged))
    return found


def _against(parts: Sequence[StudyPart], seen: Sequence[Mapping[str, Said]]) -> list[Tally]:
    """All answers to a part, each beside what it is."""
    answers = [(part, [label for one in seen for label in one.get(part.part_id, {}).values()]) for part in parts]
    return [of_pairs([(label, part.reference) for label in labels]) for part, labels in answers if labels]


def _differing(parts: Sequence[StudyPart], seen: Mapping[str, Mapping[str, Said]]) -> tuple[Differing, ...]:
    found: list[tuple[float, Differing]] = []
    for part in parts:
        said = {
            name: tuple(label for _, label in sorted(of[part.part_id].items()))
            for name, of in seen.items()
            if part.part_id in of
        }
        labels = [label for answers in said.values() for label in answers]
        wrong = sum(label != part.reference for label in labels)
        if wrong:
            found.append((wrong / len(labels), Differing(part, said)))
    return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))
