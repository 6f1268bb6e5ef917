"""The one number that ranks lines, told as stories to promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from exporters.dashboards.state import STATES, state
from tests.servers import program

HEALTHY: dict[str, float] = {
    'recall_threshold_ratio{severity="page"}': 0.68,
    'recall_threshold_ratio{severity="warn"}': 0.9,
    'recall_estimable{window="24h"}': 1,
    'recall_lower_ratio{window="24h"}': 0.7,
    'recall_upper_ratio{window="24h"}': 0.9,
    "recall_page{}": 0,
    "worker_seen_timestamp_seconds{}": 60,
    "worker_stopped{}": 0,
    'camera_up{camera="left"}': 1,
}
NOTHING_KNOWN = {
    'recall_threshold_ratio{severity="page"}': 0.68,
    "worker_seen_timestamp_seconds{}": 60,
    "worker_stopped{}": 0,
}

STORIES: dict[str, tuple[str, dict[str, float]]] = {
    "healthy": ("PROVEN", HEALTHY),
    "limits-on-both-sides": ("UNDECIDED", HEALTHY | {'recall_lower_ratio{window="24h"}': 0.6}),
    "one-window-worse": ("UNDECIDED", HEALTHY | {'recall_lower_ratio{window="100 parts"}': 0.2}),
    "one-window-silent": ("UNDECIDED", HEALTHY | {'recall_estimable{window="100 parts"}': 0}),
    "no-bucket-closed": ("UNKNOWN", NOTHING_KNOWN),
    "nothing-estimable": ("UNKNOWN", NOTHING_KNOWN | {'recall_estimable{window="24h"}': 0}),
    "one-window-below": ("BELOW", HEALTHY | {'recall_upper_ratio{window="100 parts"}': 0.6}),
    "paged-while-proven": ("PAGE", HEALTHY | {"recall_page{}": 1}),
    "challenge-parts-page": ("PAGE", HEALTHY | {"challenge_page{}": 1}),
    "worker-gone-with-a-page": ("NOT INSPECTED", HEALTHY | {"recall_page{}": 1, "worker_seen_timestamp_seconds{}": 0}),
    "cameras-at-their-end": ("PROVEN", HEALTHY | {"worker_seen_timestamp_seconds{}": 0, "worker_stopped{}": 1}),
    "camera-down": ("NOT INSPECTED", HEALTHY | {'camera_up{camera="right"}': 0}),
}


def _series(line: str, name: str) -> str:
    metric, _, labels = name.rstrip("}").partition("{")
    own = ",".join(filter(None, [f'plant="north",line="{line}",defect="crack"', labels]))
    return f"redrabbit_{metric}{{{own}}}"


def test_every_line_has_one_state_and_the_worst_counts(tmp_path: Path) -> None:
    """What is not known is UNKNOWN and never PROVEN; whoever is not inspected comes before everybody."""
    numbers = {word.text: number for number, word in STATES.items()}
    test = {
        "interval": "1m",
        "input_series": [
            {"series": _series(line, name), "values": f"{value} {value}"}
            for line, (_, values) in STORIES.items()
            for name, value in values.items()
        ],
        "promql_expr_test": [
            {
                "expr": state('plant=~".*"'),
                "eval_time": "1m",
                "exp_samples": [
                    {"labels": f'{{plant="north",line="{line}",defect="crack"}}', "value": numbers[text]}
                    for line, (text, _) in STORIES.items()
                ],
            }
        ],
    }
    file = tmp_path / "stories.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
