"""What rules are made of: alerts, recorded series, links, and the pieces that their expressions and texts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HOLD = "6h"
"""How long a page stands on its last known value. By then ExporterDown has paged for hours."""


def held(metric: str, collector: str = "") -> str:
    """The metric, or its last value while its collector does not come through: missing data resolves nothing.

    collector: "" for a metric of the worker, which is missing when the worker is not scraped. What a collector that works no longer
    knows, a line or a defect, is gone at once.
    """
    works = f'redrabbit_collector_success{{collector="{collector}"}}' if collector else "up"
    return f"({metric} or (last_over_time({metric}[{HOLD}]) unless on (job, instance) {works} == 1))"


def firing(name: str, by: str) -> str:
    """The alert itself, in expressions that decide whether it stands."""
    return f'ALERTS{{alertname="{name}", by="{by}", alertstate="firing"}}'


def threshold(kind: str, severity: str = "") -> str:
    chosen = f'{{severity="{severity}"}}' if severity else ""
    series = held(f"redrabbit_{kind}_threshold_ratio{chosen}", "thresholds")
    return f"max by (line, defect) ({series})"


@dataclass(frozen=True, slots=True)
class Links:
    """Where whoever is called finds more: base URLs, without a slash at the end."""

    station: str = "http://127.0.0.1:8080"
    grafana: str = "http://127.0.0.1:3000"

    def annotations(self, alert: Alert) -> dict[str, str]:
        """The station serves the runbook; the dashboard opens at the alert's own line."""
        chosen = [
            f"var-{name}={{{{ $labels.{name} | urlquery }}}}"
            for name in ("line", "defect")
            if f"$labels.{name}" in alert.summary
        ]
        return {
            "runbook_url": f"{self.station}/runbook#{alert.name.lower()}",
            "dashboard_url": f"{self.grafana}/d/redrabbit-{alert.dashboard}{'?' * bool(chosen)}{'&'.join(chosen)}",
            "station_url": f"{self.station}/",
        }


@dataclass(frozen=True, slots=True)
class Recording:
    """A series computed beforehand, level:metric:operation. Counts are added and ratios made of the sums, so that lines, plants and
    workers may be added up further on; `plant` is the external label of whoever has several."""

    record: str
    expr: str

    def rule(self, _: Links) -> dict[str, Any]:
        return {"record": self.record, "expr": self.expr}


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. wait: how long it must hold before somebody is told. linger: how long it fires on when it holds no more.

    by: what tells rules of the same name apart. dashboard: where to look.
    """

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    wait: str = "0s"
    linger: str = ""
    by: str = ""
    dashboard: str = "line"

    def rule(self, links: Links) -> dict[str, Any]:
        """As Prometheus reads it."""
        found: dict[str, Any] = {"alert": self.name, "expr": self.expr, "for": self.wait}
        if self.linger:
            found["keep_firing_for"] = self.linger
        found["labels"] = {"severity": self.severity, **({"by": self.by} if self.by else {})}
        found["annotations"] = {
            "summary": self.summary,
            "description": self.description,
            **links.annotations(self),
        }
        return found


def value(series: str, chosen: str = "") -> str:
    """Template text that shows another series of the alert's line and defect as a percentage."""
    query = f"printf `max({series}{{{chosen}line=%q,defect=%q}})` $labels.line $labels.defect | query"
    return f"{{{{ range {query} }}}}{{{{ .Value | humanizePercentage }}}}{{{{ end }}}}"


def plain(series: str) -> str:
    """As `value`, for a count."""
    query = f"printf `max({series}{{line=%q,defect=%q}})` $labels.line $labels.defect | query"
    return f"{{{{ range {query} }}}}{{{{ .Value }}}}{{{{ end }}}}"


ROW = "{{ $labels.line }}, {{ $labels.defect }}"
PAGE_THRESHOLD = value("redrabbit_recall_threshold_ratio", 'severity="page",')
