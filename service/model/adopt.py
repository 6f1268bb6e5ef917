"""`redrabbit adopt`: a classifier that others exported becomes a file for the line, and is proven to say the same as before.

What was said of it (order of the classes, colour, mean and deviation) goes into the graph and into the proof alike: whether it is
true shows on labelled pictures only, and `redrabbit gate` asks them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import ValidationError

from service.errors import BadImage, InvalidInput
from service.images import decode
from service.model.contract import Contract, Golden, first, fit, golden_pictures, load, read, stated
from service.model.detector import CPU, RUN_ERRORS, OnnxDetector, open_session, short
from service.model.foreign import Feed, Wishes, feed
from service.model.heads import head, scores_among
from service.model.wrapping import wrapped
from service.records import Image

MAX_DIFFERENCE: Final = 1e-3
MAX_SAMPLES: Final = 64
RANDOM_PICTURES: Final = 16
BATCHES: Final = (1, 2, 5)
"""Proven one after the other; what is left comes in eights."""
NOT_OPENED: Final = "takes batches of 1 and cannot be opened to others; expected an export with a dynamic batch"
NOT_THE_SAME: Final = "does not say the same in batches of 1, 2, 5 and 8 as picture by picture"

Say = Callable[[str], None]
Pixels = NDArray[np.uint8]
Scores = NDArray[np.float64]


def adopt(foreign: Path, out: Path, wishes: Wishes, samples: Path | None, say: Say) -> None:
    """Writes `out`, or nothing. samples: a folder of pictures to prove it with. Raises InvalidInput, one line that says why not."""
    if not out.parent.is_dir():
        raise InvalidInput(f"{out}: the folder {out.parent} does not exist")
    model, content = load(foreign)
    if out.exists() and out.samefile(foreign):
        raise InvalidInput(f"{out}: is the foreign model itself; expected another file to write to")
    with _about(foreign):
        wanted = feed(model, wishes)
    contract = _contract(wishes, wanted, 1 / len(wishes.classes))
    pictures = [fit(picture, contract) for picture in _pictures(samples, wanted)]
    with _about(foreign):
        session = open_session(foreign, content, (CPU,), None)
        name, values = _values(session, wanted, pictures, len(contract.classes))
        last = head(name, values, model.graph, wishes.outputs)
        if not last.sums:
            contract = _contract(wishes, wanted, 0.5)
        difference = _write(out, wrapped(model, wanted, last, contract), pictures, last.scores(values), wanted.single)
    thresholds = ", ".join(f"{defect} from {at:.3g} on" for defect, at in contract.thresholds.items())
    say(f"input {wanted}{', batch of 1 opened to any size' if wanted.single else ''}")
    say(f"output {name}: {last.kind}; {thresholds}")
    say(f"largest difference of a score to the foreign model: {difference:.1e}, on {len(pictures)} pictures")
    say(
        f"wrote {out}; whether classes, colour, mean and deviation are right, only labelled pictures tell: redrabbit gate"
    )


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """A refusal names the file, once."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def _contract(wishes: Wishes, wanted: Feed, threshold: float) -> Contract:
    """threshold: of each defect for which none was said."""
    defects = [name for name in wishes.classes if name != wishes.good]
    if unknown := set(wishes.thresholds) - set(defects):
        raise InvalidInput(f"--threshold {min(unknown)}: expected one of the defects: {', '.join(defects)}")
    try:
        return Contract(
            name=wishes.name,
            classes=wishes.classes,
            good=wishes.good,
            input=wanted.input,
            thresholds=dict.fromkeys(defects, threshold) | wishes.thresholds,
        )
    except ValidationError as error:
        raise InvalidInput(f"--{first(error)}") from error


def _pictures(samples: Path | None, wanted: Feed) -> Iterator[Image]:
    """uint8 BGR (H, W, 3): those of the folder, in the order of their names, and random ones where there are few."""
    files = _files(samples) if samples else []
    for file in files:
        try:
            yield decode(file.read_bytes())
        except (BadImage, OSError) as error:
            raise InvalidInput(f"{file}: {error}") from error
    random = np.random.default_rng(1)
    for number in range(len(files), RANDOM_PICTURES):
        cells = 2 ** (number % 8)  # from one flat colour to noise
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        yield np.asarray(cv2.resize(coarse, (wanted.input.width, wanted.input.height)), np.uint8)


