"""Whether the model judges well: against chance, against always saying "good", class by class, and against what it has seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from service.gate.case import Case
from service.model.judge import Judged
from service.model.passport import Check, Verdict, held
from service.quality.recall import proportion
from service.records import Estimate

LOST = 1.1
"""A validation loss of so many times its lowest has turned."""


def checks(case: Case) -> Iterator[Check]:
    yield from _learning(case)
    yield from _overfitting(case)
    yield _chance(case.judged)
    yield _paradox(case.judged)
    for name in case.contract.classes:
        yield _class("recall", name, case.judged.confusion.recall(name), case.rule.recall)
    for name in case.contract.classes:
        yield _class("precision", name, case.judged.confusion.precision(name), case.rule.precision)
    yield _imbalance(case)


def _learning(case: Case) -> Iterator[Check]:
    """Only where the model says how its training went."""
    curves = case.contract.curves
    if curves is None or not curves.training_loss:
        return
    lowest = min(curves.validation_loss)
    kept = curves.validation_loss[curves.kept]
    fell = curves.training_loss[curves.kept] < curves.training_loss[0] or len(curves.training_loss) == 1
    turned = kept / lowest if lowest > 0 else 1.0
    if not fell:
        why = "The training loss did not fall: the model has learned nothing from its pictures."
    elif turned > LOST:
        why = (
            f"The validation loss had turned: that of the model that was kept is {turned:.2f} times the lowest of its training. It went on "
            "learning its own pictures by heart; keep the epoch of the lowest validation loss."
        )
    else:
        why = (
            f"The training loss fell from {curves.training_loss[0]:.3f} to {curves.training_loss[curves.kept]:.3f}, and the validation "
            f"loss of the epoch that was kept, {kept:.3f}, is the lowest or near it."
        )
    verdict: Verdict = "pass" if fell and turned <= LOST else "refuse"
    yield Check(name="learning", value=round(turned, 4), limit=LOST, verdict=verdict, why=why)


def _overfitting(case: Case) -> Iterator[Check]:
    known = case.remembered
    if known is None:
        return
    gap, limit = known.accuracy - case.judged.accuracy, case.rule.overfitting
    figures = f"{known.accuracy:.1%} of the pictures it was trained on are judged right, {case.judged.accuracy:.1%} of those it never saw"
    caught = ", ".join(
        f"{share.point:.0%} of {name}"
        for name in case.contract.thresholds
        if (share := case.judged.confusion.recall(name)).point is not None
    )
    if gap > limit:
        why = f"{figures}: it knows its pictures by heart rather than what a defect is. Of the unseen ones it catches {caught}."
    else:
        why = f"{figures}."
    yield held("overfitting", gap, limit, gap <= limit, why)


def _chance(judged: Judged) -> Check:
    found = judged.area_limits()
    bad, good = int(judged.defective.sum()), int((~judged.defective).sum())
    if found is None:
        why = f"There are {bad} defective and {good} good pictures; without both nothing can be said."
        return Check(name="chance", value=None, limit=0.5, verdict="undecided", why=why)
    area, lower, upper = found
    figures = f"A defective part scores above a good one in {area:.1%} of all pairs ({lower:.1%} to {upper:.1%})"
    if lower > 0.5:
        return Check(name="chance", value=area, limit=0.5, verdict="pass", why=f"{figures}; a coin would in 50 %.")
    verdict: Verdict = "undecided" if upper > 0.6 else "refuse"
    if upper < 0.5:
        why = f"{figures}: worse than a coin. Good and defective seem to be exchanged."
    else:
        why = f"{figures}: no better than a coin. The model tells nothing apart."
    return Check(name="chance", value=area, limit=0.5, verdict=verdict, why=why)


def _paradox(judged: Judged) -> Check:
    """Mean recall over the classes: always giving one answer has 1 / classes of it, however many parts are good."""
    classes = judged.contract.classes
    recalls = [share.point for name in classes if (share := judged.confusion.recall(name)).point is not None]
    balanced, idle = float(np.mean(recalls)), 1 / len(recalls)
    always = float((~judged.defective).mean())
    said = float((judged.predicted == judged.contract.good).mean())
    figures = (
        f"Always saying {judged.contract.good!r} would be right for {always:.1%} of these pictures; the model is for {judged.accuracy:.1%}. "
        f"Averaged over the classes it is right for {balanced:.1%}, always giving one answer for {idle:.1%}"
    )
    if balanced <= idle * 1.05:
        why = (
            f"{figures}: its accuracy is that of a model that looks at nothing (the accuracy paradox). It calls {said:.1%} of all parts "
            f"{judged.contract.good!r}."
        )
        return Check(name="always good", value=balanced, limit=idle, verdict="refuse", why=why)
    return Check(name="always good", value=balanced, limit=idle, verdict="pass", why=f"{figures}.")


def _class(kind: str, name: str, share: Estimate, limit: float) -> Check:
    what = f"Of the {name!r} parts" if kind == "recall" else f"Of the parts called {name!r}"
    done = "are recognised" if kind == "recall" else "truly are"
    label = f"{kind} of {name}"
    count = round(share.denominator)
    if share.point is None:
        why = f"{what} there is none among the pictures; {_needed(limit)} would be needed at the least."
        return Check(name=label, value=None, limit=limit, verdict="undecided", why=why)
    figures = f"{what} {share.point:.1%} {done} ({round(share.numerator)} of {count}; {share.lower:.1%} to {share.upper:.1%} with 95 % confidence)"
    if share.lower >= limit:
        return Check(
            name=label,
            value=share.lower,
            limit=limit,
            verdict="pass",
            why=f"{figures}, proven to be at least {limit:.0%}.",
        )
    if share.upper < limit:
        why = f"{figures}: below {limit:.0%}, and not by chance."
        return Check(name=label, value=share.lower, limit=limit, verdict="refuse", why=why)
    more = more_pictures(share.point, limit)
    advice = (
        f"about {more - count} more such pictures could prove it, if the share stays"
        if more is not None and more > count
        else "more pictures would not prove it unless the model gets better"
    )
    why = f"{figures}: too few to say whether that is at least {limit:.0%}; {advice}."
    return Check(name=label, value=share.lower, limit=limit, verdict="undecided", why=why)


def more_pictures(point: float, limit: float) -> int | None:
    """So many pictures of which the share `point` is right prove `limit`; None: none do.

    >>> more_pictures(0.85, 0.80), more_pictures(0.79, 0.80)
    (249, None)
    """
    if point <= limit:
        return None
    low, high = 1, 1
    while proportion(int(high * point), high).lower < limit:
        low, high = high, high * 2
        if high > 10_000_000:
            return None
    while low < high:
        middle = (low + high) // 2
        if proportion(int(middle * point), middle).lower < limit:
            low = middle + 1
        else:
            high = middle
    return high


def _needed(limit: float) -> int:
    """So many pictures, all of them right, prove the limit."""
    return more_pictures(1.0, limit) or 0


def _imbalance(case: Case) -> Check:
    if case.training is not None:
        counts = case.training.counts
    else:
        samples = case.part("train") if case.own else case.data.samples
        counts = {name: sum(one.label == name for one in samples) for name in case.contract.classes}
    counts = {name: counts.get(name, 0) for name in case.contract.classes}
    most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    ratio, limit = counts[most] / max(counts[least], 1), case.rule.imbalance
    where = "trained on" if case.own or case.training is not None else "judged on"
    why = f"It was {where} {counts[most]} pictures of {most!r} and {counts[least]} of {least!r}."
    if ratio > limit:
        why += f" With so few, what it says of {least!r} rests on hardly anything; photograph more of them."
    return held("imbalance", ratio, limit, ratio <= limit, why)
