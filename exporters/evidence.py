"""The e-detector of each line and defect: evidence, its limit, and the page that stands."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import gauge
from service.records import Snapshot


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """One row of each family per line and defect that carries a page threshold."""
    evidence = gauge("recall_evidence", "Evidence that recall is below its page threshold.", "defect")
    limit = gauge("recall_evidence_limit", "Evidence at which somebody is paged.", "defect")
    page = gauge("recall_page", "Whether a page stands (1) or not (0); latched until recall is proven again.", "defect")
    for line in snapshot.lines.values():
        for state in line.evidence:
            labels = (state.line, state.defect)
            evidence.add_metric(labels, state.evidence)
            limit.add_metric(labels, state.limit)
            page.add_metric(labels, float(state.paged))
    yield from (evidence, limit, page)
