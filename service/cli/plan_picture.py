"""The picture of `redrabbit plan`: days until proven and days until paged, against the audit budget."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.pictures import save

if TYPE_CHECKING:
    from service.cli.plan import Row
    from service.quality.plan import Plant


def draw(file: Path, plant: Plant, rows: Sequence[Row], own: float, fallen: float) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    from service.quality.plan import DAYS, NEAR, to_prove

    near = [to_prove(plant, row.budget, NEAR) for row in rows]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    proofs, pages = figure.subplots(1, 2)
    curves = {
        "misses like good parts": ("tab:red", [row.proof for row in rows], [row.paged_unseen for row in rows]),
        "misses near the threshold": ("tab:blue", near, [row.paged_near for row in rows]),
    }
    budgets = [100 * row.budget for row in rows]
    nan = float("nan")
    for name, (colour, proof, delays) in curves.items():
        needed = [(p.median.days if p.median else nan, p.p90.days if p.p90 else nan) for p in proof]
        waited = [(d.median_days or nan, d.p90_days or nan) for d in delays]
        for axes, days in ((proofs, needed), (pages, waited)):
            axes.plot(budgets, [half for half, _ in days], "o-", color=colour, label=f"{name}, median")
            axes.plot(budgets, [late for _, late in days], ":", color=colour, label="nine in ten")
    proofs.set_title(f"until recall ≥ {plant.threshold:g} is proven, if it is {plant.recall:g}")
    pages.set_title(f"until a fall from {plant.recall:g} to {fallen:g} is paged")
    for axes in (proofs, pages):
        if not any(isfinite(days) for curve in axes.lines for days in curve.get_ydata()):
            axes.set_ylim(0.1, DAYS)  # nothing within a year, and a logarithmic axis needs its numbers
        axes.set(xscale="log", yscale="log", xlabel="passed parts audited, %", ylabel="days")
        axes.axvline(100 * own, color="0.5", linestyle="--", label="your budget")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(alpha=0.3)
    figure.legend(*pages.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
    save(figure, file)
