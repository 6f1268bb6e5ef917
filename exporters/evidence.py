"""The e-detectors of each line and defect: evidence, its limit, the page that stands, and how many parts it touches."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import gauge
from service.records import Detector, Snapshot

FED_BY = {Detector.AUDIT: "recall", Detector.CHALLENGE: "challenge"}


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """One row of each family per line and defect that carries a page threshold: of audits, and of challenge parts."""
    for detector, name in FED_BY.items():
        what = "audits" if detector is Detector.AUDIT else "challenge parts"
        evidence = gauge(f"{name}_evidence", f"Evidence of {what} that recall is below its page threshold.", "defect")
        limit = gauge(f"{name}_evidence_limit", f"Evidence of {what} at which somebody is paged.", "defect")
        page = gauge(
            f"{name}_page",
            f"Whether a page of {what} stands (1) or not (0): until it is acknowledged, taken back or recall is proven anew.",
            "defect",
        )
        for line in snapshot.lines.values():
            for state in line.evidence:
                if state.detector is detector:
                    labels = (state.line, state.defect)
                    evidence.add_metric(labels, state.evidence)
                    limit.add_metric(labels, state.limit)
                    page.add_metric(labels, float(state.paged))
        yield from (evidence, limit, page)
    at_risk = gauge("parts_at_risk", "Passed parts that a standing page touches.", "defect")
    for line in snapshot.lines.values():
        for defect, parts in line.at_risk.items():
            at_risk.add_metric((line.line, defect), parts)
    yield at_risk
