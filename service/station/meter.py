"""What the station counts itself. The exporters' side implements it; `service` never imports `exporters`.

What the ledger knows (labels, corrections, lag, parts due) is not counted here: it would differ after a restart.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Why(StrEnum):
    """Why a label was refused: short fixed words, safe as a metric label."""

    MALFORMED = "malformed"
    BAD_PART_ID = "bad_part_id"
    BAD_INSPECTOR = "bad_inspector"
    OTHER_INSPECTOR = "other_inspector"
    UNKNOWN_CLASS = "unknown_class"
    NO_MODEL = "no_model"
    BAD_TIME = "bad_time"
    IN_FUTURE = "in_future"
    OTHER_LINE = "other_line"
    LEDGER = "ledger"


class StationMeter(Protocol):
    """Called from several threads."""

    def rejected(self, line: str, reason: str) -> None:
        """A label was refused. line: "" when its part is not known; reason: a value of `Why`."""
        ...

    def request(self, route: str, status: int, seconds: float) -> None:
        """One HTTP answer. route: the path's template, such as /v1/parts/{part_id}, or "unmatched"; never a raw path."""
        ...

    def ledger_unavailable(self) -> None:
        """A request was answered 503 because the ledger could not be read or written."""
        ...


class Unmetered:
    """A meter for where nobody measures."""

    def rejected(self, line: str, reason: str) -> None:
        pass

    def request(self, route: str, status: int, seconds: float) -> None:
        pass

    def ledger_unavailable(self) -> None:
        pass
