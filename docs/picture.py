"""Draws the picture of the README: `make pictures` runs the demo with a fault and hands its report to this file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

WINDOW = 1000


def _true_recall(timeline: list[dict[str, Any]], position: int) -> float | None:
    """Over the newest WINDOW parts up to that moment: known to the demo alone."""
    now = timeline[position]
    before = next((moment for moment in reversed(timeline[:position]) if moment["part"] <= now["part"] - WINDOW), None)
    caught = now["true_positive"] - (before["true_positive"] if before else 0)
    escaped = now["escapes"] - (before["escapes"] if before else 0)
    return caught / (caught + escaped) if caught + escaped else None


def draw(report: dict[str, Any], threshold: float, fault: int, file: Path) -> None:
    """report: what `redrabbit demo --report` wrote. fault: the part from which on the camera was out of focus."""
    timeline = report["timeline"]
    parts = [moment["part"] for moment in timeline]
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    lower, upper = [moment["lower"] for moment in timeline], [moment["upper"] for moment in timeline]
    axes.fill_between(parts, lower, upper, color="#2a6f97", alpha=0.18, label="redrabbit: limits at 95 %")
    axes.plot(
        parts,
        [moment["point"] for moment in timeline],
        color="#2a6f97",
        lw=2.2,
        label="redrabbit: audit-weighted recall",
    )
    axes.plot(
        parts,
        [moment["observed"] for moment in timeline],
        color="#8d99ae",
        ls="--",
        lw=1.6,
        label="what the labels alone show",
    )
    truth = [_true_recall(timeline, position) for position in range(len(timeline))]
    axes.plot(parts, truth, color="#111111", lw=1.2, label=f"the truth, newest {WINDOW} parts")
    axes.axhline(threshold, color="#c1121f", lw=1, ls=":", label=f"page threshold {threshold:.2f}")
    axes.axvline(fault, color="#999999", lw=1)
    axes.annotate("camera out of focus", (fault, 0.02), xytext=(6, 0), textcoords="offset points", color="#555555")
    for page in report["pages"]:
        axes.axvline(page["part"], color="#c1121f", lw=1.4)
        axes.annotate(
            f"page at part {page['part']}",
            (page["part"], 0.09),
            xytext=(6, 0),
            textcoords="offset points",
            color="#c1121f",
        )
    axes.set(xlabel="parts", ylabel="recall", ylim=(0, 1.02), xlim=(0, parts[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", frameon=False, fontsize=8.5)
    figure.savefig(file, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    source, limit, number, target = sys.argv[1:]
    draw(json.loads(Path(source).read_text(encoding="utf-8")), float(limit), int(number), Path(target))
