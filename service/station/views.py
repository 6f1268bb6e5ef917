"""Records as JSON. What cannot be estimated is null and says why; every matrix names its axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from service.quality.paired import in_words
from service.quality.windows import parts_to_prove
from service.records import (
    ALL,
    AgreementState,
    Comparison,
    Estimate,
    EvidenceState,
    LineSnapshot,
    OneSided,
    RecordedLabel,
    RecordedVerdict,
    Snapshot,
    State,
    Term,
    WindowQuality,
)


def quality(snapshot: Snapshot, lines: Sequence[LineSnapshot], blind: bool = False) -> dict[str, Any]:
    """GET /v1/quality. blind: for an inspector, who must not learn how many of the parts that are due are rejects."""
    return {"as_of": snapshot.as_of, "lines": [_line(line, blind) for line in lines]}


def _line(line: LineSnapshot, blind: bool) -> dict[str, Any]:
    pending = {source.value: count for source, count in line.pending.items()}
    return {
        "line": line.line,
        "closed_buckets": line.closed_buckets,
        "open_parts": line.open_parts,
        "pending": {"all": sum(pending.values())} if blind else pending,
        "quality": [_row(row) for row in line.quality],
        "provisional": [_row(row) for row in line.provisional],
        "first_reported": [_row(row) for row in line.first_reported],
        "late_label_changes": line.late_changes,
        "evidence": [_evidence(row) for row in line.evidence],
        "audit": {
            "budget": line.next_draw.budget,
            "weights": list(line.next_draw.weights),
            "surge": line.next_draw.surge,
            "draw_pvalue": line.draw_check,
        },
        "expected_recall": {
            "by_defect": dict(line.expected),
            "reason": "a hint from scores alone: assumes that the model's calibration still holds, and is blind to new defects",
        },
        "score_drift": line.drift,
        "agreement": _agreement(line.agreement),
        "terms": [_term(term) for term in line.terms],
        "shadows": [_comparison(one) for one in line.comparisons],
    }


def _term(term: Term) -> dict[str, Any]:
    """A model's time at the line. Windows and evidence are of the last one."""
    return {
        "model": term.model,
        "first_ordinal": term.first,
        "parts": term.parts,
        "closed_buckets": term.closed,
        "began_at": term.began_at,
        "ended_at": term.ended_at,
        "quality": [_row(row) for row in term.quality],
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "active": one.active,
        "shadow": one.shadow,
        "defect": one.defect,
        "parts": one.parts,
        "labelled": one.labelled,
        "recall": dict(zip(("active", "shadow"), one.recall, strict=True)),
        "precision": dict(zip(("active", "shadow"), one.precision, strict=True)),
        "caught_by_one": _one_sided(one.caught),
        "rejected_by_one": _one_sided(one.false_rejects),
        "in_words": in_words(one),
    }


def _one_sided(found: OneSided) -> dict[str, Any]:
    return {
        "active": found.by_active,
        "shadow": found.by_shadow,
        "shadow_audited": found.audited,
        "p_value": found.p_value,
    }


