"""Every query of every panel, put to a real Prometheus that watches the real demo."""

from __future__ import annotations

import time
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from exporters.dashboards.state import STATES
from tests.dashboards.grafana import NAMES, Reader, board, panels
from tests.dashboards.scene import happen, scene


@pytest.mark.timeout(400)
def test_every_panel_shows_something(tmp_path: Path) -> None:
    """With variables filled in as Grafana does: no error, no empty answer, no NaN, and marks for the model."""
    began = time.time()
    wrong = []
    with scene(tmp_path, fault_at=600) as (demo, servers):
        happen(demo, tmp_path)
        time.sleep(6)  # rates need two scrapes
        for name in NAMES:
            reader = Reader(servers.prometheus, name, began, time.time(), chosen={"plant": "north"})
            asked = [(panel["title"], target) for panel in panels(name) for target in panel["targets"]]
            asked += [(mark["name"], mark) for mark in board(name)["annotations"]["list"]]
            for title, target in asked:
                found = reader.ask(target)
                numbers = [float(value) for row in found for _, value in row.get("values") or [row["value"]]]
                if not numbers or not all(isfinite(number) for number in numbers):
                    wrong.append((name, title, reader.fill(target["expr"]), numbers))
        states = Reader(servers.prometheus, "plant", began, time.time()).ask(_titled("State of every line"))
    assert wrong == []
    newest = {row["metric"]["plant"]: STATES[int(row["values"][-1][1])].text for row in states}
    assert newest["north"] == "PAGE" and newest["south"] in ("UNDECIDED", "PROVEN"), "one line each, not mixed"


def _titled(title: str) -> dict[str, Any]:
    found: dict[str, Any] = next(panel for panel in panels("plant") if panel["title"] == title)["targets"][0]
    return found
