"""Draws the dashboards' panels from a real Prometheus that watches the demo: `python -m docs.panels` writes docs/plant.png,
docs/line.png and docs/machine.png. It reads the committed JSON, so what it shows is what Grafana is told; it is not Grafana.
"""

from __future__ import annotations

import tempfile
import time
from math import ceil
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.drawing import FRAME, INK, KINDS, PAPER, Panel, legend_columns, matrix
from tests.dashboards.grafana import NAMES, Reader, board
from tests.dashboards.scene import RATE, happen, scene

FAULT_AT = 60 * RATE
AFTERWARDS = 25.0
COLUMNS, WIDTH, UNIT = 24, 17.0, 0.34
"""Grafana's grid; inches of the whole and of one unit of height."""


def draw(reader: Reader, file: Path) -> None:
    """All panels of one dashboard, where its grid puts them."""
    says = board(reader.name)
    high = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in says["panels"]) + 2
    figure = plt.figure(figsize=(WIDTH, high * UNIT), facecolor=PAPER)
    chosen = ", ".join(
        f"{name} {reader.values[name]}" for name in ("plant", "line", "defect", "window") if name in reader.values
    )
    figure.text(0.008, 1 - 0.9 / high, says["title"], fontsize=15, weight="bold", va="center", color=INK)
    about = f"a drawing of the panels and their queries' data, not Grafana; minutes since the start ({chosen.replace('.*', 'All')})"
    figure.text(0.992, 1 - 0.9 / high, about, fontsize=10, va="center", ha="right", color="#5b6470")
    marks = [float(row["values"][-1][1]) / 1000 for mark in says["annotations"]["list"] for row in reader.ask(mark)]
    for panel in says["panels"]:
        place = panel["gridPos"]
        top = 1 - (place["y"] + 1.7) / high
        if panel["type"] == "row":
            figure.text(
                0.01, top - 0.6 / high, f"⌄ {panel['title']}", fontsize=12, weight="bold", va="center", color=INK
            )
            continue
        answers = [(target, reader.ask(target)) for target in panel["targets"]]
        _place(figure, Panel(panel, answers, reader, marks), place, top, high)
    figure.savefig(file, dpi=80, metadata={"Software": None})
    plt.close(figure)


def _place(figure: Figure, panel: Panel, place: dict[str, int], top: float, high: float) -> None:
    left, width, height = place["x"] / COLUMNS, place["w"] / COLUMNS, place["h"] / high
    box = (left + 0.003, top - height + 0.12 / high, width - 0.006, height - 0.24 / high)
    figure.patches.append(
        Rectangle(box[:2], *box[2:], transform=figure.transFigure, facecolor="white", edgecolor=FRAME, zorder=-1)
    )
    figure.text(left + 0.008, top - 0.75 / high, panel.title, fontsize=10, weight="bold", va="center", color=INK)
    kind = panel.says["type"]
    names = max((len(name) for name, _ in panel.rows()), default=0) * 0.0042 if kind == "state-timeline" else 0.0
    below, beside = 0.6, 0.012
    if kind in ("timeseries", "state-timeline"):
        legend = [name for name, _ in panel.rows()] if kind == "timeseries" else ["up"]
        columns = legend_columns(legend, (width - 0.05) * WIDTH)
        below, beside = 1.2 + 0.55 * ceil(len(legend) / columns), 0.035 + names
    axes = figure.add_axes(
        (left + beside, top - height + below / high, width - beside - 0.012, height - (below + 1.5) / high)
    )
    axes.tick_params(labelsize=7.5, colors="#5b6470", length=2)
    axes.spines[["top", "right", "left", "bottom"]].set_color(FRAME)
    shown_as = matrix if "groupingToMatrix" in str(panel.says.get("transformations")) else KINDS[kind]
    shown_as(axes, panel)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, scene(Path(name), FAULT_AT) as (demo, servers):
        began = time.time()
        happen(demo, Path(name))
        time.sleep(AFTERWARDS)
        ended = time.time()
        for dashboard in NAMES:
            looked = {} if dashboard == "plant" else {"plant": "north"}
            draw(
                Reader(servers.prometheus, dashboard, began, ended, chosen=looked),
                Path(__file__).with_name(f"{dashboard}.png"),
            )