def _row(row: WindowQuality) -> dict[str, Any]:
    return {
        "defect": row.defect,
        "window": row.window,
        "parts": row.parts,
        "confusion": {
            "actual_defective": {"predicted_defective": row.true_positive, "predicted_good": row.false_negative},
            "actual_good": {"predicted_defective": row.false_positive, "predicted_good": row.true_negative},
        },
        "recall": _estimate(row.recall),
        "recall_worst_lower": row.worst_lower,
        "recall_ceiling": row.ceiling,
        "observed_recall": row.observed,
        "named_right": _estimate(row.named_right),
        "precision": _estimate(row.precision),
        "false_reject": row.false_reject,
        "state": row.state.value,
        "reason": row.reason,
        "provisional": row.provisional,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    known = estimate.estimable
    return {
        "point": estimate.point,
        "lower": estimate.lower if known else None,
        "upper": estimate.upper if known else None,
        "events": estimate.events,
        "reason": estimate.reason,
    }


def _evidence(row: EvidenceState) -> dict[str, Any]:
    return {
        "defect": row.defect,
        "detector": row.detector.value,
        "evidence": row.evidence,
        "limit": row.limit,
        "paged": row.paged,
    }


def _agreement(state: AgreementState) -> dict[str, Any]:
    return {
        "inspectors": [
            {"inspector": one.inspector, "missed": _estimate(one.missed), "false_alarm": _estimate(one.false_alarm)}
            for one in state.inspectors
        ],
        "pairs": [
            {"inspectors": list(pair), "kappa": kappa, "parts": parts} for pair, (kappa, parts) in state.kappa.items()
        ],
    }


def part(row: RecordedVerdict, labels: Sequence[RecordedLabel]) -> dict[str, Any]:
    """GET /v1/parts/{part_id}."""
    verdict = row.verdict
    return {
        "part_id": verdict.part_id,
        "line": verdict.line,
        "camera": verdict.camera,
        "lot": verdict.lot,
        "captured_at": verdict.captured_at,
        "recorded_at": row.recorded_at,
        "verdict": verdict.outcome.value,
        "predicted": verdict.predicted,
        "scores": list(verdict.scores),
        "exceedance": verdict.exceedance,
        "model": verdict.model,
        "thresholds": verdict.thresholds,
        "draw": {"band": verdict.band, "weight": verdict.weight, "policy": verdict.policy},
        "image": verdict.image or None,
        "labels": [
            {
                "label": label.label.label,
                "inspector": label.label.inspector,
                "labelled_at": label.label.labelled_at,
                "recorded_at": label.recorded_at,
            }
            for label in labels
        ],
    }


def advice(
    lines: Sequence[LineSnapshot],
    second_looks: Mapping[str, int],
    due: Mapping[str, tuple[float, int]] = MappingProxyType({}),
) -> str:
    """One sentence on what to do next, the most urgent first. second_looks: parts of each line that another inspector must see.

    due: when the next bucket of each line closes that waits for labels, and for how many. An inspector reads this too: it says
    parts, and not which of them are audits.
    """
    if not lines:
        return "No part has been inspected yet: start the worker."
    for urgent in (_page, _below, _overdue):
        for line in lines:
            if sentence := urgent(line):
                return sentence
    if due:
        name = min(due, key=lambda name: due[name])
        at, count = due[name]
        return f"Label {_parts(count)} of line {name} before {hour(at)}: then their bucket closes."
    most = max(lines, key=lambda line: sum(line.pending.values()))
    if waiting := sum(most.pending.values()):
        return f"Label {_parts(waiting)} of line {most.line}: each one narrows the limits."
    for name, count in second_looks.items():
        if count:
            return f"Line {name}: {_parts(count)} to be looked at again by another inspector."
    unknown = any(row.state is State.UNKNOWN for line in lines for row in line.quality if row.defect == ALL)
    return "Nothing is due." + (" Limits appear when the first buckets have closed." if unknown else "")


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count} parts"


def hour(at: float) -> str:
    """A moment in words, with its date: a bucket may close tomorrow."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M} UTC on {moment.day} {moment:%b}"


def _page(line: LineSnapshot) -> str:
    if not line.at_risk:
        return ""
    fallen, parts = ", ".join(line.at_risk), max(line.at_risk.values())
    return f"Line {line.line}: recall of {fallen} has fallen. Hold the {parts} parts at risk, then follow the runbook."


def _below(line: LineSnapshot) -> str:
    below = [row for row in line.quality if row.state is State.BELOW]
    return (
        f"Line {line.line}: recall of {below[0].defect} is below its threshold over {below[0].window}." if below else ""
    )


def _overdue(line: LineSnapshot) -> str:
    overdue = line.challenges.overdue
    return f"Line {line.line}: send challenge part {min(overdue)} through; it is overdue." if overdue else ""


def evidence_needed(row: WindowQuality) -> str:
    """What an undecided row needs, in words; "" for any other."""
    if row.state is not State.UNDECIDED:
        return ""
    parts = parts_to_prove(row)
    if parts is None:
        return "at these rates recall would not be proven: the point is not above the threshold"
    return f"a window of {parts} parts at these rates would prove it, or a larger audit budget"
