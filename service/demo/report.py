"""What the demo reports: what its line said, beside what was true, which only a demo knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.quality.windows import parts_to_prove
from service.records import ALL, LineSnapshot, Outcome, State, Verdict, WindowQuality

PAGE = "DefectRecallBelowThreshold"


@dataclass(slots=True)
class Tally:
    """What the demo alone knows: every part's true class beside its verdict."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    truths: Counter[tuple[bool, bool]] = field(default_factory=Counter)

    def add(self, verdict: Verdict, defective: bool) -> None:
        self.outcomes[verdict.outcome] += 1
        self.truths[defective, verdict.flagged] += 1

    @property
    def parts(self) -> int:
        return self.outcomes.total()

    def true_recall(self) -> float | None:
        return _share(self.truths[True, True], self.truths[True, False])

    def true_precision(self) -> float | None:
        return _share(self.truths[True, True], self.truths[False, True])


class Pages:
    """Notes each page once, when it begins to stand."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._standing: set[str] = set()

    def note(self, line: LineSnapshot, part: int) -> None:
        standing = {page.defect: page for page in line.pages if page.standing}
        self.found += [
            {"alert": PAGE, "defect": defect, "part": part, "bucket_end": page.ordinal, "raised_at": page.raised_at}
            for defect, page in sorted(standing.items())
            if defect not in self._standing
        ]
        self._standing = set(standing)


class LotLedger(Protocol):
    def lots_at_risk(self, line: str, ordinal: int) -> Sequence[tuple[str, int]]: ...


def at_risk(line: LineSnapshot, ledger: LotLedger) -> dict[str, Any] | None:
    """The parts and lots that the pages that stand touch, None when none stands."""
    standing = [page for page in line.pages if page.standing]
    if not standing:
        return None
    first = min(page.at_risk_from for page in standing)
    lots = ledger.lots_at_risk(line.line, first)
    return {"from_part": first + 1, "parts": sum(count for _, count in lots), "lots": [lot for lot, _ in lots]}


def report(
    tally: Tally,
    line: LineSnapshot,
    overall: Sequence[WindowQuality],
    pages: Pages,
    at_risk: dict[str, Any] | None,
    timeline: Sequence[dict[str, Any]],
    parts_per_second: float,
) -> dict[str, Any]:
    """The JSON report: line as it stands at the end, overall over all of its parts. Ratios are shares of 1, None where there is nothing to divide by or too little to show."""
    row = next(row for row in overall if row.defect == ALL)
    return {
        "parts": tally.parts,
        "verdicts": {outcome.value: tally.outcomes[outcome] for outcome in Outcome},
        "labels": sum(line.labels.values()),
        "confusion": {
            "true_positive": row.true_positive,
            "false_positive": row.false_positive,
            "false_negative": row.false_negative,
            "true_negative": row.true_negative,
        },
        "recall": {
            "true": tally.true_recall(),
            "observed": row.observed,
            "point": row.recall.point,
            "lower": row.recall.lower,
            "upper": row.recall.upper,
            "state": row.state.value,
            "reason": row.reason,
            "threshold": row.threshold,
            "parts_to_prove": parts_to_prove(row) if row.state is State.UNDECIDED else None,
        },
        "precision": {
            "true": tally.true_precision(),
            "point": row.precision.point,
            "lower": row.precision.lower,
            "upper": row.precision.upper,
        },
        "false_reject": row.false_reject,
        "pages": pages.found,
        "at_risk": at_risk,
        "timeline": list(timeline),
        "parts_per_second": round(parts_per_second, 1),
    }


def moment(part: int, tally: Tally, line: LineSnapshot) -> dict[str, Any]:
    """The line as its station would have shown it at that part, beside what was true so far."""
    row = next((row for row in line.quality if row.defect == ALL), None)
    evidence = line.evidence[0] if line.evidence else None
    return {
        "part": part,
        "closed_buckets": line.closed_buckets,
        "true_positive": tally.truths[True, True],
        "escapes": tally.truths[True, False],
        "window": row.window if row else None,
        "observed": row.observed if row else None,
        "point": row.recall.point if row else None,
        "lower": row.recall.lower if row else 0.0,
        "upper": row.recall.upper if row else 1.0,
        "state": row.state.value if row else None,
        "evidence": evidence.evidence if evidence else None,
        "limit": evidence.limit if evidence else None,
        "expected": line.expected.get(ALL),
        "drift": line.drift,
        "audit_budget": line.next_draw.budget,
        "paged": bool(evidence and evidence.paged),
    }


def summary(found: dict[str, Any]) -> list[str]:
    """The report in sentences: what was proven or what is missing for it, and what a page touches."""
    recall, touched = found["recall"], found["at_risk"]
    limits = f"recall lies between {recall['lower']:.3f} and {recall['upper']:.3f}"
    words = [f"{recall['state']}: over all {found['parts']} parts {limits}, threshold {recall['threshold']:g}."]
    if recall["state"] == State.UNDECIDED:
        needed = recall["parts_to_prove"]
        words.append(
            f"About {needed} parts at these rates would prove it."
            if needed
            else "At these rates it would not be proven."
        )
    words += [f"{page['alert']} at part {page['part']}: {page['defect']}." for page in found["pages"]]
    if touched:
        lots = touched["lots"]
        words.append(
            f"At risk: {touched['parts']} passed parts from part {touched['from_part']} on, lots {lots[0]} to {lots[-1]}."
        )
    return words


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
