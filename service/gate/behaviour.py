"""How the model behaves on the line: like where it was trained, on the right colours, looking at the defect, under faults, in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import combinations
from statistics import median
from time import perf_counter
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from service.faults import FAULTS, damaged
from service.gate.case import Case
from service.model.calibration import calibration_error, reliability
from service.model.contract import golden_pictures
from service.model.judge import Change, Judged, judge
from service.model.passport import Check, Verdict, held
from service.records import Image

BETTER: Final = 0.10
"""So much better in ROC-AUC on changed pictures, and something is wrong with the unchanged ones."""
MASKS_NEEDED: Final = 10
SPEED_BATCHES: Final = 7
BATCH: Final = 16


def _scaled(gain: float, offset: float, image: Image) -> Image:
    return np.asarray((image * gain + offset).round().clip(0, 255), np.uint8)


def _exchanged(image: Image) -> Image:
    return np.ascontiguousarray(image[..., ::-1])


PROBES: Final[Mapping[str, Change]] = {
    "red and blue exchanged: the colour channels come in the wrong order": _exchanged,
    "light and dark inverted: the normalisation is not that of training": partial(_scaled, -1.0, 255.0),
    "half the brightness: the normalisation is not that of training": partial(_scaled, 0.5, 0.0),
    "a tenth of the brightness: the normalisation is not that of training": partial(_scaled, 0.1, 0.0),
    "twice the contrast: the normalisation is not that of training": partial(_scaled, 2.0, -128.0),
    "half the contrast, brighter: the normalisation is not that of training": partial(_scaled, 0.5, 128.0),
}


def checks(case: Case) -> Iterator[Check]:
    yield _calibration(case)
    yield _parity(case)
    yield _class_order(case.judged)
    yield _input(case)
    yield from _heatmaps(case)
    yield from _faults(case)
    yield _speed(case)


def _calibration(case: Case) -> Check:
    judged = case.judged.sure()
    good = judged.scores[:, judged.contract.classes.index(judged.contract.good)]
    error, limit = calibration_error(reliability(1 - good, judged.defective)), case.rule.calibration
    why = f"Where it says that a part is defective with so and so much certainty, it is off by {error:.1%} on the mean"
    if error > limit:
        why += "; its scores cannot be read as probabilities, and what is expected from them will be wrong"
    return held("calibration", error, limit, error <= limit, f"{why}.")


def _parity(case: Case) -> Check:
    golden = case.contract.golden
    if golden is None:
        why = "The model does not say what it gave where it was trained; nobody can know whether this is still the same network."
        return Check(name="parity", value=None, limit=None, verdict="undecided", why=why)
    here = case.detector.judge(golden_pictures(case.contract))
    there = np.array(golden.scores)
    if there.shape != here.shape:
        return Check(
            name="parity", value=None, limit=None, verdict="refuse", why="Its golden scores are those of another model."
        )
    difference = float(np.abs(here - there).max())
    why = (
        f"On the same pictures its scores differ by at most {difference:.2g} from where it was trained, resize included"
    )
    if difference > golden.tolerance:
        why += ": this is not the network that was trained"
    return held("parity", difference, golden.tolerance, difference <= golden.tolerance, f"{why}.")


def _ranking(judged: Judged, scores: NDArray[np.float64]) -> float:
    """Mean ROC-AUC of the classes, each against the others: no threshold matters."""
    other = Judged(judged.contract, judged.samples, scores)
    return float(np.mean([area for name in judged.contract.classes if (area := other.area(name)) is not None] or [0.5]))


def _class_order(judged: Judged) -> Check:
    now, classes = _ranking(judged, judged.scores), judged.contract.classes
    best, exchanged = now, ""
    for one, other in combinations(range(len(classes)), 2):
        order = list(range(len(classes)))
        order[one], order[other] = other, one
        if (there := _ranking(judged, judged.scores[:, order])) > best:
            best, exchanged = there, f"{classes[one]!r} and {classes[other]!r}"
    why = "No two classes judge better when their names are exchanged."
    if best - now > BETTER:
        why = f"With the names of {exchanged} exchanged it would judge far better: the classes come in another order than it says."
    return held("class order", best - now, BETTER, best - now <= BETTER, why)


def _input(case: Case) -> Check:
    """Whether some plain change of the pictures makes the model judge better: then it was trained on such pictures."""
    plain = judge(case.detector, case.few)
    now, best, what = _ranking(plain, plain.scores), 0.0, ""
    spread = float(plain.scores.std(axis=0).max())
    for name, change in PROBES.items():
        if change is _exchanged and case.contract.input.colour == "grey":
            continue
        changed = judge(case.detector, case.few, change)
        if (gain := _ranking(changed, changed.scores) - now) > best:
            best, what = gain, name
    if spread < 0.01:
        why = (
            f"Its scores hardly depend on the picture (they vary by {spread:.4f}): what reaches the network is not what it was trained on, most "
            "likely for its normalisation."
        )
        return Check(name="input", value=best, limit=BETTER, verdict="refuse", why=why)
    why = "No plain change of the pictures makes it judge better."
    if best > BETTER:
        why = f"It judges far better on pictures with {what}."
    return held("input", best, BETTER, best <= BETTER, why)


def _heatmaps(case: Case) -> Iterator[Check]:
    """Only where somebody drew the defects and the model says where it looks."""
    overlaps, pointed = [], []
    for sample in case.unseen:
        drawn = sample.defect() if sample.label != case.contract.good else None
        if drawn is None or not drawn.any():
            continue
        if (found := case.detector.heatmap(sample.image())) is None:
            return
        odds = logit(found.clip(1e-6, 1 - 1e-6))  # where everything is near 1 the differences are in there
        fine = cv2.resize(odds, drawn.shape[::-1], interpolation=cv2.INTER_LINEAR)
        hot = fine >= (float(fine.min()) + float(fine.max())) / 2
        overlaps.append(float((hot & drawn).sum() / max(1, (hot | drawn).sum())))
        pointed.append(bool(_near(drawn, found.shape)[np.unravel_index(int(fine.argmax()), fine.shape)]))
    if not overlaps:
        return
    few: Verdict | None = "undecided" if len(overlaps) < MASKS_NEEDED else None
    overlap, pointing = float(np.mean(overlaps)), float(np.mean(pointed))
    said = f" ({len(overlaps)} defects were drawn{'; too few to say' if few else ''})"
    why = f"What it looks at and what was drawn as the defect overlap by {overlap:.1%} (intersection over union){said}."
    yield held("heatmap overlap", overlap, case.rule.overlap, overlap >= case.rule.overlap, why, few)
    why = f"In {pointing:.1%} of the defects it looks hardest at the defect itself{said}."
    yield held("heatmap pointing", pointing, case.rule.pointing, pointing >= case.rule.pointing, why, few)


def _near(drawn: NDArray[np.bool_], cells: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask, wider by half a cell of the heatmap: finer it cannot point."""
    reach = tuple(1 + size // count for size, count in zip(drawn.shape, cells, strict=True))
    return np.asarray(cv2.dilate(drawn.astype(np.uint8), np.ones(reach, np.uint8)) > 0)


def _faults(case: Case) -> Iterator[Check]:
    """A table, no condition: what would be missed and what thrown away if the camera failed like this."""
    healthy = judge(case.detector, case.few)
    for kind in FAULTS:
        failing = judge(case.detector, case.few, partial(damaged, kind))
        caught, before = _flagged(failing, True), _flagged(healthy, True)
        why = (
            f"With this camera fault it catches {caught:.1%} of the defects (now {before:.1%}) and rejects {_flagged(failing, False):.1%} of the "
            f"good parts (now {_flagged(healthy, False):.1%})."
        )
        yield Check(name=f"fault: {kind}", value=caught, limit=None, verdict="pass", why=why)


def _flagged(judged: Judged, defective: bool) -> float:
    chosen = judged.exceedance[judged.defective == defective]
    return float((chosen >= 1).mean()) if len(chosen) else 0.0


def _speed(case: Case) -> Check:
    images = [sample.image() for sample in case.few[:BATCH]]
    seconds = []
    for _ in range(SPEED_BATCHES):
        before = perf_counter()
        case.detector.judge(np.stack([case.detector.fit(image) for image in images]))
        seconds.append((perf_counter() - before) / len(images))
    rate, limit = 1 / median(seconds), case.rule.parts_per_second
    why = f"It judges {rate:.0f} parts a second here, on {case.detector.info.provider} in batches of {len(images)}; the line makes {limit:g}"
    return held("speed", rate, limit, rate >= limit, f"{why}.")
