"""How each kind of panel is drawn from its JSON and what its queries answered: see panels.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from tests.dashboards.grafana import Reader

COLOURS = {
    "blue": "#2a6f97",
    "orange": "#e09f3e",
    "green": "#4c9f70",
    "purple": "#7b5ea7",
    "red": "#c1121f",
    "dark-red": "#780000",
}
OTHERS = (*COLOURS.values(), "#8d99ae", "#6c584c", "#219ebc", "#b5838d")
PREFIXED = ("s", "percentunit")
"""Units that stand at each number of an axis; others stand in the title."""

INK, FRAME, PAPER = "#22272e", "#d5d9e0", "#f4f5f8"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel's JSON and what its queries answered."""

    says: dict[str, Any]
    answers: list[tuple[dict[str, Any], list[dict[str, Any]]]]
    reader: Reader
    marks: Sequence[float]

    @property
    def title(self) -> str:
        unit = self.setting("", "unit")
        return str(self.says["title"]) + ("" if unit in (*PREFIXED, "short", "none") else f", {unit}")

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(legend, series) of every query."""
        for target, found in self.answers:
            for row in found:
                legend = re.sub(
                    r"\{\{(\w+)\}\}", lambda name, row=row: row["metric"].get(name[1], ""), target["legendFormat"]
                )
                yield " ".join(legend.split()), row

    def setting(self, name: str, key: str) -> Any:
        """What the overrides, the last first, or the panel's own defaults say of a series or column."""
        for override in reversed(self.says["fieldConfig"]["overrides"]):
            kind, wanted = override["matcher"]["id"], override["matcher"]["options"]
            if wanted == name if kind == "byName" else re.search(wanted.strip("/"), name):
                for setting in override["properties"]:
                    if setting["id"] == key:
                        return setting["value"]
        return self.says["fieldConfig"]["defaults"].get(key)

    def shown(self, name: str, value: float) -> tuple[str, str | None]:
        """Text and colour of a value, by its mapping, else by its thresholds."""
        for mapping in self.setting(name, "mappings") or []:
            if (word := mapping["options"].get(f"{value:g}")) is not None:
                return word["text"], COLOURS[word["color"]]
        steps = self.setting(name, "thresholds")["steps"]
        reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
        return number(value, self.setting(name, "unit")), COLOURS[reached[-1]] if len(steps) > 1 else None


def number(value: float, unit: str) -> str:
    """As Grafana would write it, nearly."""
    if unit == "percentunit":
        return f"{100 * value:,.0f} %" if value >= 10 else f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"
    return text if unit in ("short", "none") else f"{text} {unit}"


