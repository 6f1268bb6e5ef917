"""From decoded pictures to verdicts: scores against thresholds, then the audit draw. No threads, no disk."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from service.ports import Detector, DetectorInfo
from service.quality.draw import band, drawn
from service.records import DrawPolicy, Frame, Outcome, Verdict


class Inspection:
    """One model with one audit key."""

    def __init__(self, detector: Detector, key: bytes) -> None:
        self.detector = detector
        self._info = detector.info
        self._key = key
        self._defects = [(name, self._info.classes.index(name)) for name in self._info.decision_thresholds]
        self._limits = np.array([self._info.decision_thresholds[name] for name, _ in self._defects])
        self._columns = [column for _, column in self._defects]

    def verdicts(
        self, frames: Sequence[Frame], batch: NDArray[np.uint8], policy: DrawPolicy, thresholds_version: str
    ) -> list[Verdict]:
        """One verdict per frame. batch: uint8 (N, h, w, c), the fitted pictures of the frames in order."""
        scores = self.detector.judge(batch)
        ratios = scores[:, self._columns] / self._limits
        version = f"{thresholds_version}-{decision_version(self._info)}"
        return [
            self._verdict(frame, row, ratio, policy, version)
            for frame, row, ratio in zip(frames, scores.tolist(), ratios, strict=True)
        ]

    def _verdict(
        self, frame: Frame, scores: list[float], ratios: NDArray[np.float64], policy: DrawPolicy, version: str
    ) -> Verdict:
        worst = int(np.argmax(ratios))
        exceedance = float(ratios[worst])
        flagged = exceedance >= 1
        at = None if flagged else band(exceedance)
        weight = 1 if at is None else policy.weights[at]
        if flagged:
            outcome = Outcome.REJECT
        else:
            outcome = Outcome.AUDIT if drawn(self._key, frame.part_id, weight) else Outcome.PASS
        return Verdict(
            part_id=frame.part_id,
            line=frame.line,
            camera=frame.camera,
            captured_at=frame.captured_at,
            model=self._info.digest,
            thresholds=version,
            scores=tuple(scores),
            exceedance=exceedance,
            predicted=self._defects[worst][0] if flagged else self._info.good,
            outcome=outcome,
            band=at,
            weight=weight,
            policy=policy.number,
            lot=frame.lot,
        )


def decision_version(info: DetectorInfo) -> str:
    """First 8 hex digits of the SHA-256 of the decision thresholds, so that a record says which were in force."""
    text = ",".join(f"{name}={value!r}" for name, value in sorted(info.decision_thresholds.items()))
    return sha256(text.encode()).hexdigest()[:8]