def _files(samples: Path) -> list[Path]:
    try:
        files = sorted(file for file in samples.iterdir() if file.is_file())
    except OSError as error:
        raise InvalidInput(f"{samples}: {error.strerror}; expected a folder of pictures") from error
    if not files:
        raise InvalidInput(f"{samples}: no file in it; expected pictures")
    return files[:MAX_SAMPLES]


def _values(session: Any, wanted: Feed, pictures: Sequence[Pixels], classes: int) -> tuple[str, Scores]:
    """The name of the output with the scores, and what it gives for each picture alone: (N, values)."""
    outputs = session.get_outputs()
    try:
        runs = [session.run(None, {wanted.name: wanted.prepared(picture)}) for picture in pictures]
    except RUN_ERRORS as error:
        raise InvalidInput(
            f"cannot judge a picture of {wanted.input.height}x{wanted.input.width}: {short(error)}"
        ) from error
    shapes = [
        (output.name, output.type, getattr(value, "shape", ())) for output, value in zip(outputs, runs[0], strict=True)
    ]
    chosen = scores_among(shapes, classes)
    values = [run[chosen].ravel() for run in runs]
    if any(len(one) != len(values[0]) for one in values):
        raise InvalidInput(f"output {outputs[chosen].name!r} gives one picture more scores than another")
    return outputs[chosen].name, np.array(values, np.float64)


def _write(out: Path, content: bytes, pictures: Sequence[Pixels], expected: Scores, single: bool) -> float:
    """Whole, proven and as the line will load it, or not at all. Returns the largest difference of a score."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            unfinished = Path(folder) / out.name
            unfinished.write_bytes(content)
            difference = _proven(unfinished, pictures, expected)
            _remember(unfinished)
            unfinished.replace(out)
    except InvalidInput as error:
        why = NOT_OPENED if single else NOT_THE_SAME
        raise InvalidInput(f"{why}: {str(error).removeprefix(f'{unfinished}: ')}") from error
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}") from error
    return difference


def _remember(adopted: Path) -> None:
    """What it says of the golden pictures here, so that the gate can tell it is the same network elsewhere."""
    contract, content = read(adopted)
    scores = OnnxDetector(adopted, (CPU,)).judge(golden_pictures(contract)).astype(float).clip(0, 1)
    golden = Golden(scores=tuple(map(tuple, scores.tolist())), tolerance=MAX_DIFFERENCE)
    model = onnx.load_model_from_string(content)
    adopted.write_bytes(stated(model, contract.model_copy(update={"golden": golden})))


def _proven(adopted: Path, pictures: Sequence[Pixels], expected: Scores) -> float:
    """expected: (N, classes), from the foreign model, picture by picture. In batches the adopted one must say the same."""
    detector = OnnxDetector(adopted, (CPU,))
    ends = [*accumulate(BATCHES), *range(sum(BATCHES) + 8, len(pictures), 8)]
    try:
        parts = [detector.judge(batch) for batch in np.split(np.stack(pictures), ends) if len(batch)]
    except RUN_ERRORS as error:
        raise InvalidInput(short(error)) from error
    scores = np.concatenate(parts)
    if scores.shape != expected.shape:
        raise InvalidInput(f"{len(expected)} pictures get {len(scores)} rows of scores")
    difference = float(np.abs(scores - expected).max())
    if not difference <= MAX_DIFFERENCE:  # not a number is no proof either
        raise InvalidInput(
            f"a score differs by {difference:.2g} from the foreign model; expected at most {MAX_DIFFERENCE}"
        )
    changed = int((_verdicts(scores, detector.contract) != _verdicts(expected, detector.contract)).sum())
    if changed:
        raise InvalidInput(f"{changed} of {len(scores)} pictures get another verdict")
    return difference


def _verdicts(scores: NDArray[np.floating], contract: Contract) -> NDArray[np.intp]:
    """As the line decides: the defect whose score exceeds its threshold most, by its place among them, or -1 for none. (N,)"""
    columns = [contract.classes.index(defect) for defect in contract.thresholds]
    ratios = scores[:, columns] / np.array(list(contract.thresholds.values()))
    return np.where(ratios.max(axis=1) >= 1, ratios.argmax(axis=1), -1)
