"""From decoded pictures to verdicts: scores against thresholds, then the audit draw. No threads, no disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.ports import Detector, DetectorInfo
from service.quality.draw import band, drawn
from service.records import DrawPolicy, Frame, ModelInForce, Outcome, Role, ShadowVerdict, Verdict


class Opinion(NamedTuple):
    """What the scores of one part come to; fields as in Verdict."""

    scores: tuple[float, ...]
    exceedance: float
    predicted: str
    flagged: bool


class Inspection:
    """One model with one audit key."""

    def __init__(self, detector: Detector, key: bytes) -> None:
        self.detector = detector
        self.info = detector.info
        self._key = key
        self._defects = [(name, self.info.classes.index(name)) for name in self.info.decision_thresholds]
        self._limits = np.array([self.info.decision_thresholds[name] for name, _ in self._defects])
        self._columns = [column for _, column in self._defects]

    def opinions(self, batch: NDArray[np.uint8]) -> Iterator[Opinion]:
        """batch: uint8 (N, h, w, c), fitted pictures. A score that is no number counts as 1: what cannot be judged is rejected."""
        scores = np.nan_to_num(self.detector.judge(batch), nan=1.0)
        ratios = scores[:, self._columns] / self._limits
        for row, ratio in zip(scores.tolist(), ratios, strict=True):
            worst = int(np.argmax(ratio))
            exceedance = float(ratio[worst])
            flagged = exceedance >= 1
            yield Opinion(tuple(row), exceedance, self._defects[worst][0] if flagged else self.info.good, flagged)

    def verdicts(
        self, frames: Sequence[Frame], batch: NDArray[np.uint8], policy: DrawPolicy, thresholds_version: str
    ) -> list[Verdict]:
        """One verdict per frame. batch: uint8 (N, h, w, c), the fitted pictures of the frames in order."""
        version = f"{thresholds_version}-{decision_version(self.info)}"
        opinions = self.opinions(batch)
        return [self._verdict(frame, one, policy, version) for frame, one in zip(frames, opinions, strict=True)]

    def shadow_verdicts(self, frames: Sequence[Frame], batch: NDArray[np.uint8]) -> list[ShadowVerdict]:
        """As `verdicts`, of a model that has no say: nothing is drawn."""
        opinions = zip(frames, self.opinions(batch), strict=True)
        return [ShadowVerdict(frame.part_id, frame.line, self.info.digest, *one) for frame, one in opinions]

    def _verdict(self, frame: Frame, opinion: Opinion, policy: DrawPolicy, version: str) -> Verdict:
        at = None if opinion.flagged else band(opinion.exceedance)
        weight = 1 if at is None else policy.weights[at]
        if opinion.flagged:
            outcome = Outcome.REJECT
        else:
            outcome = Outcome.AUDIT if drawn(self._key, frame.part_id, weight) else Outcome.PASS
        return Verdict(
            part_id=frame.part_id,
            line=frame.line,
            camera=frame.camera,
            captured_at=frame.captured_at,
            model=self.info.digest,
            thresholds=version,
            scores=opinion.scores,
            exceedance=opinion.exceedance,
            predicted=opinion.predicted,
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


def in_force(line: str, info: DetectorInfo, since: float, role: Role = Role.ACTIVE) -> ModelInForce:
    """What the worker writes into the ledger of a model that judges from `since` on."""
    return ModelInForce(
        line=line,
        digest=info.digest,
        name=info.name,
        classes=info.classes,
        good=info.good,
        decision_thresholds=info.decision_thresholds,
        provider=info.provider,
        role=role,
        since=since,
        guesses=info.guesses or (),
        scores=info.scores,
    )
