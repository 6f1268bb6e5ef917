"""From counts to what is shown: recall, precision and state of one defect over one window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from service.quality.buckets import Bucket, Filed, merged
from service.quality.recall import escapes_of, estimate, of_sums, pointed, proportion, state
from service.quality.truth import settled
from service.records import Estimate, Outcome, RecordedLabel, RecordedVerdict, State, Verdict, WindowQuality

NO_CLOSED_BUCKET = "no closed bucket in the window yet: labels have not had time to arrive"


MOST_SCALED = 2.0**20


class Span(Protocol):
    """A window: the newest `parts`, or those of the last `hours`; the other one is None."""

    @property
    def parts(self) -> int | None: ...

    @property
    def hours(self) -> float | None: ...


def in_window(closed: Sequence[Bucket], window: Span, as_of: float, model: str, count: int | None = None) -> int:
    """Index of the first of the first `count` of `closed` (all; oldest first) that lies in the window, seen as of now; count
    when none does. A window begins anew with a model: it holds only what `model` has judged since it took over."""
    first = len(closed) if count is None else count
    parts = 0
    while first > 0:
        bucket = closed[first - 1]
        if bucket.model != model:
            break
        parts += bucket.parts
        if window.parts is not None and parts > window.parts:
            break
        if window.hours is not None and bucket.last_captured_at <= as_of - window.hours * 3600:
            break
        first -= 1
    return first


@dataclass(frozen=True, slots=True)
class Settling:
    """How a line settles what a part is. good: the class that is no defect; second_look: of audited defects."""

    good: str
    second_look: bool

    def actual(self, verdict: Verdict, labels: Sequence[RecordedLabel]) -> str | None:
        """What the part is taken for, None while that is open."""
        return settled(labels, verdict.outcome, self.good, self.second_look)

    def undecided(self, verdict: Verdict, labels: Sequence[RecordedLabel]) -> bool:
        """Whether somebody has labelled the part and another inspector must see it."""
        return bool(labels) and self.actual(verdict, labels) is None


@dataclass(frozen=True, slots=True)
class Contents:
    """Which parts the figures of a window are made of, and how: what is counted over them gives the same figures.

    spans: ordinals, from the first up to before the second, of the buckets that count, oldest first. scale: {band: drawn /
    settled}, as in `Bucket.misses`.
    """

    spans: tuple[tuple[int, int], ...]
    scale: Mapping[int, float]

    def holds(self, part: RecordedVerdict) -> bool:
        return any(first <= part.ordinal < after for first, after in self.spans)

    def weight(self, verdict: Verdict) -> float:
        """How many parts of the window it stands for. One that nobody drew enters no estimate: 0."""
        if verdict.band is None:
            return 1.0
        return verdict.weight * self.scale.get(verdict.band, 1.0) if verdict.outcome is Outcome.AUDIT else 0.0


def contents(filed: Filed, first: int) -> Contents:
    """Of a window that begins with bucket number `first` and goes on to the newest closed one."""
    usable = [number for number in range(first, filed.closed) if filed.buckets[number].usable]
    total = merged(filed.buckets[number] for number in usable)
    return Contents(
        spans=tuple((filed.start(number), filed.buckets[number].end) for number in usable),
        scale={band: total.scale(band) for band, _ in total.drawn},
    )


def quality(
    total: Bucket,
    line: str,
    defect: str,
    good: str,
    window: str,
    threshold: float | None,
    starved: int = 0,
    empty: str = NO_CLOSED_BUCKET,
) -> WindowQuality:
    """What the merged closed buckets of a window say about one defect.

    threshold: recall to judge the state against, None when the row has none. starved: buckets of the window that were
    left out because too few of their rejects were looked at again. empty: why there is nothing in it, where that is so.
    """
    hits = total.hits(defect, good)
    misses = total.misses(defect, good)
    known_misses = sum(misses.values()) + total.volunteered_misses(defect, good)
    false_rejects = total.false_rejects(defect, good)
    named = total.true_rejects_named(defect, good)
    good_audits, good_passed = total.audited_good(good)
    escapes = escapes_of(misses, total.largest_scaled_weight())
    recall = _shown(of_sums(hits, escapes), total, starved, empty)
    named_right = total.named_right(defect, good)
    not_named = Counter[float](misses)
    not_named[1] += hits - named_right
    possible = hits + total.flagged - total.rejects.total()
    return WindowQuality(
        line=line,
        defect=defect,
        window=window,
        parts=total.parts,
        escapes=escapes if total.parts and _audited(total) else None,
        largest_weight=escapes.largest_weight,
        true_positive=hits,
        false_positive=false_rejects,
        false_negative=known_misses,
        true_negative=good_audits + total.volunteered[good],
        recall=recall,
        observed=hits / (hits + known_misses) if hits + known_misses else None,
        precision=proportion(named, named + false_rejects),
        false_reject=false_rejects / (false_rejects + good_passed) if good_audits else None,
        named_right=_shown(estimate(named_right, not_named, escapes.largest_weight), total, starved, empty),
        ceiling=possible / (possible + known_misses) if possible + known_misses else None,
        worst_lower=_worst(total, defect, good) if recall.estimable else None,
        threshold=threshold,
        state=state(recall, threshold) if recall.estimable else State.UNKNOWN,
        reason=recall.reason,
    )


def parts_to_prove(row: WindowQuality) -> int | None:
    """How many parts a window must hold, at the rates of this one, for its lower limit to reach the threshold.

    None: it never will, as there is no threshold, the point does not exceed it, or nothing was caught.
    """
    hits, missed = row.recall.numerator, row.recall.denominator - row.recall.numerator
    threshold = row.threshold
    if threshold is None or not hits or hits / (hits + missed) <= threshold:
        return None
    weight = missed / row.recall.events if row.recall.events else 1.0

    def proven(scale: float) -> bool:
        misses = {max(1.0, weight): row.recall.events * scale}
        return estimate(hits * scale, misses, max(1.0, row.largest_weight)).lower >= threshold

    high = 1.0
    while not proven(high) and high < MOST_SCALED:
        high *= 2
    if high >= MOST_SCALED:
        return None
    low = high / 2
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if proven(middle) else (middle, high)
    return round(row.parts * high)


def _audited(total: Bucket) -> bool:
    """Whether anybody knows what escaped: an audited part is labelled, or no part passed."""
    return any(total.audits.values()) or not any(total.passed.values())


def _worst(total: Bucket, defect: str, good: str) -> float:
    """The lower limit if every audit that was not returned were a miss of this kind."""
    misses = Counter(total.plain_misses(defect, good))
    misses.update(total.unreturned())
    return estimate(total.hits(defect, good), misses, total.largest_weight).lower


def _shown(recall: Estimate, total: Bucket, starved: int, empty: str) -> Estimate:
    """The estimate as it may be shown: withheld where the evidence does not carry it, with the reason."""
    if total.parts == 0:
        reason = f"{starved} closed buckets wait for labels of their rejects" if starved else empty
        return _absent(recall, reason)
    if not _audited(total):
        return _absent(recall, "no audited part is labelled in the window")
    return pointed(recall)


def _absent(recall: Estimate, reason: str) -> Estimate:
    return replace(recall, point=None, lower=0.0, upper=1.0, reason=reason)
