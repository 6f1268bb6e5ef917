"""The alert rules: written from code, valid, and told as stories to promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from exporters.rules import RECORDING, write
from exporters.serving import collectors
from service.thresholds import WatchedThresholds
from tests.exporters.snapshot import SNAPSHOT
from tests.servers import program

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules"


def _run(*command: str, folder: Path = ROOT) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_committed_rules_are_what_the_code_writes(tmp_path: Path) -> None:
    """`redrabbit rules` changes nothing."""
    written = {Path(file).name: Path(file).read_text(encoding="utf-8") for file in write(tmp_path)}
    assert written == {file.name: file.read_text(encoding="utf-8") for file in RULES.glob("*.yml")}


def test_promtool_accepts_the_rules() -> None:
    """Syntax; the configuration that names them is checked in tests/deploy."""
    assert "SUCCESS" in _run(program("promtool"), "check", "rules", *map(str, sorted(RULES.glob("*.yml"))))


def test_the_stories(tmp_path: Path) -> None:
    """Each alert fires when it must and is quiet when it must: see stories.yml."""
    for file in [*RULES.glob("*.yml"), Path(__file__).with_name("stories.yml")]:
        shutil.copy(file, tmp_path)
    assert "SUCCESS" in _run(program("promtool"), "test", "rules", "stories.yml", folder=tmp_path)


def test_every_alert_has_a_story() -> None:
    """A rule that no story is told about could be anything."""
    alerts = set(re.findall(r"alert: ([A-Za-z]+)", "".join(file.read_text() for file in RULES.glob("*.yml"))))
    told = Path(__file__).with_name("stories.yml").read_text(encoding="utf-8")
    assert [alert for alert in sorted(alerts) if alert not in told] == []


def test_every_series_of_a_rule_is_exported() -> None:
    """A rule about a metric that nobody exports could never fire, and no story would tell: stories make their series up."""
    golden = (ROOT / "tests/golden/metrics.prom").read_text(encoding="utf-8")
    exported = set(re.findall(r"^(redrabbit_[a-z_]+)", golden, re.MULTILINE))
    expressions = re.findall(r"^ +expr: (.*)$", "".join(file.read_text() for file in RULES.glob("*.yml")), re.MULTILINE)
    asked = {name for text in expressions for name in re.findall(r"(?<![:a-z_])redrabbit_[a-z_]+", text)}
    assert len(expressions) > 15 and asked and asked - exported == set()
    recorded = {rule.record for rule in RECORDING}
    again = {name for text in expressions for name in re.findall(r"[a-z_]+:redrabbit_[a-z_0-9:]+", text)}
    assert again and again <= recorded


def test_what_a_rule_holds_it_holds_by_the_collector_that_exports_it(tmp_path: Path) -> None:
    """Held by another, a page would end while its own figures are missing, or stand while they are there."""
    thresholds = tmp_path / "thresholds.yaml"
    thresholds.write_text("lines: {a: {recall: {page: 0.75}}}\n")
    exported = {
        name: {family.name for family in collect(SNAPSHOT)}
        for name, collect in collectors(WatchedThresholds(thresholds))
    }
    text = "".join(file.read_text() for file in RULES.glob("*.yml"))
    held = re.findall(r"last_over_time\((redrabbit_[a-z_]+)[^)]*\) unless on \(job, instance\) (\S+)", text)
    by = {(metric, name) for metric, works in held for name in re.findall(r'collector="([a-z]+)"', works)}
    assert len(by) > 10 and [(metric, name) for metric, name in sorted(by) if metric not in exported[name]] == []


def test_amtool_accepts_the_routes() -> None:
    """The configuration of Alertmanager."""
    assert "SUCCESS" in _run(program("amtool"), "check-config", str(ROOT / "deploy/alertmanager/alertmanager.yml"))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=DefectRecallBelowThreshold", "severity=page", "line=a"], "pager"),
        (["alertname=DefectRecallAtRisk", "severity=ticket", "line=a"], "tickets"),
        (["alertname=Watchdog", "severity=info"], "dead-mans-switch"),
    ],
)
def test_alerts_go_where_they_belong(labels: list[str], receiver: str) -> None:
    """Pages wake, tickets wait, the watchdog feeds its switch."""
    config = f"--config.file={ROOT / 'deploy/alertmanager/alertmanager.yml'}"
    assert _run(program("amtool"), "config", "routes", "test", config, *labels).strip() == receiver
