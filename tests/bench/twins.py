"""`python -m tests.bench.twins`: what near-duplicates do to a random split of the solar cells, as published figures use it.

Trains the recipe of deploy/models/el-cells.md once more, on a random split of all 2,624 cells; about half an hour on two cores. Then judges the
test cells apart: those of which a near-duplicate was learned from, and those of which none was.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from service.model.course import History
from service.model.data import Data, Sample
from service.model.detector import CPU, OnnxDetector
from service.model.elpv import CLASSES, cells
from service.model.export import export
from service.model.judge import Judged, judge
from service.model.leakage import near_duplicates, signatures
from service.model.recipe import Recipe
from service.model.train import train

RECIPE = Recipe.model_validate(
    {
        "name": "el-cells",
        "cut": 11,
        "fine_tune": True,
        "input": {"height": 224, "width": 224, "colour": "grey"},
        "recall": 0.76,
        "failing_camera": 0.005,
        "mixup": 0.3,
        "epochs": 22,
        "patience": 22,
        "batch": 32,
        "rate": 6e-4,
    }
)
SHARES = (("test", 0.25), ("validation", 0.25), ("train", 0.5))
"""Published splits are three to one; a part of their three is validation here, as thresholds need one."""


class Lines:
    """An epoch a line."""

    def features(self, done: int, total: int) -> None: ...

    def batch(self, epoch: int, share: float) -> None: ...

    def epoch(self, number: int, history: History) -> None:
        print(f"epoch {number + 1}: validation loss {history.validation_loss[-1]:.4f}", flush=True)


def randomly_split() -> Data:
    """All cells, dealt out one by one, as if each were a part of its own."""
    every = list(cells())
    names = [name for name, share in SHARES for _ in range(round(share * len(every)))]
    names = (names + ["train"] * len(every))[: len(every)]
    Random(1).shuffle(names)
    samples = [
        Sample(
            name=cell.file.name,
            label=CLASSES[cell.defective],
            file=cell.file,
            sure=cell.probability if cell.defective else 1 - cell.probability,
            part=part,
        )
        for cell, part in zip(every, names, strict=True)
    ]
    return Data("elpv, split at random", samples, CLASSES[0])


def main() -> None:
    data = randomly_split()
    found = near_duplicates(signatures(sample.image() for sample in data.samples), [None] * len(data.samples))
    part = [sample.part for sample in data.samples]
    learned = {a for pair in found.pairs for a, b in ((pair[0], pair[1]), (pair[1], pair[0])) if part[b] == "train"}
    with TemporaryDirectory() as folder:
        checkpoint, file = Path(folder) / "random.pt", Path(folder) / "random.onnx"
        train(data, RECIPE, checkpoint, Lines(), print)
        export(checkpoint, file, "float32", print)
        tested = [number for number, name in enumerate(part) if name == "test"]
        judged = judge(OnnxDetector(file, (CPU,)), [data.samples[number] for number in tested])
    known = [number in learned for number in tested]
    print(
        "\n| test cells | number | accuracy | of certain labels | ROC-AUC | of certain labels |\n|---|---|---|---|---|---|"
    )
    print(_row("all", judged))
    print(_row("a near-duplicate was learned from", judged.of(known)))
    print(_row("none was", judged.of([not one for one in known])))


def _row(what: str, judged: Judged) -> str:
    sure = judged.sure()
    areas = " | ".join("not known" if (area := one.area()) is None else f"{area:.3f}" for one in (judged, sure))
    return f"| {what} | {len(judged.samples)} | {_accuracy(judged)} | {_accuracy(sure)} | {areas} |"


def _accuracy(judged: Judged) -> str:
    """Of the more probable class, as others count."""
    said = np.array(judged.contract.classes)[judged.scores.argmax(axis=1)]
    return f"{(said == judged.actual).mean():.3f}"


if __name__ == "__main__":
    main()
