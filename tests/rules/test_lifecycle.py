"""Every alert's whole life, told to promtool: quiet just before, told, through a restart and a gap, over when the fault is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporters.rules import FILES, Alert, Links
from tests.servers import program

STEP = 15
"""Seconds between two scrapes, and two evaluations."""
HEALTHY, BETWEEN, RESTART, GAP = 1200, 600, 30, 1200
"""Seconds before the fault; between two events; of a restart of worker and exporter; in which neither can be scraped."""

Value = float | Callable[[int], float]
"""Of a series; a function of the second where it changes."""
Key = tuple[str, str, str]
"""Name, severity and `by` of an alert."""

EXPORTER, WORKER = 'job="redrabbit-exporter", instance="e"', 'job="redrabbit-worker", instance="w"'
LINE = f'line="a", {EXPORTER}'
DEFECT = f'defect="crack", {LINE}'
WINDOW = f'window="24h", {DEFECT}'
CAMERA = f'line="a", camera="left", {WORKER}'
RELEASE = f'line="a", release="modbus://plc:502", {WORKER}'
COLLECTORS = ("snapshot", "quality", "evidence", "audit", "challenge", "drift", "freshness", "models", "thresholds")


def _now(second: int) -> float:
    return second


def _ago(seconds: float) -> Callable[[int], float]:
    return lambda now: now - seconds


def _stuck(_: int) -> float:
    return HEALTHY


ALWAYS: Mapping[str, Value] = {
    **{f'redrabbit_collector_success{{collector="{name}", {EXPORTER}}}': 1 for name in COLLECTORS},
    f"up{{{EXPORTER}}}": 1,
    f"up{{{WORKER}}}": 1,
    f'redrabbit_ledger_up{{line="a", {WORKER}}}': 1,
    f"redrabbit_worker_stopped{{{LINE}}}": 0,
    f'redrabbit_recall_threshold_ratio{{severity="page", {DEFECT}}}': 0.8,
    f'redrabbit_precision_threshold_ratio{{severity="warn", {DEFECT}}}': 0.8,
    f"redrabbit_recall_evidence_limit{{{DEFECT}}}": 1000,
    f"redrabbit_closed_buckets{{{LINE}}}": 9,
    f"redrabbit_part_last_timestamp_seconds{{{LINE}}}": _now,
    f"redrabbit_labels_starved_after_seconds{{{LINE}}}": 14400,
    f'redrabbit_camera_threshold_ratio{{kind="sharpness", {LINE}}}': 0.5,
    f'redrabbit_camera_threshold_ratio{{kind="brightness", {LINE}}}': 0.7,
    f'redrabbit_camera_threshold_ratio{{kind="overexposed", {LINE}}}': 0.05,
    f'redrabbit_camera_threshold_ratio{{kind="missed", {LINE}}}': 0.01,
    f"redrabbit_camera_threshold_frames{{{LINE}}}": 10,
    f"redrabbit_camera_triggers_total{{{CAMERA}}}": _now,
}

FAULTS: Mapping[Key, tuple[str, Value, Value]] = {
    ("DefectRecallBelowThreshold", "page", "evidence"): (f"redrabbit_recall_page{{{DEFECT}}}", 0, 1),
    ("DefectRecallBelowThreshold", "page", "window"): (f"redrabbit_recall_upper_ratio{{{WINDOW}}}", 0.8, 0.79),
    ("DefectRecallAtRisk", "ticket", ""): (f"redrabbit_recall_ratio{{{WINDOW}}}", 0.8, 0.79),
    ("DefectRecallAtRisk", "ticket", "evidence"): (f"redrabbit_recall_evidence{{{DEFECT}}}", 100, 101),
    ("DefectRecallAtRisk", "ticket", "ceiling"): (f"redrabbit_recall_ceiling_ratio{{{WINDOW}}}", 0.8, 0.79),
    ("DefectPrecisionBelowThreshold", "ticket", ""): (f"redrabbit_precision_upper_ratio{{{WINDOW}}}", 0.8, 0.79),
    ("DefectRecallUnknown", "ticket", "labels"): (
        f"redrabbit_review_oldest_pending_timestamp_seconds{{{LINE}}}",
        _ago(14400),
        _ago(14401),
    ),
    ("DefectRecallUnknown", "ticket", "estimate"): (f"redrabbit_recall_estimable{{{WINDOW}}}", 1, 0),
    ("ChallengePartMissed", "page", "evidence"): (f"redrabbit_challenge_page{{{DEFECT}}}", 0, 1),
    ("ChallengePartMissed", "ticket", "part"): (
        f'redrabbit_challenge_parts_total{{outcome="missed", {LINE}}}',
        0,
        lambda now: 1 + now // STEP,
    ),
    ("ChallengeOverdue", "ticket", ""): (f"redrabbit_challenge_overdue{{{LINE}}}", 0, 1),
    ("ScoreDrift", "ticket", ""): (f"redrabbit_score_drift{{{LINE}}}", 0.25, 0.26),
    ("AuditDrawBiased", "ticket", ""): (f"redrabbit_audit_draw_pvalue{{{LINE}}}", 1e-6, 9e-7),
    ("CameraDown", "page", ""): (f"redrabbit_camera_up{{{CAMERA}}}", 1, 0),
    ("CameraDegraded", "page", "frozen"): (f"redrabbit_camera_repeated_frames{{{CAMERA}}}", 9, 10),
    ("CameraDegraded", "ticket", "sharpness"): (f"redrabbit_camera_sharpness_ratio{{{CAMERA}}}", 0.5, 0.49),
    ("CameraDegraded", "ticket", "brightness"): (f"redrabbit_camera_brightness_ratio{{{CAMERA}}}", 1.42, 1.43),
    ("CameraDegraded", "ticket", "overexposed"): (f"redrabbit_camera_overexposed_ratio{{{CAMERA}}}", 0.05, 0.06),
    ("CameraDegraded", "ticket", "missed"): (f"redrabbit_camera_frames_total{{{CAMERA}}}", _now, _stuck),
    ("ReleaseDown", "page", ""): (f"redrabbit_release_up{{{RELEASE}}}", 1, 0),
    ("VerdictsLate", "ticket", ""): (f"redrabbit_release_failsafe_total{{{RELEASE}}}", 0, lambda now: 1 + now // STEP),
    ("WorkerDown", "page", "scrape"): (f"up{{{WORKER}}}", 1, 0),
    ("WorkerDown", "page", "heartbeat"): (f"redrabbit_worker_seen_timestamp_seconds{{{LINE}}}", _ago(30), _ago(31)),
    **{
        ("PartsNotInspected", severity, by): (
            f'redrabbit_parts_not_inspected_total{{outcome="{outcome}", {LINE}}}',
            0,
            lambda now: 1 + now // STEP,
        )
        for severity, by, outcome in (("page", "passed", "pass"), ("ticket", "held", "reject"))
    },
    ("ModelUngated", "ticket", ""): (f'redrabbit_model_gated{{line="a", {WORKER}}}', 1, 0),
    ("ExporterDown", "page", ""): (f"up{{{EXPORTER}}}", 1, 0),
    ("ExporterDown", "page", "collector"): (
        f'redrabbit_collector_success{{collector="drift", {EXPORTER}}}',
        1,
        0,
    ),
    ("LedgerUnavailable", "page", "worker"): (f'redrabbit_ledger_up{{line="a", {WORKER}}}', 1, 0),
    ("LedgerUnavailable", "page", "exporter"): (
        f'redrabbit_collector_success{{collector="snapshot", {EXPORTER}}}',
        1,
        0,
    ),
    ("FramesWaiting", "ticket", ""): (f'redrabbit_frames_waiting{{line="a", camera="left", {WORKER}}}', 16, 17),
    ("FramesDead", "ticket", ""): (f'redrabbit_frames_dead{{line="a", camera="left", {WORKER}}}', 0, 1),
    ("PicturesNotShipped", "ticket", ""): (f'redrabbit_image_store_up{{line="a", {WORKER}}}', 1, 0),
    ("ThresholdsInvalid", "ticket", ""): (f"redrabbit_thresholds_valid{{{EXPORTER}}}", 1, 0),
}

LOOKS_BACK: Mapping[Key, int] = {
    ("ChallengePartMissed", "ticket", "part"): 3600,
    ("CameraDegraded", "ticket", "missed"): 600,
    ("VerdictsLate", "ticket", ""): 600,
    ("PartsNotInspected", "page", "passed"): 3600,
    ("PartsNotInspected", "ticket", "held"): 3600,
}
"""Seconds of the past that an expression looks at: so much later is the alert over, and a longer gap it cannot outlast."""

ALERTS: Mapping[Key, Alert] = {
    (rule.name, rule.severity, rule.by): rule for rules in FILES.values() for rule in rules if isinstance(rule, Alert)
}


def test_no_alert_is_left_out() -> None:
    """The watchdog has no fault; stories.yml tells of it."""
    assert set(ALERTS) - {("Watchdog", "info", "")} == set(FAULTS) and len(FAULTS) > 20


@pytest.mark.parametrize("key", FAULTS, ids="-".join)
def test_an_alert_lives_as_long_as_its_fault(key: Key, tmp_path: Path) -> None:
    """One fault, one alert: a restart or a gap neither ends it nor makes a second one."""
    alert = ALERTS[key]
    wait, linger = _seconds(alert.wait), _seconds(alert.linger or "0s")
    looks_back = LOOKS_BACK.get(key, 0)
    length = min(GAP, looks_back // 2 or GAP)
    restart = HEALTHY + wait + BETWEEN
    gap = restart + RESTART + BETWEEN
    mended = gap + length + BETWEEN
    over = mended + linger + looks_back + 2 * STEP
    missing = [*range(restart, restart + RESTART, STEP), *range(gap, gap + length, STEP)]
    fires = range(HEALTHY + wait + STEP, mended, STEP)
    test = {
        "interval": f"{STEP}s",
        "input_series": list(_series(key, range(0, over + STEP, STEP), mended, set(missing))),
        "promql_expr_test": [
            _checked(HEALTHY + wait - STEP, 0),
            *(_checked(second, 1) for second in fires),
            _checked(over, 0),
        ],
    }
    (tmp_path / "rule.yml").write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [alert.rule(Links())]}]}))
    story = {"rule_files": ["rule.yml"], "evaluation_interval": f"{STEP}s", "tests": [test]}
    (tmp_path / "story.yml").write_text(yaml.safe_dump(story))
    command = [program("promtool"), "test", "rules", "story.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[:2000]


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def _checked(second: int, alerts: int) -> dict[str, Any]:
    samples = [{"labels": "{}", "value": alerts}] if alerts else []
    return {"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": f"{second}s", "exp_samples": samples}


def _series(key: Key, story: range, mended: int, missing: set[int]) -> Iterator[dict[str, str]]:
    """In promtool's notation. While nothing can be scraped, all that is known is that."""
    name, healthy, faulty = FAULTS[key]
    for one, always in {**ALWAYS, name: healthy}.items():
        values = []
        for second in story:
            value = faulty if one == name and HEALTHY <= second < mended else always
            if second in missing:
                values.append("0" if one.startswith("up{") else "_")
            else:
                values.append(f"{value(second) if callable(value) else value:.12g}")
        runs = ((value, len(list(run))) for value, run in groupby(values))
        # promtool's AxN is A and then N more; _xN is N.
        yield {
            "series": one,
            "values": " ".join(f"{value}x{count - (value != '_')}" for value, count in runs),
        }
