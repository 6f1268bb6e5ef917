"""How the parts of docs/truth.md are written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float | np.floating[Any]) -> str:
    """0.9512 -> '95.1 %'."""
    return f"{100 * share:.1f} %"
