"""The alert rules, from definitions in code to deploy/prometheus/rules.

Static: every rule compares series with series, so a new threshold, line or defect changes no rule. Where data is missing a
page stands: see `_held`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HEAD = "# Written by `redrabbit rules` from exporters/rules.py. Change it there.\n"

HOLD = "6h"
"""How long a page stands on its last known value. By then ExporterDown has paged for hours."""

_COLLECTED = 'on (job, instance) redrabbit_collector_success{collector="%s"} == 1'


def _held(metric: str, collector: str) -> str:
    """The metric, or its last value while its collector does not come through: missing data resolves nothing.

    A line or defect that a working collector no longer knows is gone at once.
    """
    return f"({metric} or (last_over_time({metric}[{HOLD}]) unless {_COLLECTED % collector}))"


def _threshold(kind: str, severity: str = "") -> str:
    chosen = f'{{severity="{severity}"}}' if severity else ""
    held = _held(f"redrabbit_{kind}_threshold_ratio{chosen}", "thresholds")
    return f"max by (line, defect) ({held})"


@dataclass(frozen=True, slots=True)
class Links:
    """Where whoever is called finds more: base URLs, without a slash at the end."""

    station: str = "http://127.0.0.1:8080"
    grafana: str = "http://127.0.0.1:3000"

    def annotations(self, alert: Alert) -> dict[str, str]:
        """The station serves the runbook; the dashboard opens at the alert's own line."""
        dashboard = "machine" if alert in HEALTH else "line"
        chosen = [
            f"var-{name}={{{{ $labels.{name} | urlquery }}}}"
            for name in ("line", "defect")
            if f"$labels.{name}" in alert.summary
        ]
        return {
            "runbook_url": f"{self.station}/runbook#{alert.name.lower()}",
            "dashboard_url": f"{self.grafana}/d/redrabbit-{dashboard}{'?' * bool(chosen)}{'&'.join(chosen)}",
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

    by: what tells rules of the same name apart.
    """

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    wait: str = "0s"
    linger: str = ""
    by: str = ""

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


def _value(series: str, chosen: str = "") -> str:
    """Template text that shows another series of the alert's line and defect as a percentage."""
    query = f"printf `max({series}{{{chosen}line=%q,defect=%q}})` $labels.line $labels.defect | query"
    return f"{{{{ range {query} }}}}{{{{ .Value | humanizePercentage }}}}{{{{ end }}}}"


def _plain(series: str) -> str:
    """As `_value`, for a count."""
    query = f"printf `max({series}{{line=%q,defect=%q}})` $labels.line $labels.defect | query"
    return f"{{{{ range {query} }}}}{{{{ .Value }}}}{{{{ end }}}}"


_ROW = "{{ $labels.line }}, {{ $labels.defect }}"
_PAGE_THRESHOLD = _value("redrabbit_recall_threshold_ratio", 'severity="page",')
_UPPER = (
    "(" + _held("redrabbit_recall_upper_ratio", "quality") + " or (last_over_time(redrabbit_recall_upper_ratio[" + HOLD
    + "]) and on (job, instance, line, defect, window) redrabbit_recall_estimable == 0))"
)  # fmt: skip
_FLOWING = (
    "on (line) (time() - max by (line) (redrabbit_part_last_timestamp_seconds) < on (line) "
    "max by (line) (redrabbit_labels_starved_after_seconds))"
)

QUALITY = (
    Alert(
        "DefectRecallBelowThreshold",
        "page",
        f"max by (line, defect) ({_held('redrabbit_recall_page', 'evidence')}) == 1",
        f"{_ROW}: defects escape",
        f"The audits of line {{{{ $labels.line }}}} prove that recall of {{{{ $labels.defect }}}} fell below {_PAGE_THRESHOLD}. "
        f"Point estimate, best window: {_value('redrabbit_recall_ratio')} (empty: too few misses to say). "
        f"Passed parts at risk: {_plain('redrabbit_parts_at_risk')}; the station lists them. "
        "It stands until somebody acknowledges it or recall is proven again.",
        by="evidence",
    ),
    Alert(
        "DefectRecallBelowThreshold",
        "page",
        f"max by (line, defect, window) ({_UPPER}) < on (line, defect) group_left () {_threshold('recall', 'page')}",
        f"{_ROW}: defects escape",
        "Recall of {{ $labels.defect }} on line {{ $labels.line }} over {{ $labels.window }} is at most "
        f"{{{{ $value | humanizePercentage }}}}; the page threshold is {_PAGE_THRESHOLD}.",
        wait="1m",
        linger="5m",
        by="window",
    ),
    Alert(
        "DefectRecallAtRisk",
        "ticket",
        "max by (line, defect, window) (redrabbit_recall_ratio) < on (line, defect) group_left () "
        + _threshold("recall"),
        f"{_ROW}: recall may be too low",
        "The point estimate of recall of {{ $labels.defect }} on line {{ $labels.line }} over {{ $labels.window }} is "
        f"{{{{ $value | humanizePercentage }}}}, below its page or warn threshold; its limits do not prove it. "
        f"The page threshold is {_PAGE_THRESHOLD}.",
        wait="30m",
        linger="10m",
    ),
    Alert(
        "DefectRecallAtRisk",
        "ticket",
        "max by (line, defect) (redrabbit_recall_evidence) > on (line, defect) "
        "max by (line, defect) (redrabbit_recall_evidence_limit) / 10",
        f"{_ROW}: evidence is rising",
        "Evidence that recall of {{ $labels.defect }} on line {{ $labels.line }} fell is {{ $value | humanize }}: more than a tenth "
        "of what pages. Label what is due first.",
        linger="10m",
        by="evidence",
    ),
    Alert(
        "DefectRecallAtRisk",
        "ticket",
        "max by (line, defect, window) (redrabbit_recall_ceiling_ratio) < on (line, defect) group_left () "
        + _threshold("recall", "page"),
        f"{_ROW}: so many misses are known",
        "Known misses, returns of customers among them, leave recall of {{ $labels.defect }} on line {{ $labels.line }} over "
        "{{ $labels.window }} at {{ $value | humanizePercentage }} at most, whatever the audits say.",
        wait="5m",
        linger="10m",
        by="ceiling",
    ),
    Alert(
        "DefectPrecisionBelowThreshold",
        "ticket",
        "max by (line, defect, window) (redrabbit_precision_upper_ratio) < on (line, defect) group_left () "
        + _threshold("precision"),
        f"{_ROW}: good parts are rejected",
        "Of the parts that line {{ $labels.line }} rejects for {{ $labels.defect }}, at most {{ $value | humanizePercentage }} "
        "are defective over {{ $labels.window }}: overkill above what thresholds.yaml allows.",
        wait="30m",
        linger="10m",
    ),
    Alert(
        "DefectRecallUnknown",
        "ticket",
        "time() - max by (line) (redrabbit_review_oldest_pending_timestamp_seconds) > on (line) "
        f"max by (line) (redrabbit_labels_starved_after_seconds) and {_FLOWING}",
        "{{ $labels.line }}: parts wait for their labels",
        "Line {{ $labels.line }} runs, and its oldest part to review has waited {{ $value | humanizeDuration }}: longer than "
        "labels.starved_after. Recall is getting unknown; no page can be trusted to come.",
        wait="5m",
        by="labels",
    ),
    Alert(
        "DefectRecallUnknown",
        "ticket",
        "max by (line, defect) (redrabbit_recall_estimable) == 0 and on (line, defect) redrabbit_recall_threshold_ratio "
        f"and on (line) redrabbit_closed_buckets > 0 and {_FLOWING}",
        f"{_ROW}: recall is unknown",
        "Line {{ $labels.line }} runs and no window says anything about recall of {{ $labels.defect }}: "
        "no audited part is labelled. No page can come.",
        wait="1h",
        by="estimate",
    ),
)

CHALLENGE = (
    Alert(
        "ChallengePartMissed",
        "page",
        f"max by (line, defect) ({_held('redrabbit_challenge_page', 'evidence')}) == 1",
        f"{_ROW}: challenge parts go through",
        "Challenge parts that line {{ $labels.line }} let pass prove that recall of {{ $labels.defect }} fell below "
        f"{_PAGE_THRESHOLD}. Passed parts at risk: {_plain('redrabbit_parts_at_risk')}; the station lists them. "
        "It stands until somebody acknowledges it or recall is proven again.",
        by="evidence",
    ),
    Alert(
        "ChallengePartMissed",
        "ticket",
        'increase(redrabbit_challenge_parts_total{outcome="missed"}[1h]) > 0',
        "{{ $labels.line }}: a challenge part was missed",
        "Line {{ $labels.line }} judged a challenge part other than it is known to be. Send it again: one miss proves little, "
        "two in a row a lot.",
        by="part",
    ),
    Alert(
        "ChallengeOverdue",
        "ticket",
        "max by (line) (redrabbit_challenge_overdue) > 0",
        "{{ $labels.line }}: {{ $value }} challenge parts are overdue",
        "The line has gone on since they were due. `redrabbit challenge list` names them.",
    ),
    Alert(
        "ScoreDrift",
        "ticket",
        "max by (line) (redrabbit_score_drift) > 0.25",
        "{{ $labels.line }}: the scores have drifted",
        "Scores of line {{ $labels.line }} lie otherwise than in validation: population stability index "
        "{{ $value | humanize }}, above 0.25. Look at the pictures; audits say whether recall has suffered.",
        wait="30m",
        linger="10m",
    ),
    Alert(
        "AuditDrawBiased",
        "ticket",
        "max by (line) (redrabbit_audit_draw_pvalue) < 1e-6",
        "{{ $labels.line }}: the audit draw does not follow its probabilities",
        "Draws of line {{ $labels.line }} this far from their probabilities happen by chance with probability "
        "{{ $value }}: no estimate of recall can be trusted until it is known why.",
        linger="10m",
    ),
)

_LAST_KNOWN = 'last_over_time(redrabbit_ledger_up{job="redrabbit-worker"}[1d])'
_SCRAPE_FAILS = 'on (job, instance) up{job="redrabbit-worker"} == 0'

_CAMERA = "{{ $labels.line }}: camera {{ $labels.camera }}"


def _camera_limit(kind: str) -> str:
    held = _held(f'redrabbit_camera_threshold_ratio{{kind="{kind}"}}', "thresholds")
    return f"on (line) group_left () max by (line) ({held})"


def _outside(kind: str) -> str:
    """Less than the threshold, or more than its inverse."""
    value = f"max by (line, camera) (redrabbit_camera_{kind}_ratio)"
    return f"{value} < {_camera_limit(kind)} or {value} > {_camera_limit(kind).replace('max by', '1 / max by')}"


def _degraded(by: str, expr: str, description: str) -> Alert:
    return Alert(
        "CameraDegraded",
        "ticket",
        expr,
        f"{_CAMERA} sees worse: {by}",
        f"Camera {{{{ $labels.camera }}}} of line {{{{ $labels.line }}}} {description}",
        wait="2m",
        linger="5m",
        by=by,
    )


HEALTH = (
    Alert(
        "CameraDown",
        "page",
        "max by (line, camera) (redrabbit_camera_up) == 0",
        "{{ $labels.line }}: camera {{ $labels.camera }} is down",
        "Camera {{ $labels.camera }} of line {{ $labels.line }} delivers no pictures: its parts are not inspected.",
        wait="1m",
        linger="5m",
    ),
    Alert(
        "CameraDegraded",
        "page",
        "max by (line, camera) (redrabbit_camera_repeated_frames) >= on (line) group_left () "
        f"max by (line) ({_held('redrabbit_camera_threshold_frames', 'thresholds')})",
        f"{_CAMERA} is frozen",
        "Camera {{ $labels.camera }} of line {{ $labels.line }} gave the very same picture {{ $value }} times in a row: "
        "its parts are not inspected.",
        linger="5m",
        by="frozen",
    ),
    _degraded(
        "sharpness",
        _outside("sharpness"),
        "has {{ $value | humanizePercentage }} of the fine detail that it had when the model took over: "
        "less is out of focus or dirty, more is noise.",
    ),
    _degraded(
        "brightness",
        _outside("brightness"),
        "gives pictures of {{ $value | humanizePercentage }} of the brightness of when the model took over.",
    ),
    _degraded(
        "overexposed",
        f"max by (line, camera) (redrabbit_camera_overexposed_ratio) > {_camera_limit('overexposed')}",
        "overexposes {{ $value | humanizePercentage }} of its pixels more than when the model took over.",
    ),
    _degraded(
        "missed",
        "1 - sum by (line, camera) (increase(redrabbit_camera_frames_total[10m])) / "
        f"sum by (line, camera) (increase(redrabbit_camera_triggers_total[10m]) > 0) > {_camera_limit('missed')}",
        "gave no picture for {{ $value | humanizePercentage }} of its triggers in ten minutes: those parts are not inspected.",
    ),
    Alert(
        "WorkerDown",
        "page",
        f"max by (line, instance) ({_LAST_KNOWN} and {_SCRAPE_FAILS}) * 0 unless on (line) redrabbit_worker_stopped == 1 "
        f'or max by (instance) (up{{job="redrabbit-worker"}} == 0 unless on (job, instance) {_LAST_KNOWN})',
        "{{ $labels.line }} {{ $labels.instance }}: the worker does not answer",
        "The worker at {{ $labels.instance }} (line {{ $labels.line }}) cannot be scraped: "
        "parts may pass without inspection.",
        wait="1m",
        by="scrape",
    ),
    Alert(
        "WorkerDown",
        "page",
        "time() - max by (line) (redrabbit_worker_seen_timestamp_seconds) > 30 unless on (line) redrabbit_worker_stopped == 1",
        "{{ $labels.line }}: no sign of life of the worker",
        "No worker of line {{ $labels.line }} has given a sign of life for {{ $value | humanizeDuration }}: "
        "parts may pass without inspection.",
        linger="1m",
        by="heartbeat",
    ),
    Alert(
        "ModelUngated",
        "ticket",
        "max by (line) (redrabbit_model_gated) == 0",
        "{{ $labels.line }}: the model has not passed the gate",
        "Line {{ $labels.line }} runs a model that the release gate has not passed: somebody let it in with --allow-ungated.",
        wait="5m",
    ),
    Alert(
        "ExporterDown",
        "page",
        'up{job="redrabbit-exporter"} == 0 or absent(up{job="redrabbit-exporter"})',
        "{{ $labels.instance }}: the exporter does not answer",
        "The exporter {{ $labels.instance }} cannot be scraped: recall is not watched, no page about it can come.",
        wait="1m",
    ),
    Alert(
        "ExporterDown",
        "page",
        'redrabbit_collector_success{collector!="snapshot"} == 0',
        "{{ $labels.instance }}: the exporter fails at {{ $labels.collector }}",
        "The exporter {{ $labels.instance }} answers without the figures of {{ $labels.collector }}; its log says why.",
        wait="1m",
        linger="5m",
        by="collector",
    ),
    Alert(
        "LedgerUnavailable",
        "page",
        "max by (line) (redrabbit_ledger_up) == 0",
        "{{ $labels.line }}: the ledger cannot be written",
        "The worker of line {{ $labels.line }} holds its verdicts back because their record cannot be written.",
        wait="30s",
        linger="5m",
        by="worker",
    ),
    Alert(
        "LedgerUnavailable",
        "page",
        'redrabbit_collector_success{collector="snapshot"} == 0',
        "{{ $labels.instance }}: the ledger cannot be read",
        "The exporter {{ $labels.instance }} cannot read the ledger: recall is not watched, no page about it can come.",
        wait="1m",
        linger="5m",
        by="exporter",
    ),
    Alert(
        "ThresholdsInvalid",
        "ticket",
        "redrabbit_thresholds_valid == 0",
        "{{ $labels.instance }}: thresholds.yaml cannot be read",
        "The last good thresholds stay in force. `redrabbit check` names the key and the value.",
    ),
    Alert(
        "Watchdog",
        "info",
        "vector(1)",
        "Alerting works",
        "Always fires. Whoever receives it must call for help when it stops coming.",
    ),
)

_ROWS = "plant, line, defect, window"


def _of_lines(metric: str) -> str:
    """Added over the lines whose escapes are known. Two exporters of one ledger say the same: the larger one counts once."""
    known, value = (f"max by ({_ROWS}) ({one})" for one in ("redrabbit_window_escaped_parts", metric))
    return f"sum by (plant, defect, window) ({value} and on ({_ROWS}) {known})"


RECORDING = (
    Recording(
        "line_verdict:redrabbit_parts:rate5m",
        "sum by (plant, line, verdict) (max by (plant, line, camera, verdict) (rate(redrabbit_parts_total[5m])))",
    ),
    Recording(
        "line_reason:redrabbit_frames_dropped:rate5m",
        "sum by (plant, line, reason) (rate(redrabbit_frames_dropped_total[5m]))",
    ),
    Recording(
        "line_stage_le:redrabbit_part_seconds_bucket:rate5m",
        "sum by (plant, line, stage, le) (rate(redrabbit_part_seconds_bucket[5m]))",
    ),
    Recording("defect_window:redrabbit_caught_parts:sum", _of_lines('redrabbit_window_parts{outcome="true_positive"}')),
    Recording("defect_window:redrabbit_escaped_parts:sum", _of_lines("redrabbit_window_escaped_parts")),
    Recording(
        "defect_window:redrabbit_recall:ratio",
        "defect_window:redrabbit_caught_parts:sum "
        "/ (defect_window:redrabbit_caught_parts:sum + defect_window:redrabbit_escaped_parts:sum > 0)",
    ),
)

FILES: Mapping[str, Sequence[Alert | Recording]] = {
    "quality": QUALITY,
    "challenge": CHALLENGE,
    "health": HEALTH,
    "recording": RECORDING,
}


def rendered(name: str, links: Links) -> str:
    """The text of one file of rules."""
    groups = {"groups": [{"name": f"redrabbit-{name}", "rules": [rule.rule(links) for rule in FILES[name]]}]}
    return HEAD + yaml.safe_dump(groups, sort_keys=False, width=10_000)


def write(folder: Path, links: Links | None = None) -> list[Path]:
    """Writes every file of rules into the folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name in FILES:
        found.append(folder / f"{name}.yml")
        found[-1].write_text(rendered(name, links or Links()), encoding="utf-8")
    return found
