"""Records as JSON. What cannot be estimated is null and says why; every matrix names its axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.records import (
    ALL,
    Estimate,
    EvidenceState,
    LineSnapshot,
    RecordedLabel,
    RecordedVerdict,
    Snapshot,
    State,
    WindowQuality,
)


def quality(snapshot: Snapshot, lines: Sequence[LineSnapshot]) -> dict[str, Any]:
    """GET /v1/quality."""
    return {"as_of": snapshot.as_of, "lines": [_line(line) for line in lines]}


def _line(line: LineSnapshot) -> dict[str, Any]:
    return {
        "line": line.line,
        "closed_buckets": line.closed_buckets,
        "open_parts": line.open_parts,
        "pending": {source.value: count for source, count in line.pending.items()},
        "quality": [_row(row) for row in line.quality],
        "provisional": [_row(row) for row in line.provisional],
        "evidence": [_evidence(row) for row in line.evidence],
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
        "observed_recall": row.observed,
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
    return {"defect": row.defect, "evidence": row.evidence, "limit": row.limit, "paged": row.paged}


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


def advice(lines: Sequence[LineSnapshot]) -> str:
    """One sentence on what to do next, the most urgent first."""
    if not lines:
        return "No part has been inspected yet: start the worker."
    for line in lines:
        if paged := [row.defect for row in line.evidence if row.paged]:
            return f"Line {line.line}: recall of {', '.join(paged)} has fallen. Hold the lots, then follow the runbook."
    for line in lines:
        if below := [row for row in line.quality if row.state is State.BELOW]:
            return f"Line {line.line}: recall of {below[0].defect} is below its threshold over {below[0].window}."
    most = max(lines, key=lambda line: sum(line.pending.values()))
    if due := sum(most.pending.values()):
        return f"Label {due} parts of line {most.line}: each one narrows the limits."
    if any(row.state is State.UNKNOWN for line in lines for row in line.quality if row.defect == ALL):
        return "Nothing is due. Limits appear when the first buckets have closed."
    return "Nothing is due."
