"""All that is kept in memory of one line: buckets, counters, parts that wait for a label, challenge parts, pages.

Everything has its moment: parts, labels, reports and acknowledgements when they were recorded, buckets when they closed.
Between two of them nothing happens, so that whoever follows the ledger, however often, finds the same pages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import accumulate
from math import inf

from service.paging import Paging
from service.quality.agreement import Agreement
from service.quality.buckets import Bucket, Filed, merged
from service.quality.challenge import Challenges
from service.quality.draw import draw_check, learned_guesses, learned_shares, surged, weights
from service.quality.expected import Scores
from service.quality.paired import Paired
from service.quality.truth import SOURCES, opinions, settled
from service.quality.windows import NO_CLOSED_BUCKET, Contents, Settling, contents, in_window, quality
from service.records import (
    ALL,
    Acknowledgement,
    ChallengePart,
    ChallengeReport,
    DrawAdvice,
    Histogram,
    LineSnapshot,
    ModelInForce,
    Outcome,
    Past,
    RecordedLabel,
    RecordedVerdict,
    ShadowVerdict,
    Source,
    Term,
    Verdict,
    WindowQuality,
)
from service.thresholds import DUE_FOR, Levels, LineThresholds

LAG_BOUNDS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 28800.0, 86400.0, 259200.0, 604800.0, inf)

LEARN_FROM = 50
"""So many of the newest closed buckets say how to draw next, and whether the draw followed its probabilities."""

SHOWN = 20
"""So many terms, and pairs of models, the newest ones."""


class LineBook:
    """One line as known so far. Rows come in ledger order; `snapshot` may be asked at any time from then on."""

    def __init__(self, line: str, rule: LineThresholds, model: ModelInForce | None, past: Past | None = None) -> None:
        """past: of parts that were pruned."""
        self.line = line
        self._rule = rule
        self._model = model
        self._filed = Filed()
        self._filled_at: list[float] = []
        self._terms: list[int] = []  # number of the first bucket of each
        self._ended_terms: dict[int, Term] = {}
        self._as_closed: dict[int, Bucket] = {}
        self._late_changes = 0
        self._changed_at: float | None = None
        self._configuration: tuple[str, str] | None = None
        self._reconfigured_at: float | None = None
        self._parts: Counter[tuple[str, Outcome]] = Counter()
        self._labels: Counter[tuple[Source, str]] = Counter()
        self._corrections = 0
        self._lag = [0] * len(LAG_BOUNDS)
        self._lag_total = 0.0
        self._last: dict[str, float] = {}
        self._waiting: dict[str, tuple[Source, float, int]] = {}
        self._reported: set[str] = set()
        self._agreement = Agreement()
        self._challenges = Challenges(self.good)
        self._passages_followed = 0
        self._paging = Paging(line, rule, self.rows, self.good, self._challenges, past or Past())
        self._scores = Scores(self.rows)
        self._paired: dict[tuple[str, str], Paired] = {}
        self._recent = ((-1, -1), Bucket())
        self._looked_ahead = -inf
        self.second_looks: dict[str, None] = {}
        self.overtaken = False
        """Something was recorded before the moment up to which a snapshot had let things happen: who asked for it has a clock
        ahead of the ledger's. To be followed anew."""

    @property
    def good(self) -> str:
        return self._model.good if self._model else "good"

    @property
    def rows(self) -> tuple[str, ...]:
        """The defects that have figures, ALL first."""
        return (ALL, *(self._model.defects if self._model else ()))

    def still(self, rule: LineThresholds, model: ModelInForce | None) -> bool:
        """Takes new thresholds or a new model; False when they change what was counted, and the line must be followed anew."""
        before, after = self._model, model
        same_classes = (before and (before.classes, before.good)) == (after and (after.classes, after.good))
        if not same_classes or (rule != self._rule and _heart(rule) != _heart(self._rule)):
            return False
        self._rule, self._model = rule, model
        return True

    def register(self, part: ChallengePart) -> None:
        """Takes in a challenge part, before the parts that may be passes of it."""
        self._challenges.register(part)

    def add_part(self, row: RecordedVerdict, budget: float) -> None:
        """Takes in one new part, drawn under this audit budget."""
        verdict, number = row.verdict, self._open(row)
        bucket = self._filed.buckets[number]
        self._parts[verdict.camera, verdict.outcome] += 1
        self._later("captured", verdict.captured_at)
        self._later("recorded", row.recorded_at)
        if self._configuration not in (None, (verdict.model, verdict.thresholds)):
            self._reconfigured_at = verdict.captured_at
        self._configuration = verdict.model, verdict.thresholds
        challenge = self._challenges.named(row)
        if challenge is not None:
            bucket.add_challenge(verdict)
            self._overtake(row.recorded_at)
            self._challenges.add(row, challenge, row.recorded_at)
        else:
            bucket.add_part(verdict, budget)
            self._scores.add(number, self._probabilities(verdict.scores), verdict.flagged)
            if verdict.outcome is not Outcome.PASS:
                self._waiting[verdict.part_id] = (SOURCES[verdict.outcome], verdict.captured_at, row.ordinal)
        if bucket.full(self._rule.bucket.parts):
            self._filled_at.append(row.recorded_at)

    def _open(self, row: RecordedVerdict) -> int:
        """Number of the bucket that the part falls into: the newest, unless that is full or of another model."""
        if not self._filed.buckets:
            self._filed = Filed(begins=row.ordinal)
        buckets, model = self._filed.buckets, row.verdict.model
        if len(self._filled_at) == len(buckets) or buckets[-1].model != model:
            if len(self._filled_at) < len(buckets):
                self._filled_at.append(row.recorded_at)
            if not buckets or buckets[-1].model != model:
                self._terms.append(len(buckets))
                self._scores.begin(len(buckets))
            buckets.append(Bucket(model=model))
        buckets[-1].end = row.ordinal + 1
        return len(buckets) - 1

    @property
    def _judging(self) -> str:
        """Digest of the model that judged the newest part."""
        return self._filed.buckets[-1].model if self._filed.buckets else ""

    def _probabilities(self, scores: Sequence[float]) -> tuple[float, ...]:
        """P(defect) of each row, as the scores say it."""
        if self._model is None or len(scores) != len(self._model.classes):
            return ()
        by_class = dict(zip(self._model.classes, scores, strict=True))
        return (1 - by_class[self.good], *(by_class[name] for name in self._model.defects))

    def add_shadow(self, part: RecordedVerdict, said: ShadowVerdict, labels: Sequence[RecordedLabel]) -> None:
        """Takes in what a shadow would have said of a part. labels: all rows of it so far."""
        if not self._is_challenge(part):
            self._take_pairs(part.verdict, [said], labels, 1)

    def _take_pairs(
        self, verdict: Verdict, shadows: Sequence[ShadowVerdict], labels: Sequence[RecordedLabel], step: int
    ) -> None:
        for said in shadows:
            key = verdict.model, said.model
            self._paired.setdefault(key, Paired(*key)).weights[verdict.weight] += step
        self._pair(verdict, shadows, self._settled(verdict, labels), step)

    def _pair(self, verdict: Verdict, shadows: Sequence[ShadowVerdict], actual: str | None, step: int) -> None:
        """Parts that nobody drew are left out, as from recall."""
        if actual is None or verdict.outcome is Outcome.PASS:
            return
        for said in shadows:
            counts = self._paired[verdict.model, said.model].counts
            other = said.predicted if said.flagged else self.good  # whatever the shadow calls it
            counts[actual, verdict.predicted, other, verdict.weight] += step

    def _settled(self, verdict: Verdict, labels: Sequence[RecordedLabel]) -> str | None:
        return settled(labels, verdict.outcome, self.good, self._rule.labels.second_look)

    def add_label(
        self, part: RecordedVerdict, labels: Sequence[RecordedLabel], shadows: Sequence[ShadowVerdict] = ()
    ) -> None:
        """Takes in the last of `labels`, all rows of this part so far. shadows: what was taken in of shadows' verdicts on it."""
        verdict, newest = part.verdict, labels[-1]
        if newest.recorded_at >= part.recorded_at:  # one that waited for its part has overtaken nothing
            self._overtake(newest.recorded_at)
        self._advance(newest.recorded_at)
        challenge = self._is_challenge(part)
        self._labels[Source.CHALLENGE if challenge else SOURCES[verdict.outcome], newest.label.label] += 1
        self._corrections += any(row.label.inspector == newest.label.inspector for row in labels[:-1])
        lag = max(0.0, newest.label.labelled_at - verdict.captured_at)
        self._lag[bisect_left(LAG_BOUNDS, lag)] += 1
        self._lag_total += lag
        self._later("labelled", newest.recorded_at)
        if challenge:
            return
        self._waiting.pop(verdict.part_id, None)
        before, after = self._settled(verdict, labels[:-1]), self._settled(verdict, labels)
        if after is None:
            self.second_looks[verdict.part_id] = None
        else:
            self.second_looks.pop(verdict.part_id, None)
        self._agreement.count(opinions(labels[:-1]), -1)
        self._agreement.count(opinions(labels))
        if before == after:
            return
        self._pair(verdict, shadows, before, -1)
        self._pair(verdict, shadows, after, 1)
        bucket = self._changed(part, newest.recorded_at)
        if before is not None:
            bucket.settle(verdict, before, step=-1)
        if after is not None:
            bucket.settle(verdict, after)

    def report(
        self,
        said: ChallengeReport,
        part: RecordedVerdict,
        labels: Sequence[RecordedLabel],
        shadows: Sequence[ShadowVerdict] = (),
    ) -> None:
        """Takes a part out of production: it was a pass of a challenge part. labels, shadows: all of it so far."""
        self._overtake(said.recorded_at)
        self._advance(said.recorded_at)
        verdict, challenge = part.verdict, self._challenges.in_force(said.name, said.recorded_at)
        if challenge is None or self._is_challenge(part):
            return
        bucket = self._changed(part, said.recorded_at)
        actual = self._settled(verdict, labels)
        self._take_pairs(verdict, shadows, labels, -1)
        if actual is not None:
            bucket.settle(verdict, actual, step=-1)
        bucket.exclude(verdict)
        self._agreement.count(opinions(labels), -1)
        number = self._filed.holding(part.ordinal)
        self._scores.add(number, self._probabilities(verdict.scores), verdict.flagged, step=-1)
        self._waiting.pop(verdict.part_id, None)
        self.second_looks.pop(verdict.part_id, None)
        self._reported.add(verdict.part_id)
        self._challenges.add(part, challenge, said.recorded_at)

    def _is_challenge(self, part: RecordedVerdict) -> bool:
        return part.verdict.part_id in self._reported or self._challenges.named(part) is not None

    def _changed(self, part: RecordedVerdict, at: float) -> Bucket:
        """The bucket of a part whose counts are about to change. Of a closed one the first report is kept."""
        number = self._filed.holding(part.ordinal)
        bucket = self._filed.buckets[number]
        if number < self._filed.closed:
            self._as_closed.setdefault(number, deepcopy(bucket))
            self._late_changes += 1
            self._changed_at = at
            self._recent = ((-1, -1), bucket)
            self._ended_terms.pop(bisect_right(self._terms, number) - 1, None)
            self._paging.forget_from(number)
        return bucket

    def acknowledge(self, said: Acknowledgement) -> None:
        """Somebody takes on the pages that stand."""
        self._overtake(said.recorded_at)
        self._advance(said.recorded_at)
        self._settle_changes()
        self._paging.acknowledge(said)

    def _overtake(self, at: float) -> None:
        """Something was recorded at this moment."""
        self.overtaken |= at < self._looked_ahead

    def _advance(self, now: float) -> float:
        """Lets happen what is due up to this moment: corrections take effect, buckets close, challenge parts count. Returns when the
        last of it happened."""
        last = -inf
        if self._changed_at is not None and now > self._changed_at:
            self._settle_changes()
        while (moment := min(self._closes_at(), self._passage_at())) <= now:
            if self._closes_at() == moment:
                self._filed.closed_at.append(moment)
            else:
                self._passages_followed += 1
            self._follow(moment)
            last = moment
        return last

    def _settle_changes(self) -> None:
        """Labels that were recorded in one transaction take effect together."""
        if self._changed_at is not None:
            at, self._changed_at = self._changed_at, None
            self._follow(at)

    def _follow(self, at: float) -> None:
        self._paging.follow(self._filed, self._passages_followed, at)

    def _closes_at(self) -> float:
        """Buckets close in order, once full and once their labels have had time to arrive; inf: not known yet."""
        due = self._due_at(self._filed.closed)
        return inf if due is None else max([due, *self._filed.closed_at[-1:]])

    def _passage_at(self) -> float:
        passages = self._challenges.passages
        return passages[self._passages_followed].recorded_at if self._passages_followed < len(passages) else inf

    def _later(self, name: str, at: float) -> None:
        self._last[name] = max(at, self._last.get(name, at))

    def snapshot(self, as_of: float) -> LineSnapshot:
        """Figures of the line as seen at as_of. Closed buckets only; provisional ones beside."""
        self._looked_ahead = max(self._looked_ahead, self._advance(as_of))
        self._settle_changes()
        self._forget_overdue(as_of)
        filed = self._filed
        closed, still_open = filed.buckets[: filed.closed], filed.buckets[filed.closed :]
        official = self._quality(closed, as_of)
        pages = self._paging.pages()
        pending = Counter(source for source, _, _ in self._waiting.values())
        pending[Source.REVIEW] += 0
        pending[Source.AUDIT] += 0
        recent = self._newest_closed()
        expected, drift = self._scores.say(self._model)
        pairs = list(self._paired.values())[-SHOWN:]
        return LineSnapshot(
            line=self.line,
            parts=dict(self._parts),
            labels=dict(self._labels),
            corrections=self._corrections,
            label_lag=Histogram(LAG_BOUNDS, tuple(accumulate(self._lag)), self._lag_total),
            pending=dict(pending),
            last_captured_at=self._last.get("captured"),
            last_recorded_at=self._last.get("recorded"),
            last_label_at=self._last.get("labelled"),
            oldest_pending_at=min((at for _, at, _ in self._waiting.values()), default=None),
            closed_buckets=len(closed),
            open_parts=sum(bucket.parts for bucket in still_open),
            defects=self.rows,
            quality=official,
            provisional=tuple(replace(row, provisional=True) for row in self._quality(filed.buckets, as_of)),
            first_reported=self._first_reported(official, as_of),
            late_changes=self._late_changes,
            evidence=self._paging.evidence(self._judging),
            pages=pages,
            at_risk=self._at_risk({page.defect: page.at_risk_from for page in reversed(pages) if page.standing}),
            next_draw=self._next_draw(recent),
            draw_check=draw_check(recent.passed, recent.drawn),
            challenges=self._challenges.state(self._reconfigured_at, self._last.get("captured")),
            agreement=self._agreement.state(self.good),
            due=self._due(),
            expected=expected,
            drift=drift,
            comparisons=tuple(pair.compare(row, self.good) for pair in pairs for row in self.rows),
            terms=tuple(self._term(number) for number in range(len(self._terms))[-SHOWN:]),
        )

    def _forget_overdue(self, as_of: float) -> None:
        """Parts that nobody labelled for a month are no longer due; without this they would pile up in memory."""
        while self._waiting:
            oldest = next(iter(self._waiting))
            if self._waiting[oldest][1] > as_of - DUE_FOR:
                return
            del self._waiting[oldest]

    def _quality(self, buckets: Sequence[Bucket], as_of: float) -> tuple[WindowQuality, ...]:
        found: list[WindowQuality] = []
        for window in self._rule.windows:
            inside = buckets[in_window(buckets, window, as_of, self._judging) :]
            total = merged(bucket for bucket in inside if bucket.usable)
            starved = sum(not bucket.usable for bucket in inside)
            found += [
                quality(total, self.line, defect, self.good, window.name, self._threshold(defect), starved, self._empty)
                for defect in self.rows
            ]
        return tuple(found)

    @property
    def _empty(self) -> str:
        """Why a window without closed buckets is empty."""
        if len(self._terms) < 2:
            return NO_CLOSED_BUCKET
        return f"windows begin anew with model {self._judging[:12]}: none of its buckets in the window has closed yet"

    def _term(self, at: int) -> Term:
        """Term number `at`. What an ended one comes to is kept until one of its buckets closes or changes."""
        first, judging = self._terms[at], at + 1 == len(self._terms)
        after = len(self._filed.buckets) if judging else self._terms[at + 1]
        closed = max(0, min(after, self._filed.closed) - first)
        kept = self._ended_terms.get(at)
        if kept is not None and kept.closed == closed:
            return kept
        buckets, start = self._filed.buckets[first:after], self._filed.start(first)
        term = Term(
            model=buckets[0].model,
            first=start,
            parts=buckets[-1].end - start,
            closed=closed,
            began_at=buckets[0].first_captured_at,
            ended_at=None if judging else max(bucket.last_captured_at for bucket in buckets),
            quality=() if judging else self._rows_over(buckets[:closed], "term"),
        )
        if not judging:
            self._ended_terms[at] = term
        return term

    def _rows_over(self, buckets: Sequence[Bucket], name: str) -> tuple[WindowQuality, ...]:
        total = merged(bucket for bucket in buckets if bucket.usable)
        return tuple(quality(total, self.line, row, self.good, name, self._threshold(row)) for row in self.rows)

    def _first_reported(self, official: tuple[WindowQuality, ...], as_of: float) -> tuple[WindowQuality, ...]:
        """What the windows said before anybody changed his mind about their parts."""
        if not self._as_closed:
            return official
        as_closed = [
            self._as_closed.get(number, bucket)
            for number, bucket in enumerate(self._filed.buckets[: self._filed.closed])
        ]
        return self._quality(as_closed, as_of)

    def _at_risk(self, first: Mapping[str, int]) -> dict[str, int]:
        filed = self._filed
        return {
            defect: sum(bucket.passed.total() for bucket in filed.buckets[filed.holding(ordinal) :])
            for defect, ordinal in first.items()
        }

    def _newest_closed(self) -> Bucket:
        """The newest LEARN_FROM closed buckets of the model in force as one."""
        count, began = self._filed.closed, self._terms[-1] if self._terms else 0
        if self._recent[0] != (count, began):
            self._recent = (count, began), merged(self._filed.buckets[max(began, count - LEARN_FROM) : count])
        return self._recent[1]

    def _next_draw(self, recent: Bucket) -> DrawAdvice:
        surge = self._paging.surge(self._judging)
        budget = surged(self._rule.audit.budget, surge)
        known = self._model.guesses if self._model else ()
        guesses = learned_guesses(recent.audits, self.good, *([known] if known else []))
        return DrawAdvice(tuple(weights(budget, learned_shares(recent.passed), guesses)), budget, surge)

    def overall(self) -> tuple[WindowQuality, ...]:
        """Quality over every bucket, open ones and those of other models included."""
        total = merged(self._filed.buckets)
        return tuple(
            quality(total, self.line, defect, self.good, "overall", self._threshold(defect)) for defect in self.rows
        )

    def contents(self, window: str, as_of: float) -> Contents | None:
        """What the figures of the window of this name are made of, None where the line has no such window."""
        span = next((one for one in self._rule.windows if one.name == window), None)
        if span is None:
            return None
        first = in_window(self._filed.buckets[: self._filed.closed], span, as_of, self._judging)
        return contents(self._filed, first)

    @property
    def settling(self) -> Settling:
        return Settling(self.good, self._rule.labels.second_look)

    def needed(self, ordinal: int, as_of: float) -> int:
        """Ordinal of the first part without which a figure in force, seen as of now, could not be what it is; at most that of the
        first part of the bucket that holds `ordinal`. What only grows by counting is left out."""
        filed = self._filed
        closed = filed.buckets[: filed.closed]
        numbers = [filed.holding(ordinal), filed.closed - LEARN_FROM]
        numbers += [in_window(closed, span, as_of, self._judging) for span in self._rule.windows]
        standing = [page for page in self._paging.pages() if page.standing]
        wanted = [page.began_ordinal for page in standing] + [page.at_risk_from for page in standing]
        wanted += [ordinal for _, _, ordinal in self._waiting.values()]
        return filed.start(max(0, min([*numbers, *map(filed.holding, wanted)])))

    def carry(self, ordinal: int) -> Past:
        """What is left of the buckets before the first one that begins at this ordinal or later."""
        number = self._filed.holding(ordinal)
        return self._paging.carry(self._filed, number if self._filed.start(number) >= ordinal else number + 1)

    def closes_at(self, ordinal: int) -> float | None:
        """When the bucket of this part closed, or will close at the earliest; None while that is not known."""
        filed, number = self._filed, self._filed.holding(ordinal)
        if number < filed.closed:
            return filed.closed_at[number]
        return self._due_at(number)

    def _due_at(self, number: int) -> float | None:
        """When a bucket closes that is full and not closed yet: until then its labels are wanted."""
        if number >= len(self._filled_at):
            return None
        labelled = self._filed.buckets[number].last_captured_at + self._rule.bucket.closes_after
        return max(labelled, self._filled_at[number])

    def _due(self) -> tuple[float, int] | None:
        filed = self._filed
        start = filed.start(filed.closed)
        waiting = sorted(ordinal for _, _, ordinal in self._waiting.values() if ordinal >= start)
        number = filed.holding(waiting[0]) if waiting else filed.closed
        at = self._due_at(number)
        if not waiting or at is None:
            return None
        return at, bisect_left(waiting, filed.buckets[number].end)

    def between(self, first: int, after: int) -> tuple[WindowQuality, ...]:
        """Every row over the buckets that hold parts from ordinal `first` up to before `after`, by what is known now."""
        filed = self._filed
        return self._rows_over(filed.buckets[filed.holding(first) : filed.holding(after - 1) + 1], "between")

    def _threshold(self, defect: str) -> float | None:
        """What the state is judged against. ALL of a line with one kind of defect borrows its threshold, but never pages."""
        defects = self.rows[1:]
        row = defects[0] if defect == ALL and len(defects) == 1 else defect
        return self._rule.row(row, len(defects)).recall.page


def _heart(rule: LineThresholds) -> LineThresholds:
    """The thresholds without what enters no bucket, no state and no page."""
    silent = {
        "precision": Levels(),
        "labels": rule.labels.model_copy(update={"starved_after": 1.0}),
        "camera": None,
        "gate": None,
    }
    kinds = {name: row.model_copy(update={"precision": Levels()}) for name, row in rule.defects.items()}
    return rule.model_copy(update={**silent, "defects": kinds})
