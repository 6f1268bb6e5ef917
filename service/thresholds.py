"""thresholds.yaml -> Thresholds: what may be expected of each line, and when somebody is told.

`parse` is pure; `load` is the one place where the file is read. A line that the file does not name has the defaults.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeGuard

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.errors import InvalidInput
from service.records import ALL
from service.yamltext import parse_mapping, shorten, validated

BUILT_IN: dict[str, Any] = {
    "recall": {"page": 0.80, "warn": 0.90},
    "precision": {"warn": 0.80},
    "windows": [{"parts": 10_000}, {"hours": 24}],
    "bucket": {"parts": 1000, "closes_after": "8h"},
    "false_page_every": "90d",
    "audit": {"budget": 0.02},
    "labels": {"starved_after": "4h", "second_look": True},
    "camera": {"sharpness": 0.5, "brightness": 0.7, "overexposed": 0.05, "missed": 0.001, "repeated": 10},
    "gate": {
        "recall": 0.80,
        "precision": 0.80,
        "overfitting": 0.10,
        "imbalance": 50,
        "calibration": 0.10,
        "twins": 0.01,
        "contradictions": 0.10,
        "overlap": 0.10,
        "pointing": 0.50,
        "parts_per_second": 10,
    },
}
"""What holds where the file is silent, in the words of the file."""

LONGEST = 36_500 * 86_400.0
"""Seconds. Beyond it a number was mistyped, and what waits for it never comes."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: object) -> float:
    """'8h', '90d', '20ms' -> seconds. A bare number has no unit and is refused."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip()) if isinstance(value, str) else None
    duration = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < duration <= LONGEST:
        raise ValueError(
            "expected a duration above zero and of at most 36500d, with its unit, such as 20ms, 30s, 15m, 8h or 90d"
        )
    return duration


def _ratio(value: object) -> float:
    if not _is_number(value):
        raise ValueError("expected a ratio between 0 and 1, such as 0.80")
    if value > 100:
        raise ValueError("expected a ratio between 0 and 1, such as 0.80")
    if value > 1:
        raise ValueError(f"expected a ratio between 0 and 1; for {value:g} % write {value / 100:g}")
    if not value > 0:
        raise ValueError("expected a ratio above 0; at 0 the alarm could never fire")
    return float(value)


Seconds = Annotated[float, BeforeValidator(seconds)]
Ratio = Annotated[float, BeforeValidator(_ratio)]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000_000)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Levels(_Section):
    """page wakes somebody, warn makes a ticket; either may be absent."""

    page: Ratio | None = None
    warn: Ratio | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Levels:
        if self.page is not None and self.page >= 1:
            raise ValueError("page at 1 could never clear; expected a ratio below 1")
        if self.warn is not None and self.warn >= 1:
            raise ValueError("warn at 1 could never clear; expected a ratio below 1")
        if self.page is not None and self.warn is not None and self.warn < self.page:
            raise ValueError(f"warn {self.warn:g} is below page {self.page:g}; a warning comes before a page")
        return self


class Window(_Section):
    """The newest closed buckets, as many as fit into `parts`, or those captured within `hours`."""

    parts: Count | None = None
    hours: Annotated[float, Field(gt=0, le=24 * 366)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Window:
        if (self.parts is None) == (self.hours is None):
            raise ValueError("expected either parts or hours")
        return self

    @property
    def name(self) -> str:
        """The metric label: '10000 parts' or '24h'."""
        return f"{self.parts} parts" if self.parts is not None else f"{self.hours:g}h"


class BucketRule(_Section):
    parts: Count
    closes_after: Seconds


class AuditRule(_Section):
    """budget: share of passed parts to draw. 1 is a census: every passed part is looked at."""

    budget: Ratio


DUE_FOR = 30 * 86400.0
"""Seconds after which a part that nobody has labelled is no longer due."""


class LabelRule(_Section):
    starved_after: Seconds
    second_look: bool

    @model_validator(mode="after")
    def _can_fire(self) -> LabelRule:
        if self.starved_after >= DUE_FOR:
            raise ValueError(
                f"starved_after: after {DUE_FOR / 86400:g}d no part is due any more, so DefectRecallUnknown could never fire; "
                "expected a shorter time"
            )
        return self


class CameraRule(_Section):
    """From when on a camera is said to be degraded. sharpness, brightness: less than this share of what it was when the model took
    over, or more than its inverse. overexposed: so much larger a share of the pixels than then. missed: share of triggers without
    a picture. repeated: so many times the very same picture in a row."""

    sharpness: Ratio
    brightness: Ratio
    overexposed: Ratio
    missed: Ratio
    repeated: Count

    @model_validator(mode="after")
    def _can_fire_and_clear(self) -> CameraRule:
        for name in ("sharpness", "brightness"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name} at 1 could never clear: no two pictures are alike; expected a ratio below 1")
        for name in ("overexposed", "missed"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name} at 1 could never fire; expected a ratio below 1")
        return self


class GateRule(_Section):
    """What a model must show before it may judge parts; see service/gate.

    recall, precision: lower limits, of every class. overfitting: largest gap in accuracy between pictures it was trained on and
    others. imbalance: largest ratio between the pictures of two classes in training. calibration: largest mean distance of scores
    to what was. twins: largest share of the pictures judged on that show a part seen in training. contradictions: largest share of
    pictures whose near-duplicate has another label. overlap: mean intersection over union of heatmap and mask. pointing: share of defects in which the heatmap
    is highest.
    """

    recall: Ratio
    precision: Ratio
    overfitting: Ratio
    imbalance: Annotated[float, Field(gt=1, le=1e6)]
    calibration: Ratio
    twins: Ratio
    contradictions: Ratio
    overlap: Ratio
    pointing: Ratio
    parts_per_second: Annotated[float, Field(gt=0, le=1e6)]


class DefectThresholds(_Section):
    recall: Levels = Levels()
    precision: Levels = Levels()


class LineThresholds(_Section):
    recall: Levels
    precision: Levels
    windows: tuple[Window, ...]
    bucket: BucketRule
    false_page_every: Seconds
    audit: AuditRule
    labels: LabelRule
    camera: CameraRule
    gate: GateRule
    defects: Mapping[str, DefectThresholds] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_fire(self) -> LineThresholds:
        if not self.windows:
            raise ValueError("windows: expected at least one")
        names = [window.name for window in self.windows]
        if len(set(names)) < len(names):
            raise ValueError(f"windows: {', '.join(names)}: one stands there twice")
        if ALL in self.defects:
            raise ValueError(f"defects: {ALL!r} is the row of all defects together; set recall beside defects instead")
        for window in self.windows:
            if window.parts is not None and window.parts < self.bucket.parts:
                raise ValueError(
                    f"windows: {window.name} is smaller than a bucket of {self.bucket.parts} parts, so no alarm could ever fire"
                )
            if window.hours is not None and window.hours * 3600 <= self.bucket.closes_after:
                raise ValueError(
                    f"windows: {window.name} is not longer than bucket.closes_after ({self.bucket.closes_after / 3600:g}h), "
                    "so it would never hold a closed bucket and no alarm could ever fire"
                )
        return self

    def row(self, defect: str, defects: int) -> DefectThresholds:
        """The thresholds of one row of a line with so many kinds of defect.

        Where there is one kind only, ALL is the same number again and carries no threshold: one cause, one page.
        """
        if defect == ALL:
            return (
                DefectThresholds() if defects == 1 else DefectThresholds(recall=self.recall, precision=self.precision)
            )
        return self.defects.get(defect) or DefectThresholds(recall=self.recall, precision=self.precision)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All lines. version: first 12 hex digits of the SHA-256 of the file."""

    version: str
    defaults: LineThresholds
    lines: Mapping[str, LineThresholds]

    def line(self, name: str) -> LineThresholds:
        """Of LINE:RECIPE the line's own, where the recipe has none."""
        return self.lines.get(name) or self.lines.get(name.partition(":")[0], self.defaults)


