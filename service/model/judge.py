"""What a model says of labelled pictures, and what that is worth: confusion, ROC-AUC, with limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.model.contract import Contract
from service.model.data import Sample
from service.model.detector import OnnxDetector
from service.quality.confusion import Confusion
from service.records import Image

CHUNK = 32
Z = 1.96

Change = Callable[[Image], Image]


class Area(NamedTuple):
    """ROC-AUC with its limits."""

    point: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Judged:
    """scores: (N, classes), one row a sample."""

    contract: Contract
    samples: Sequence[Sample]
    scores: NDArray[np.float64]

    @cached_property
    def actual(self) -> NDArray[np.str_]:
        return np.array([sample.label for sample in self.samples])

    @cached_property
    def predicted(self) -> NDArray[np.str_]:
        """As the line decides: the defect whose score exceeds its threshold the most, else good."""
        names = np.array([*self.contract.thresholds, self.contract.good])
        worst = self._ratios.argmax(axis=1)
        return names[np.where(self.exceedance >= 1, worst, len(names) - 1)]

    @cached_property
    def exceedance(self) -> NDArray[np.float64]:
        """Score through threshold, of the defect for which that is largest; a part is flagged from 1 on."""
        return np.asarray(self._ratios.max(axis=1))

    @cached_property
    def _ratios(self) -> NDArray[np.float64]:
        columns = [self.contract.classes.index(name) for name in self.contract.thresholds]
        return np.asarray(self.scores[:, columns] / np.array(list(self.contract.thresholds.values())))

    @cached_property
    def defective(self) -> NDArray[np.bool_]:
        """Whether the parts truly are."""
        return np.asarray(self.actual != self.contract.good)

    @cached_property
    def confusion(self) -> Confusion:
        return Confusion.of(self.contract.classes, self.actual.tolist(), self.predicted.tolist())

    @property
    def accuracy(self) -> float:
        return float((self.actual == self.predicted).mean())

    def sure(self) -> Judged:
        """Of the pictures whose label nobody doubted."""
        return self.of([sample.sure == 1 for sample in self.samples])

    def of(self, chosen: Sequence[bool] | NDArray[np.bool_]) -> Judged:
        kept = [sample for sample, keep in zip(self.samples, chosen, strict=True) if keep]
        return Judged(self.contract, kept, self.scores[np.asarray(chosen)])

    def area(self, name: str | None = None) -> float | None:
        """ROC-AUC of the score of a class, of P(defective) when not given; None where one side is empty.

        Mann-Whitney: the share of pairs in the right order, ties half (J. Hanley, B. McNeil, Radiology 143, 1982).
        """
        limits = self.area_limits(name)
        return None if limits is None else limits.point

    def area_limits(self, name: str | None = None) -> Area | None:
        """`area` with its 95 % limits by the standard error of the same paper."""
        if name is None:
            said, positive = 1 - self.scores[:, self.contract.classes.index(self.contract.good)], self.defective
        else:
            said, positive = self.scores[:, self.contract.classes.index(name)], self.actual == name
        ours, others = said[positive], np.sort(said[~positive])
        m, n = len(ours), len(others)
        if not m or not n:
            return None
        below = np.searchsorted(others, ours, "left") + np.searchsorted(others, ours, "right")
        area = float(below.sum() / 2 / (m * n))
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
        spread = Z * sqrt(max(0.0, variance))
        return Area(area, max(0.0, area - spread), min(1.0, area + spread))


def judge(detector: OnnxDetector, samples: Sequence[Sample], change: Change | None = None) -> Judged:
    """Runs the model on the pictures, changed before the resize when so asked. Raises InvalidInput for what is none."""
    rows = []
    for first in range(0, len(samples), CHUNK):
        images = [sample.image() for sample in samples[first : first + CHUNK]]
        fitted = [detector.fit(change(image) if change else image) for image in images]
        rows.append(detector.judge(np.stack(fitted)))
    scores = np.concatenate(rows) if rows else np.empty((0, len(detector.contract.classes)))
    return Judged(detector.contract, samples, scores.astype(np.float64))
