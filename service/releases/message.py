"""A verdict as others read it: the same fields in the log and over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

from service.records import NotInspected, Verdict


def message(verdict: Verdict) -> dict[str, object]:
    """JSON-ready. captured_at is ISO 8601 in UTC. The draw's band and weight stay inside: an inspector is not to know them."""
    return {
        "part_id": verdict.part_id,
        "line": verdict.line,
        "camera": verdict.camera,
        "captured_at": datetime.fromtimestamp(verdict.captured_at, UTC).isoformat(),
        "verdict": verdict.outcome.value,
        "predicted": verdict.predicted,
        "scores": list(verdict.scores),
        "model": verdict.model,
        "lot": verdict.lot,
    }


def message_of_missing(missing: NotInspected) -> dict[str, object]:
    """JSON-ready, told apart by `not_inspected`, which says why. verdict: reject, stop or pass."""
    return {
        "part_id": missing.part_id,
        "line": missing.line,
        "camera": missing.camera,
        "captured_at": datetime.fromtimestamp(missing.captured_at, UTC).isoformat(),
        "verdict": missing.outcome.value,
        "not_inspected": missing.reason,
        "trigger": missing.trigger,
    }
