"""Grafana's dashboards, from definitions in code to deploy/grafana/dashboards.

`plant.py`, `line.py` and `machine.py` say in plain data what is shown; `grafana.py` makes Grafana's JSON of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exporters.dashboards import line, machine, plant
from exporters.dashboards.grafana import Places, rendered
from exporters.dashboards.parts import Board

BOARDS: Mapping[str, Board] = {"plant": plant.BOARD, "line": line.BOARD, "machine": machine.BOARD}


def write(folder: Path, places: Places) -> list[Path]:
    """Writes every dashboard into the folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, board in BOARDS.items():
        found.append(folder / f"{name}.json")
        found[-1].write_text(rendered(board, places), encoding="utf-8")
    return found
