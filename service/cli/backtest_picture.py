"""The picture of `redrabbit backtest`: escapes against overkill and review, over the decision thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.pictures import save
from service.records import ALL

if TYPE_CHECKING:
    from service.backtest.run import Result
    from service.cli.backtest import Effort


def draw(file: Path, result: Result, effort: Effort) -> None:
    """Left: escapes and overkill a shift, over the threshold. Right: escapes against minutes of review."""
    from matplotlib.figure import Figure

    rows = [one for one in result.outlooks[ALL] if one.escapes is not None]
    factors = [one.factor for one in rows]
    escapes = [effort.per_shift(result, one.escapes or 0.0) for one in rows]
    overkill = [effort.per_shift(result, one.overkill or 0.0) for one in rows]
    minutes = [effort.minutes(result, one) for one in rows]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    prices, reviews = figure.subplots(1, 2)
    prices.plot(factors, escapes, "-", color="tab:red", label="escapes: defective parts passed")
    prices.plot(factors, overkill, "-", color="tab:blue", label="overkill: good parts rejected")
    prices.axvline(1, color="0.5", linestyle="--", label="as played")
    prices.set(xscale="log", yscale="symlog", xlabel="decision thresholds, as multiples", ylabel="parts a shift")
    prices.set_ylim(bottom=0)
    prices.legend(fontsize="small")
    reviews.plot(minutes, escapes, "-", color="tab:red")
    for one, x, y in zip(rows, minutes, escapes, strict=True):
        if one.factor == 1:
            reviews.plot(x, y, "o", color="0.3", label="as played")
    reviews.set(xlabel="minutes of review a shift, rejects and audits", ylabel="escapes a shift")
    reviews.legend(fontsize="small")
    for axes in (prices, reviews):
        axes.grid(alpha=0.3)
    pages = ", ".join(f"{found.page.defect} at part {found.page.ordinal:,}" for found in result.pages[:4]) or "none"
    more = f" and {len(result.pages) - 4} more" if len(result.pages) > 4 else ""
    figure.suptitle(f"{result.line.line}, {result.parts:,} parts; pages: {pages}{more}", fontsize="medium")
    save(figure, file)
