"""Metric families by line: names, help texts and labels stand once, in the table of each collector."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """An empty gauge named redrabbit_<name>, with the label `line` before the others."""
    return GaugeMetricFamily(f"redrabbit_{name}", text, labels=("line", *labels))


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """An empty counter named redrabbit_<name>, with the label `line` before the others."""
    return CounterMetricFamily(f"redrabbit_{name}", text, labels=("line", *labels))


def add(family: GaugeMetricFamily, labels: Sequence[str], value: float | None) -> None:
    """Adds the sample when there is a value: what is not known is absent, never 0 or NaN."""
    if value is not None:
        family.add_metric(labels, value)