def _line(panel: Panel, row: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Minutes and values; a gap stays a gap."""
    found = {round((at - panel.reader.start) / panel.reader.step): float(value) for at, value in row["values"]}
    times = range(min(found), max(found) + 1)
    return [at * panel.reader.step / 60 for at in times], [found.get(at, nan) for at in times]


def series(axes: Axes, panel: Panel) -> None:
    drawn = {}
    taken = {COLOURS.get((panel.setting(name, "color") or {}).get("fixedColor", "")) for name, _ in panel.rows()}
    others = iter([colour for colour in OTHERS if colour not in taken])
    for name, row in panel.rows():
        fixed = panel.setting(name, "color")
        colour = COLOURS.get(fixed["fixedColor"], fixed["fixedColor"]) if fixed else next(others, INK)
        drawn[name] = (*_line(panel, row), colour)
        dash = panel.setting(name, "custom.lineStyle")
        width = panel.setting(name, "custom.lineWidth") or panel.says["fieldConfig"]["defaults"]["custom"]["lineWidth"]
        axes.plot(*drawn[name][:2], color=colour, lw=0.8 * width, ls="--" if dash else "-", label=name)
    if panel.setting("upper limit", "custom.fillBelowTo") == "lower limit" and "upper limit" in drawn:
        upper, lower = (dict(zip(*drawn[name][:2], strict=True)) for name in ("upper limit", "lower limit"))
        both = sorted(upper.keys() & lower.keys())
        axes.fill_between(
            both, [lower[at] for at in both], [upper[at] for at in both], color=COLOURS["blue"], alpha=0.2, lw=0
        )
    unit = panel.setting("", "unit")
    axes.yaxis.set_major_formatter(lambda value, _: number(value, unit if unit in PREFIXED else "none"))
    highest = max((value for _, values, _ in drawn.values() for value in values if isfinite(value)), default=0.0)
    for step in panel.setting("", "thresholds")["steps"][1:]:
        if step["value"] <= 3 * highest:
            axes.axhline(step["value"], color=COLOURS[step["color"]], lw=1, ls="--")
            highest = max(highest, step["value"])
    for mark in panel.marks:
        axes.axvline((mark - panel.reader.start) / 60, color=COLOURS["blue"], lw=1, ls=":")
    axes.set(
        xlim=(0, (panel.reader.end - panel.reader.start) / 60),
        ylim=(0, panel.setting("", "max") or highest * 1.08 or 1),
    )
    axes.grid(alpha=0.25)
    if scale := panel.says["fieldConfig"]["defaults"]["custom"].get("scaleDistribution"):
        axes.set_yscale("symlog", linthresh=scale["linearThreshold"])
        axes.set_ylim(0, 2 * highest)
    _legend(axes, *axes.get_legend_handles_labels())


def stat(axes: Axes, panel: Panel) -> None:
    axes.axis("off")
    text, colour = "No data", None
    for name, row in panel.rows():
        text, colour = panel.shown(name, float(row["value"][1]))
    axes.add_patch(
        Rectangle((-0.02, -0.05), 1.04, 1.1, color=colour or "#dfe5ee", transform=axes.transAxes, clip_on=False)
    )
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=17, weight="bold", color="white" if colour else INK)


def states(axes: Axes, panel: Panel) -> None:
    names, shown = [], {}
    for at, (name, row) in enumerate(panel.rows()):
        names.append(name)
        for time_, value in zip(*_line(panel, row), strict=True):
            if isfinite(value):
                text, colour = panel.shown(name, value)
                shown[text] = colour
                axes.add_patch(Rectangle((time_, at - 0.4), panel.reader.step / 60, 0.8, color=colour, lw=0))
    axes.set(
        xlim=(0, (panel.reader.end - panel.reader.start) / 60), ylim=(len(names) - 0.4, -0.6), yticks=range(len(names))
    )
    axes.set_yticklabels(names, fontsize=7.5)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in shown.values()]
    _legend(axes, handles, list(shown))


def legend_columns(names: Sequence[str], inches: float) -> int:
    """How many names fit side by side."""
    return max(1, int(inches / (0.42 + 0.058 * max(map(len, names), default=0))))


def _legend(axes: Axes, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """Below the numbers of the axis."""
    inches = axes.get_position().width * axes.figure.get_figwidth()
    high = axes.get_position().height * axes.figure.get_figheight()
    axes.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(-0.01, -0.2 / high),
        ncols=legend_columns(names, inches),
        frameon=False,
        fontsize=7,
        handlelength=1.4,
        columnspacing=1,
    )


def table(axes: Axes, panel: Panel) -> None:
    """One row for each set of labels; the heads of the columns are the queries'."""
    cells: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for name, row in panel.rows():
        cells.setdefault(tuple(sorted(row["metric"].items())), {})[name] = float(row["value"][1])
    order = panel.says["transformations"][1]["options"]["indexByName"]
    labels = sorted({key for row in cells for key, _ in row}, key=lambda key: (order.get(key, len(order)), key))
    heads = [target["legendFormat"] for target, _ in panel.answers if target["legendFormat"]]
    worst = [one["displayName"] for one in panel.says["options"].get("sortBy", [])]
    ranked = sorted(cells.items(), key=lambda item: [-item[1].get(name, 0) for name in worst])
    texts, colours = [], []
    for row, values in ranked:
        shown = [panel.shown(name, values[name]) if name in values else ("", None) for name in heads]
        texts.append([dict(row).get(key, "")[:28] for key in labels] + [text for text, _ in shown])
        colours.append(["white"] * len(labels) + [colour or "white" for _, colour in shown])
    _grid(axes, [*labels, *heads], texts, colours)


def matrix(axes: Axes, panel: Panel) -> None:
    found = {(row["metric"]["actual"], row["metric"]["predicted"]): float(row["value"][1]) for _, row in panel.rows()}
    actual, predicted = (sorted({key[at] for key in found}) for at in (0, 1))
    texts = [[a, *(f"{found[a, p]:,.0f}" if (a, p) in found else "" for p in predicted)] for a in actual]
    _grid(axes, ["actual\\predicted", *predicted], texts, [["white"] * (len(predicted) + 1)] * len(actual))


def _grid(axes: Axes, heads: Sequence[str], texts: list[list[str]], colours: list[list[str]]) -> None:
    axes.axis("off")
    widths = [4 + max(len(str(line[column])) for line in [heads, *texts]) for column in range(len(heads))]
    drawn = axes.table(
        texts,
        colLabels=heads,
        cellColours=colours,
        colWidths=[width / sum(widths) for width in widths],
        loc="upper center",
        cellLoc="left",
        colLoc="left",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8.5)
    drawn.scale(1, 1.6)
    for (row, column), cell in drawn.get_celld().items():
        cell.set_edgecolor(FRAME)
        if row == 0:
            cell.get_text().set_weight("bold")
        elif colours[row - 1][column] != "white":
            cell.get_text().set_color("white")


KINDS: dict[str, Callable[[Axes, Panel], None]] = {
    "timeseries": series,
    "stat": stat,
    "state-timeline": states,
    "table": table,
}
