"""The ELPV data set of solar cells, read lazily from the installed package, and split so that neighbours stay together.

C. Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery",
EU PVSEC 2018; CC BY-NC-SA 4.0. 2,624 cells in the order of the 44 modules they were cut from: cells of one module are alike, so
a split by cell would test on what was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Final

from service.errors import InvalidInput

RUN: Final = 60
"""Cells that stay together: about a module's worth."""
DEAL: Final = ("train", "train", "validation", "heldout")
SPLIT_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture. probability: of a defect, as its labellers said: 0, 1/3, 2/3 or 1. kind: mono or poly."""

    file: Path
    probability: float
    kind: str

    @property
    def defective(self) -> bool:
        return self.probability >= 0.5

    @property
    def certain(self) -> bool:
        """Whether the labellers were sure."""
        return self.probability in (0.0, 1.0)

    def read(self) -> bytes:
        """The encoded picture, a PNG of 300 x 300 grey pixels."""
        return self.file.read_bytes()


@cache
def cells() -> tuple[Cell, ...]:
    """All cells in the data set's order. Raises InvalidInput where it is not installed."""
    spec = find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise InvalidInput("the data set elpv is not installed; expected `pip install 'redrabbit[demo]'`")
    folder = Path(spec.origin).parent / "data"
    lines = (folder / "labels.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip()]
    return tuple(Cell(folder / name, float(probability), kind) for name, probability, kind in rows)


def split() -> dict[str, list[Cell]]:
    """{train, validation, heldout}: runs of neighbouring cells, dealt out by a fixed seed.

    Runs that are alike in kind and in their share of defects are dealt together, so that the parts resemble each other.
    """
    every = cells()
    runs = [every[first : first + RUN] for first in range(0, len(every), RUN)]
    runs.sort(
        key=lambda run: (
            sum(cell.kind == "mono" for cell in run) / len(run),
            sum(cell.defective for cell in run) / len(run),
        )
    )
    dice = Random(SPLIT_SEED)
    parts: dict[str, list[Cell]] = {name: [] for name in DEAL}
    for first in range(0, len(runs), len(DEAL)):
        for name, run in zip(dice.sample(DEAL, len(DEAL)), runs[first : first + len(DEAL)], strict=False):
            parts[name] += run
    return parts


def heldout(certain_only: bool = True) -> Sequence[Cell]:
    """What no training and no choice of a threshold has seen."""
    return [cell for cell in split()["heldout"] if cell.certain or not certain_only]


def digest() -> str:
    """SHA-256 over names, labels and pictures of the training and validation cells."""
    parts = split()
    whole = sha256()
    for cell in [*parts["train"], *parts["validation"]]:
        whole.update(f"{cell.file.name} {cell.probability:.3f} {cell.kind}\n".encode())
        whole.update(sha256(cell.read()).digest())
    return whole.hexdigest()
