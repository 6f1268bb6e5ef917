"""Verdicts and labels with nothing special about them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from service.records import Label, Outcome, Verdict


class Ticking:
    """A clock that is a second later each time it is asked, from 1000 on."""

    def __init__(self) -> None:
        self._seconds = count(1000)

    def __call__(self) -> float:
        return float(next(self._seconds))


def verdict(part_id: str, line: str = "a", **changes: Any) -> Verdict:
    """A passed part; its predicted class and thresholds are told by `changes` where they matter."""
    fields: dict[str, Any] = {
        "camera": "left",
        "captured_at": 500.25,
        "model": "d" * 64,
        "thresholds": "t" * 64,
        "scores": (0.7, 0.1 + 0.2),
        "exceedance": 0.6,
        "predicted": "good",
        "outcome": Outcome.PASS,
        "band": 3,
        "weight": 40,
        "policy": 1,
    }
    return Verdict(part_id=part_id, line=line, **{**fields, **changes})


def verdicts(prefix: str, size: int, line: str = "a") -> Sequence[Verdict]:
    return [verdict(f"{prefix}-{number}", line) for number in range(size)]


def label(part_id: str, name: str = "good", inspector: str = "anna", at: float = 600.0) -> Label:
    return Label(part_id, name, inspector, at)
