"""Recall and precision of each line, defect and window of closed buckets, with limits. Absent where not estimable."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import Family, add, gauge
from service.records import Escapes, Estimate, Snapshot

ROW = ("defect", "window")


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """One row of each family per line, defect and window."""
    parts = gauge("window_parts", "Labelled parts of the window, as labelled.", *ROW, "outcome")
    escapes = _Escapes()
    estimable = gauge("recall_estimable", "Whether the labels say anything about recall (1) or not (0).", *ROW)
    observed = gauge("recall_observed_ratio", "TP / (TP + FN) over labelled parts as they come: biased upwards.", *ROW)
    rejected = gauge("false_reject_ratio", "Share of the good parts that were rejected, among labelled ones.", *ROW)
    ceiling = gauge(
        "recall_ceiling_ratio",
        "Recall cannot be above this: so many misses are known, volunteered ones included.",
        *ROW,
    )
    worst = gauge("recall_worst_lower_ratio", "Lower limit of recall if every audit not returned were a miss.", *ROW)
    named = _Limits("named_right", "Share of the real defects that are caught and named what they are, audit-weighted")
    recall = _Limits("recall", "Share of the real defects that are caught, audit-weighted")
    precision = _Limits("precision", "Share of the rejects that are real defects")
    for line in snapshot.lines.values():
        for row in line.quality:
            labels = (row.line, row.defect, row.window)
            parts.add_metric((*labels, "true_positive"), row.true_positive)
            parts.add_metric((*labels, "false_positive"), row.false_positive)
            parts.add_metric((*labels, "false_negative"), row.false_negative)
            if row.escapes is not None:
                escapes.add(labels, row.escapes)
            estimable.add_metric(labels, float(row.recall.estimable))
            add(observed, labels, row.observed)
            add(rejected, labels, row.false_reject)
            add(ceiling, labels, row.ceiling)
            add(worst, labels, row.worst_lower)
            named.add(labels, row.named_right)
            recall.add(labels, row.recall)
            precision.add(labels, row.precision)
    yield from (parts, *escapes.families, estimable, *recall.families, observed, ceiling, worst)
    yield from (*named.families, *precision.families, rejected)


class _Escapes:
    """What recall and its limits over several lines are made of, beside the true positives: absent where nobody knows."""

    def __init__(self) -> None:
        self.families: tuple[Family, ...] = (
            gauge(
                "window_escaped_parts",
                "Defective parts of the window that passed, audit-weighted; to be added up over lines, as ratios cannot.",
                *ROW,
            ),
            gauge("window_escaped_squares", "Sum of the squared weights of the audited misses; to be added up.", *ROW),
            gauge("window_audited_misses", "Confirmed audited misses of the window; to be added up.", *ROW),
            gauge(
                "window_largest_weight",
                "Largest audit weight that a passed part of the window had; over lines the largest counts.",
                *ROW,
            ),
        )

    def add(self, labels: tuple[str, ...], found: Escapes) -> None:
        values = (found.weighted, found.squares, found.audited, found.largest_weight)
        for family, value in zip(self.families, values, strict=True):
            family.add_metric(labels, value)


class _Limits:
    """A share as three families: point, lower and upper limit."""

    def __init__(self, name: str, text: str) -> None:
        self.families: tuple[Family, ...] = (
            gauge(f"{name}_ratio", f"{text}.", *ROW),
            gauge(f"{name}_lower_ratio", f"{text}: lower limit.", *ROW),
            gauge(f"{name}_upper_ratio", f"{text}: upper limit.", *ROW),
        )

    def add(self, labels: tuple[str, ...], estimate: Estimate) -> None:
        if estimate.estimable:
            values = (estimate.point, estimate.lower, estimate.upper)
            for family, value in zip(self.families, values, strict=True):
                add(family, labels, value)
