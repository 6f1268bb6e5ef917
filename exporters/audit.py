"""The audit draw: how it is drawn next, whether it followed its probabilities, and how far inspectors agree."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import add, gauge
from service.records import Snapshot


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """Of the newest closed buckets."""
    budget = gauge("audit_budget_ratio", "Share of passed parts that is drawn for audit from now on, surge included.")
    surge = gauge("audit_surge", "Whether rising evidence has the line draw more audits (1) or not (0).")
    check = gauge(
        "audit_draw_pvalue", "Probability of draw counts this far from their draw probabilities (chi-square)."
    )
    late = gauge("late_label_changes", "Labels that changed a bucket after it had closed.")
    kappa = gauge(
        "inspector_kappa", "Cohen's kappa of the pair of inspectors that agrees least, of pairs with 20 parts or more."
    )
    for name, line in snapshot.lines.items():
        budget.add_metric((name,), line.next_draw.budget)
        surge.add_metric((name,), float(line.next_draw.surge))
        add(check, (name,), line.draw_check)
        late.add_metric((name,), line.late_changes)
        agreed = [value for value, parts in line.agreement.kappa.values() if value is not None and parts >= 20]
        add(kappa, (name,), min(agreed, default=None))
    yield from (budget, surge, check, late, kappa)
