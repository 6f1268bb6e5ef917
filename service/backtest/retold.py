"""Recorded parts as another model, other decision thresholds or a smaller audit would have made of them.

What the line did not look at, nobody knows. Where a part changes sides:

* a reject that would have passed is drawn as any passed part is, by the policy of its time; its labels stand for those of the audit,
  second look included, and if it is not drawn they are left out;
* an audited part that would have been rejected keeps its labels. Passed parts of its score band that would have been rejected and
  that nobody had drawn take the labels of the next audited one of them: it was drawn to stand for them;
* an audit that the smaller budget would not have drawn is left out, and the weights of the others grow accordingly.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

from service.quality.draw import SURGE, band, drawn
from service.records import (
    DrawPolicy,
    ModelInForce,
    Outcome,
    RecordedLabel,
    RecordedShadow,
    RecordedVerdict,
    Verdict,
)

KEY = b"backtest"
"""Not the line's own: whoever runs a backtest need not know that, and the same backtest always draws the same."""

LABELS_AT_ONCE = 5_000


class Reader(Protocol):
    """As much of a LedgerReader as is told otherwise here."""

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]: ...
    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]: ...
    def parts(self, part_ids: Sequence[str]) -> Mapping[str, RecordedVerdict]: ...
    def draw_policies(self, line: str) -> Sequence[DrawPolicy]: ...


Judge = Callable[[Sequence[Verdict]], Sequence[Verdict | None]]
"""Recorded verdicts -> what another judge says: scores, exceedance, predicted, model and thresholds; None: it has not seen that part."""


def by_thresholds(models: Sequence[ModelInForce], changed: Mapping[str, float]) -> Judge:
    """The scores of record against other decision thresholds. changed: {defect: threshold in (0, 1]}."""
    by_digest = {model.digest: model for model in models}
    said = ",".join(f"{name}={value:g}" for name, value in sorted(changed.items()))

    def judge(verdict: Verdict) -> Verdict | None:
        model = by_digest.get(verdict.model)
        if model is None or len(verdict.scores) != len(model.classes):
            return None
        ratios = {
            name: verdict.scores[model.classes.index(name)] / changed.get(name, threshold)
            for name, threshold in model.decision_thresholds.items()
        }
        worst = max(ratios, key=lambda name: ratios[name])
        predicted = worst if ratios[worst] >= 1 else model.good
        return replace(verdict, exceedance=ratios[worst], predicted=predicted, thresholds=said)

    return lambda verdicts: [judge(verdict) for verdict in verdicts]


def by_shadow(said: Callable[[Sequence[str]], Mapping[str, Sequence[RecordedShadow]]], digest: str) -> Judge:
    """What the shadow with this digest said of the same parts."""

    def judge(verdicts: Sequence[Verdict]) -> list[Verdict | None]:
        known = said([verdict.part_id for verdict in verdicts])
        return [one(verdict, known.get(verdict.part_id, ())) for verdict in verdicts]

    def one(verdict: Verdict, rows: Sequence[RecordedShadow]) -> Verdict | None:
        for own in (row.verdict for row in rows if row.verdict.model == digest):
            return replace(verdict, model=digest, scores=own.scores, exceedance=own.exceedance, predicted=own.predicted)
        return None

    return judge


@dataclass(slots=True)
class Changes:
    """How many parts are told otherwise. unseen: the other judge has not judged them. now_rejected, now_passed: they change sides;
    borrowed: of the now rejected, those that take another part's labels. not_drawn: audits left out."""

    unseen: int = 0
    now_rejected: int = 0
    now_passed: int = 0
    borrowed: int = 0
    not_drawn: int = 0


