"""Recall over lines, plants and machines, with limits: from counts that a Prometheus has added up.

PromQL adds the counts and takes the ratio; the quantiles of the limits are not in it, so they are computed here, by the same
function as each line's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import httpx
from prometheus_client import CollectorRegistry, Metric

from exporters.families import Family, add
from exporters.scrape import Collectors
from service.quality.recall import of_sums, pointed
from service.records import Escapes, Estimate

TIMEOUT = 5.0
SUMS: Mapping[str, str] = {
    "caught_parts:sum": "sum",
    "escaped_parts:sum": "sum",
    "escaped_squares:sum": "sum",
    "audited_misses:sum": "sum",
    "largest_weight:max": "max",
}
"""The recording rules that are asked for, after their prefix, and how each goes on being added up."""

_LABELS = ("defect", "window")


class PrometheusUnavailable(Exception):
    """It cannot be asked, or does not know the sums."""


@dataclass(frozen=True, slots=True)
class Total:
    """labels: the values of defect, window and what else was kept apart, in that order. recall: over everything below them."""

    labels: tuple[str, ...]
    recall: Estimate


def totals(prometheus: str, by: Sequence[str] = (), transport: httpx.BaseTransport | None = None) -> Sequence[Total]:
    """Recall of everything that the Prometheus at this URL knows, apart for each value of the labels `by` (such as plant).

    Raises PrometheusUnavailable.
    """
    kept = (*_LABELS, *by)
    queries = [f"{how} by ({', '.join(kept)}) (defect_window:redrabbit_{name})" for name, how in SUMS.items()]
    try:
        with httpx.Client(base_url=prometheus, timeout=TIMEOUT) as client:
            sums = [_rows(client.get("/api/v1/query", params={"query": query}), kept) for query in queries]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PrometheusUnavailable(f"{prometheus}: {error or type(error).__name__}") from error
    if not any(sums):
        raise PrometheusUnavailable(
            f"{prometheus}: no counts; expected the rules of deploy/prometheus/rules/recording.yml and an exporter with a closed bucket"
        )
    rows = sorted(set(sums[0]).intersection(*sums[1:]))
    return [_total(row, *(found[row] for found in sums)) for row in rows]


def registry(prometheus: str, by: Sequence[str] = ()) -> CollectorRegistry:
    """The totals as metrics, asked for at each scrape."""
    made = CollectorRegistry()
    made.register(Collectors(partial(totals, prometheus, by), (("totals", partial(families, by)),)))
    return made


def families(by: Sequence[str], found: Sequence[Total]) -> Iterator[Metric]:
    """One row for each total whose limits say anything."""
    labels, text = (*_LABELS, *by), "Share of the real defects that are caught, over all lines together, audit-weighted"
    point = Family("redrabbit_total_recall_ratio", f"{text}.", "gauge", labels)
    lower = Family("redrabbit_total_recall_lower_ratio", f"{text}: lower limit.", "gauge", labels)
    upper = Family("redrabbit_total_recall_upper_ratio", f"{text}: upper limit.", "gauge", labels)
    for total in found:
        if total.recall.estimable:
            add(point, total.labels, total.recall.point)
            add(lower, total.labels, total.recall.lower)
            add(upper, total.labels, total.recall.upper)
    yield from (point, lower, upper)


def _total(
    labels: tuple[str, ...], caught: float, escaped: float, squares: float, audited: float, largest: float
) -> Total:
    return Total(labels, pointed(of_sums(caught, Escapes(escaped, squares, round(audited), largest))))


def _rows(answer: httpx.Response, kept: Sequence[str]) -> Mapping[tuple[str, ...], float]:
    """{values of the labels `kept`: value} of an instant query."""
    try:
        found = answer.json()["data"]["result"]
        return {tuple(one["metric"].get(name, "") for name in kept): float(one["value"][1]) for one in found}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PrometheusUnavailable(f"{answer.url}: {answer.status_code}, and no answer of Prometheus") from error
