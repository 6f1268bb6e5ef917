"""A verdict as others read it: the same fields in the log and over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

from service.records import Verdict


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
