"""Every command, setting, metric and alert is documented, and nothing documented is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from service.cli import app
from service.settings import Settings
from service.thresholds import BUILT_IN

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
RULES = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "deploy/prometheus/rules").glob("*.yml"))


def _commands(group: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, command in group.commands.items():
        path = f"{prefix} {name}".strip()
        found |= _commands(command, path) if hasattr(command, "commands") else {path}
    return found


def test_every_command_is_documented_and_the_other_way_round() -> None:
    """The table of commands is the list of commands."""
    documented = set(re.findall(r"^\| `redrabbit ([a-z ]+)` \|", REFERENCE, re.MULTILINE))
    assert documented == _commands(typer.main.get_command(app))


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if _is_section(one)]
        found |= _keys(inner[0], f"{prefix}{name}.") if inner else {f"{prefix}{name}"}
    return found


def test_every_setting_is_documented_and_the_other_way_round() -> None:
    """The table of line.yaml is the list of its keys."""
    section = REFERENCE.partition("## line.yaml")[2].partition("### Cameras")[0]
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", section, re.MULTILINE)) == _keys(Settings)


def test_every_threshold_is_documented() -> None:
    """Each key of thresholds.yaml, with its default."""
    section = REFERENCE.partition("## thresholds.yaml")[2].partition("## HTTP")[0]
    keys = {f"{name}.{key}" for name, value in BUILT_IN.items() if isinstance(value, dict) for key in value}
    keys |= {name for name, value in BUILT_IN.items() if not isinstance(value, dict)}
    assert [key for key in sorted(keys) if f"`{key}`" not in section] == []


def test_every_metric_is_documented_and_the_other_way_round() -> None:
    """The table of metrics is the golden file's list of families."""
    golden = (ROOT / "tests/golden/metrics.prom").read_text(encoding="utf-8")
    families = set(re.findall(r"^# TYPE (redrabbit_[a-z_]+) ", golden, re.MULTILINE))
    section = REFERENCE.partition("## Metrics")[2].partition("## Alerts")[0]
    assert set(re.findall(r"^\| `(redrabbit_[a-z_]+)[{`]", section, re.MULTILINE)) == families


def test_every_alert_is_documented_and_the_other_way_round() -> None:
    """In the reference and, with a section, in the runbook."""
    alerts = set(re.findall(r"alert: ([A-Za-z]+)", RULES))
    section = REFERENCE.partition("## Alerts")[2]
    assert set(re.findall(r"^\| `([A-Za-z]+)` \|", section, re.MULTILINE)) == alerts
    runbook = (ROOT / "deploy/runbook.md").read_text(encoding="utf-8")
    assert [alert for alert in sorted(alerts) if f"## {alert}\n" not in runbook] == []


@pytest.mark.parametrize("file", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md")]))
def test_links_lead_somewhere(file: Path) -> None:
    """Every relative link and picture exists."""
    targets = re.findall(r"\]\(([^)#]+)", file.read_text(encoding="utf-8"))
    assert [t for t in targets if "://" not in t and not (file.parent / t).exists()] == []


def test_the_readme_opens_with_one_sentence_a_picture_and_two_commands() -> None:
    """What it is for comes before everything else."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    title, sentence, picture = readme.split("\n\n")[:3]
    assert title == "# redrabbit"
    assert sentence.count(".") == 1 and "\n" not in sentence
    assert picture.startswith("![")
    assert "make run" in readme and "make test" in readme


RUNBOOK = (ROOT / "deploy/runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(section.partition("\n")[::2] for section in RUNBOOK.split("\n## ")[1:])


@pytest.mark.parametrize("alert", sorted(set(re.findall(r"alert: (\w+)", RULES))))
def test_the_runbook_says_of_each_alert_what_somebody_at_three_in_the_morning_needs(alert: str) -> None:
    """What it means, whom it concerns, three things to look at, how to contain, when to silence, how it clears; in this order."""
    headings = ("Means", "Concerns", "Look at", "Contain", "Silence", "Clears")
    section = SECTIONS[alert]
    assert re.findall(r"^\*\*([A-Z][a-z ]+)\*\*", section, re.MULTILINE) == list(headings)
    assert re.findall(r"^(\d)\. ", section, re.MULTILINE) == ["1", "2", "3"]


def test_the_runbook_names_commands_and_metrics_that_exist() -> None:
    """Whoever is called has no time to find out that one does not."""
    commands = _commands(typer.main.get_command(app))
    named = {match.strip() for match in re.findall(r"`redrabbit ((?:[a-z]+ ?)+)", RUNBOOK)}
    assert named and [name for name in named if name not in commands] == []
    golden = (ROOT / "tests/golden/metrics.prom").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"`(redrabbit_[a-z_]+)`", RUNBOOK) if name not in golden] == []