class _File(_Section):
    defaults: dict[str, Any] = Field(default_factory=dict)
    lines: dict[str, dict[str, Any] | None] = Field(default_factory=dict)


def parse(text: str, source: str = "thresholds.yaml") -> Thresholds:
    """Raises InvalidInput, one line naming the file, the key and the value."""
    file = validated(_File, parse_mapping(text, source), source)
    base = _merge(BUILT_IN, file.defaults)
    defaults = validated(LineThresholds, base, f"{source}: defaults")
    lines = {name: _line(base, own or {}, f"{source}: lines.{name}") for name, own in file.lines.items()}
    return Thresholds(hashlib.sha256(text.encode()).hexdigest()[:12], defaults, lines)


def _line(base: dict[str, Any], own: dict[str, Any], source: str) -> LineThresholds:
    merged = _merge(base, own)
    levels = {key: merged[key] for key in ("recall", "precision")}
    defects = merged.get("defects") or {}
    if isinstance(defects, dict):
        merged["defects"] = {
            name: _merge(levels, values) if isinstance(values, dict) else values or levels
            for name, values in defects.items()
        }
    return validated(LineThresholds, merged, source)


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    page, warn = own.get("page"), merged.get("warn")
    if "warn" not in own and _is_number(page) and _is_number(warn):
        merged["warn"] = max(page, warn)  # an inherited warning moves up with the page; a written one is held to it
    return merged


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def load(path: Path) -> Thresholds:
    """Reads and parses the file. Raises InvalidInput."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 text") from error


class WatchedThresholds:
    """The thresholds in force while running: a good edit takes effect, a bad one keeps the last good and sets `error`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error = ""
        self._stamp = self._signature()
        self._current = load(path)

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def __call__(self) -> Thresholds:
        stamp = self._signature()
        if stamp != self._stamp or stamp is None:
            self._stamp = stamp
            try:
                self._current, self.error = load(self.path), ""
            except InvalidInput as error:
                self.error = shorten(str(error), 300)
        return self._current