class Retold:
    """Reads as LedgerReader does, one line. budget: share of passed parts to audit, no more than was drawn; None: as it was."""

    def __init__(
        self, ledger: Reader, judge: Judge | None, budget: float | None, model: ModelInForce | None = None
    ) -> None:
        self.changes = Changes()
        self.watch: Callable[[Verdict, Verdict], None] = lambda was, new: None
        self._ledger = ledger
        self._judge = judge
        self._budget = budget
        self._model = model
        self._policies: dict[int, DrawPolicy] = {}
        self._queues: defaultdict[tuple[int | None, int], list[str]] = defaultdict(list)
        self._speaks_for: dict[str, list[str]] = {}
        self._silent: set[str] = set()
        self._looked_at_again: set[str] = set()
        self._told: list[RecordedLabel] = []
        self._by_part: defaultdict[str, list[RecordedLabel]] = defaultdict(list)
        self._read = 0
        self._newest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def line_state(self) -> Any:
        models, policies, heartbeats = self._ledger.line_state()  # type: ignore[attr-defined]
        return ([self._model] if self._model else models), policies, heartbeats

    def draw_policies(self, line: str) -> Sequence[DrawPolicy]:
        """With the budget that is played."""
        policies = self._ledger.draw_policies(line)
        self._policies |= {policy.number: policy for policy in policies}
        return [replace(policy, budget=policy.budget * self._share(policy.number)) for policy in policies]

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]:
        while rows := self._ledger.parts_after(sequence, limit):
            sequence = rows[-1].sequence
            told_of = list(zip(rows, self._retold(rows), strict=True))
            found = [(row, told) for row, told in told_of if told is not None]
            self.changes.unseen += sum(told is None and row.sequence > self._newest for row, told in told_of)
            self._newest = sequence
            for row, told in found:
                self.watch(row.verdict, told.verdict)
                self._note(row.verdict, told.verdict)
            if found:
                return [told for _, told in found]
        return []

    def parts(self, part_ids: Sequence[str]) -> Mapping[str, RecordedVerdict]:
        rows = self._ledger.parts(part_ids)
        told = zip(rows, self._retold([*rows.values()]), strict=True)
        return {part_id: row for part_id, row in told if row is not None}

    def _retold(self, rows: Sequence[RecordedVerdict]) -> list[RecordedVerdict | None]:
        verdicts = [row.verdict for row in rows]
        judged = self._judge(verdicts) if self._judge else verdicts
        return [None if new is None else self._drawn(row, new) for row, new in zip(rows, judged, strict=True)]

    def _drawn(self, row: RecordedVerdict, new: Verdict) -> RecordedVerdict:
        """The verdict with its outcome, band and weight, as the draw would have been."""
        was = row.verdict
        if new.exceedance >= 1:
            played = new if was.flagged else replace(new, outcome=Outcome.REJECT, band=None, weight=1)
        elif was.flagged:
            at = band(new.exceedance)
            weight = self._thinned(was, self._weight(was, at))
            outcome = Outcome.AUDIT if drawn(KEY, was.part_id, weight) else Outcome.PASS
            played = replace(new, outcome=outcome, band=at, weight=weight)
        else:
            weight = self._thinned(was, was.weight)
            kept = weight == was.weight or _chance(was.part_id) < was.weight / weight
            played = new if weight == was.weight else replace(new, weight=weight)
            played = played if kept else replace(played, outcome=Outcome.PASS)
        return row if played is was else replace(row, verdict=played)

    def _weight(self, verdict: Verdict, at: int) -> int:
        policy = self._policy(verdict)
        return policy.weights[at] if policy else 1

    def _thinned(self, verdict: Verdict, weight: int) -> int:
        self._policy(verdict)
        return max(weight, round(weight / self._share(verdict.policy)))

    def _policy(self, verdict: Verdict) -> DrawPolicy | None:
        if verdict.policy not in self._policies:
            self._policies |= {policy.number: policy for policy in self._ledger.draw_policies(verdict.line)}
        return self._policies.get(verdict.policy)

    def _share(self, number: int) -> float:
        """What the played budget is of the one drawn under this policy, at most 1."""
        policy = self._policies.get(number)
        if self._budget is None or policy is None:
            return 1.0
        return min(1.0, self._budget / (policy.budget / SURGE if policy.surge else policy.budget))

    def _note(self, was: Verdict, new: Verdict) -> None:
        """What becomes of the part's labels."""
        if new.flagged and not was.flagged:
            self.changes.now_rejected += 1
            queue = self._queues[was.band, was.weight]
            if was.outcome is Outcome.AUDIT:
                self._speaks_for[was.part_id] = [*queue]
                self.changes.borrowed += len(queue)
                queue.clear()
            else:
                queue.append(was.part_id)
        elif was.flagged and not new.flagged:
            self.changes.now_passed += 1
            (self._silent if new.outcome is Outcome.PASS else self._looked_at_again).add(was.part_id)
        elif was.outcome is Outcome.AUDIT and new.outcome is Outcome.PASS:
            self.changes.not_drawn += 1
            self._silent.add(was.part_id)

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]:
        """Numbered anew, as one label may become several."""
        while len(self._told) < sequence + limit and (rows := self._ledger.labels_after(self._read, LABELS_AT_ONCE)):
            self._read = rows[-1].sequence
            for row in rows:
                self._tell(row)
        return self._told[sequence : sequence + limit]

    def labels(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedLabel]]:
        return {part_id: self._by_part[part_id] for part_id in part_ids if part_id in self._by_part}

    def _tell(self, row: RecordedLabel) -> None:
        said = row.label
        if said.part_id in self._silent:
            return
        labels = [said, *(replace(said, part_id=other) for other in self._speaks_for.get(said.part_id, ()))]
        if said.part_id in self._looked_at_again:
            labels.append(replace(said, inspector=f"{said.inspector}, again"))
        for label in labels:
            told = replace(row, sequence=len(self._told) + 1, label=label)
            self._told.append(told)
            self._by_part[label.part_id].append(told)


def _chance(part_id: str) -> float:
    """In [0, 1), evenly spread over part ids, the same every time."""
    return int.from_bytes(hmac.digest(KEY, f"thin {part_id}".encode(), sha256)[:8], "big") / 2**64
