"""The committed dashboards: written from code, and made alike."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from service.cli import app
from tests.dashboards.grafana import FOLDER, NAMES, board, panels

ROOT = Path(__file__).parents[2]
OF_PROMETHEUS = {"up", "ALERTS"}
"""Series that Prometheus makes itself."""

EVERY_PANEL = [pytest.param(panel, id=f"{name}-{panel['title']}") for name in NAMES for panel in panels(name)]


def _expressions(name: str) -> Iterator[str]:
    yield from (target["expr"] for panel in panels(name) for target in panel["targets"])
    yield from (mark["expr"] for mark in board(name)["annotations"]["list"])
    yield from (one["query"] for one in board(name)["templating"]["list"] if one["type"] == "query")


def test_the_committed_dashboards_are_what_the_code_writes(tmp_path: Path) -> None:
    """`redrabbit dashboards` changes nothing."""
    done = CliRunner().invoke(app, ["dashboards", str(tmp_path)])
    assert done.exit_code == 0 and done.stdout.split() == [str(tmp_path / f"{name}.json") for name in NAMES]
    written = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert written == {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}


def test_a_plant_writes_its_own_addresses_into_the_links(tmp_path: Path) -> None:
    """Station and runbook are given to the command, and can be changed on the dashboard."""
    places = ["--station", "http://line7:8080/", "--runbook", "http://wiki/redrabbit"]
    assert CliRunner().invoke(app, ["dashboards", str(tmp_path), *places]).exit_code == 0
    for name in NAMES:
        text = (tmp_path / f"{name}.json").read_text(encoding="utf-8")
        assert text.count("http://line7:8080/") == text.count("http://wiki/redrabbit") == 1
        assert "${station}" in text and "${runbook}#" in text


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.modules['grafana_foundation_sdk'] = None", ["pip install 'redrabbit[dashboards]'"]),
        ("open('taken', 'w').close()", ["dashboards taken: cannot be written"]),
    ],
)
def test_what_is_missing_gets_one_line(tmp_path: Path, code: str, words: list[str]) -> None:
    """And status 2; nothing is written."""
    start = f"{code}\nimport runpy, sys; sys.argv = ['redrabbit', 'dashboards', 'taken']; runpy.run_module('service.cli', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_every_panel_says_what_it_means_and_where_to_go(panel: dict[str, Any]) -> None:
    """Unit, description, and links to the station and to a section of the runbook that exists."""
    assert panel["title"] and panel["fieldConfig"]["defaults"]["unit"]
    assert len(panel["description"]) > 60 and panel["description"].endswith(".")
    runbook, station = (link["url"] for link in panel["links"])
    sections = re.findall(r"^## (\w+)$", (ROOT / "deploy/runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert runbook in {f"${{runbook}}#{section.lower()}" for section in sections}
    assert station == "${station}"


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_every_query_goes_to_the_chosen_data_source_and_plant(panel: dict[str, Any]) -> None:
    """No data source by name; every series narrowed to the plant; rates over Grafana's own interval; no mean of ratios."""
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        expr = target["expr"]
        assert re.findall(r"\[(.*?)\]", expr) == ["$__rate_interval"] * len(re.findall(r"(?:rate|increase)\(", expr))
        assert len(re.findall(r'{plant=~"\$plant\|?"', expr)) == len(
            re.findall(r"redrabbit_\w+|\bup\b(?={)|ALERTS", expr)
        )
        assert "avg" not in expr
        if panel["type"] in ("stat", "table"):
            assert target["instant"], "the last value of a range would hide that nothing is known now"


def test_no_query_is_about_a_series_that_nobody_exports() -> None:
    """Variables and marks included."""
    golden = (ROOT / "tests/golden/metrics.prom").read_text(encoding="utf-8")
    exported = set(re.findall(r"^(redrabbit_[a-z_]+)", golden, re.MULTILINE))
    asked = {name for board in NAMES for text in _expressions(board) for name in re.findall(r"redrabbit_[a-z_]+", text)}
    assert len(asked) > 50 and asked - exported == set()
    others = {name for board in NAMES for text in _expressions(board) for name in re.findall(r"\b(\w+)\{", text)}
    assert {name for name in others if not name.startswith("redrabbit_")} <= OF_PROMETHEUS


def test_every_alert_finds_a_panel() -> None:
    """Whoever is paged sees on some panel what the page is about."""
    rules = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "deploy/prometheus/rules").glob("*.yml"))
    linked = {panel["links"][0]["title"].removeprefix("runbook: ") for name in NAMES for panel in panels(name)}
    assert set(re.findall(r"alert: (\w+)", rules)) == linked


@pytest.mark.parametrize("name", NAMES)
def test_the_grid_has_no_gaps_at_the_right_and_no_overlaps(name: str) -> None:
    """24 columns, ids of their own."""
    every = board(name)["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    cells = [(place["x"], place["y"], place["w"], place["h"]) for place in (panel["gridPos"] for panel in every)]
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(cells, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    for top in {y for _, y, _, _ in cells}:
        assert sum(w for _, y, w, _ in cells if y == top) == 24


@pytest.mark.parametrize("name", NAMES)
def test_who_has_no_plant_label_sees_everything(name: str) -> None:
    """All is a pattern that a missing label matches too."""
    variables = {one["name"]: one for one in board(name)["templating"]["list"]}
    assert variables["plant"]["includeAll"] and variables["plant"]["allValue"] == ".*"
    assert variables["plant"]["current"]["value"] == ["$__all"]
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"


def test_the_limits_are_a_band_and_the_thresholds_lines() -> None:
    """Recall and precision: filled between the limits, thresholds dashed."""
    for title in ("Recall", "Precision"):
        panel = next(panel for panel in panels("line") if panel["title"] == title)
        found = {
            (override["matcher"]["options"], setting["id"]): setting["value"]
            for override in panel["fieldConfig"]["overrides"]
            for setting in override["properties"]
        }
        assert found["upper limit", "custom.fillBelowTo"] == "lower limit"
        dashed = next(key for key in found if key[1] == "custom.lineStyle")
        assert re.search(dashed[0].strip("/"), "page threshold") and not re.search(dashed[0].strip("/"), "upper limit")
        assert "{{severity}} threshold" in {target["legendFormat"] for target in panel["targets"]}


def test_grafana_finds_the_source_and_the_dashboards() -> None:
    """Provisioned from deploy/grafana, wherever that is mounted."""
    folder = ROOT / "deploy/grafana/provisioning"
    source = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"][0]
    assert (source["type"], source["uid"], source["url"]) == ("prometheus", "prometheus", "${PROMETHEUS_URL}")
    provider = yaml.safe_load((folder / "dashboards/redrabbit.yaml").read_text())["providers"][0]
    path = provider["options"]["path"].replace("${GF_PATHS_PROVISIONING}", str(folder))
    assert Path(path).resolve() == FOLDER.resolve()
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
