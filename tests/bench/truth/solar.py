"""Real pictures: solar cells that the shipped model never saw, every label known, only what the line would look at told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.demo.parts import Production
from service.images import decode
from service.inspection import Inspection
from service.model.detector import CPU, OnnxDetector
from service.model.elpv import heldout
from service.ports import DetectorInfo
from service.quality.buckets import Bucket
from service.quality.draw import DEFAULT_GUESSES, DEFAULT_SHARES, weights
from service.quality.windows import quality
from service.records import DrawPolicy, Frame, Image, Outcome, Verdict, WindowQuality
from tests.bench.truth.report import percent, table

MODEL = Path(__file__).parents[3] / "deploy/models/el-cells.onnx"
DEFECT = "defective"
PARTS, PREVALENCE = 10_000, 0.05
BUDGETS = (0.05, 0.25)


@dataclass(frozen=True, slots=True)
class Known:
    """A cell that was scored before; its `picture` is its number."""

    number: int
    defective: bool

    def read(self) -> bytes:
        return self.number.to_bytes(2)


class Scored:
    """The shipped model as it is on the held-out cells, run once. Fulfils ports.Detector: a picture is a cell's number."""

    def __init__(self) -> None:
        cells = heldout()
        model = OnnxDetector(MODEL, (CPU,), 1)
        self.info: DetectorInfo = model.info
        self.cells = [Known(number, cell.defective) for number, cell in enumerate(cells)]
        self._scores = np.concatenate([model.judge(model.fit(decode(cell.read()))[np.newaxis]) for cell in cells])

    @property
    def recall(self) -> float:
        """Share of all defective cells that are flagged: what a part's chance to be caught is in the replays."""
        bad = [cell.number for cell in self.cells if cell.defective]
        column = self.info.classes.index(DEFECT)
        return float(np.mean(self._scores[bad, column] >= self.info.decision_thresholds[DEFECT]))

    def fit(self, image: Image) -> NDArray[np.uint8]:
        return image

    def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """batch: uint8 (N, 2). Returns float32 (N, classes)."""
        return self._scores[batch[:, 0].astype(int) * 256 + batch[:, 1]]


@dataclass(frozen=True, slots=True)
class Replay:
    """What was said of one run, the share caught of its own defects, and the share audited of its passed parts."""

    said: WindowQuality
    caught: float
    audited: float

    def holds(self, truth: float) -> bool:
        return self.said.recall.lower <= truth <= self.said.recall.upper


def replays(detector: Scored, seed: int, parts: int = PARTS) -> dict[float, Replay]:
    """{budget: what it leads to} on one and the same run of parts, each with an audit key of that seed."""
    info = detector.info
    line = Production(detector.cells, seed, PREVALENCE, (), lambda _, content: decode(content), (info.good, DEFECT))
    frames = [Frame(line.part_id(n), "el-cells", "demo", float(n), line.picture(n)) for n in range(parts)]
    batch = np.frombuffer(b"".join(bytes(frame.content) for frame in frames), np.uint8).reshape(-1, 2)
    actual = [line.actual(frame.part_id) for frame in frames]
    found = {}
    for budget in BUDGETS:
        inspection = Inspection(detector, sha256(f"audit key {seed} {budget}".encode()).digest())
        spread = weights(budget, DEFAULT_SHARES, info.guesses or DEFAULT_GUESSES)
        policy = DrawPolicy(1, "el-cells", 0.0, tuple(spread), budget)
        verdicts = inspection.verdicts(frames, batch, policy, "")
        found[budget] = _told(verdicts, actual, info.good, budget)
    return found


def _told(verdicts: Sequence[Verdict], actual: Sequence[str], good: str, budget: float) -> Replay:
    total = Bucket()
    for verdict, truth in zip(verdicts, actual, strict=True):
        total.add_part(verdict, budget)
        if verdict.outcome is not Outcome.PASS:
            total.settle(verdict, truth)
    flagged = [verdict.flagged for verdict, truth in zip(verdicts, actual, strict=True) if truth == DEFECT]
    said = quality(total, "el-cells", DEFECT, good, f"{len(verdicts)} parts", None)
    return Replay(said, float(np.mean(flagged)), total.drawn.total() / total.passed.total())


def measure(seed: int, quick: bool) -> Iterator[str]:
    """The chapter of docs/truth.md."""
    runs = 20 if quick else 200
    detector = Scored()
    truth = detector.recall
    found = [replays(detector, 1000 * seed + run) for run in range(runs)]
    bad = sum(cell.defective for cell in detector.cells)
    yield "## And on real pictures?"
    yield (
        f"{len(detector.cells)} solar cells of the ELPV data set that the shipped model was neither trained nor tuned on, {bad} of "
        f"them defective; it flags {percent(truth)} of those. {runs} runs of {PARTS:,} parts drawn from them, {percent(PREVALENCE)} "
        "defective, through the service's inspection and audit draw; only rejects and audits get their label. The weights are the first ones, which know the model's validation set and not yet the "
        "line's share of parts per band, so that the first audit is not quite what was asked for. Observed: "
        "TP / (TP + FN) over the labelled parts. Errors are against the share caught in the same run."
    )
    yield table(
        ["audit asked for", "of passed parts audited", "limits hold the run's recall", "limits hold the model's recall", "median width",
         "weighted point off by: mean, largest", "observed off by: mean, largest"],
        [_row(budget, [one[budget] for one in found], truth) for budget in BUDGETS],
    )  # fmt: skip


def _row(budget: float, runs: Sequence[Replay], truth: float) -> list[str]:
    recalls = [run.said.recall for run in runs]
    return [
        percent(budget),
        percent(np.mean([run.audited for run in runs])),
        percent(np.mean([run.holds(run.caught) for run in runs])),
        percent(np.mean([run.holds(truth) for run in runs])),
        f"{np.median([recall.upper - recall.lower for recall in recalls]):.2f}",
        _off([run.said.recall.numerator / run.said.recall.denominator - run.caught for run in runs]),
        _off([run.said.observed - run.caught for run in runs if run.said.observed is not None]),
    ]


def _off(errors: Sequence[float]) -> str:
    return f"{100 * np.mean(errors):+.1f}, {100 * max(errors, key=abs):+.1f} points"
