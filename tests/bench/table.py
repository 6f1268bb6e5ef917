"""One line of the table that `make bench` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """what was measured, the figure with its unit, and the bare baseline of the same run where there is one."""

    what: str
    figure: str
    baseline: str = ""
    ratio: float | None = None


def render(rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = ["| what | figure | baseline in the same run | ratio |", "|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(f"| {row.what} | {row.figure} | {row.baseline} | {ratio} |")
    return "\n".join(lines)
