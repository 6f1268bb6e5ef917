"""The ELPV data set of solar cells, read lazily from the installed package, and split so that neighbours stay together.

C. Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery",
EU PVSEC 2018; CC BY-NC-SA 4.0. 2,624 cells in the order of the 44 modules they were cut from: cells of one module are alike, some
modules were photographed twice, and wafers cut from one ingot look like twins. A split by cell would test on what was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from service.errors import InvalidInput

RUN: Final = 60
"""Cells that stay together: about a module's worth."""
CLASSES: Final = ("good", "defective")
PARTS: Final = {"t": "train", "v": "validation", "h": "test"}
DEAL: Final = "thtvhhhtvhvtvttvtttvtthhhvvttvtttthtttvthhvt"
"""The part of each run: dealt out among runs that are alike in kind and in their share of defects."""
_TWINS: Final = """
    372 394 398 408-409 1320-1323 1496-1499 1616 1619 1741 1743 1774 1776 1778 1780-1781 1786 1791-1793 1795 1798 2040
    2056-2060 2065 2067 2069 2072-2073 2084-2090 2092-2093 2096-2099 2280-2281 2283 2285 2316 2318 2320 2322-2323 2329 2334
    2336 2338-2339 2505-2507 2509-2518 2564
"""
TWINS: Final = frozenset(
    number
    for first, _, last in (run.partition("-") for run in _TWINS.split())
    for number in range(int(first), int(last or first) + 1)
)
"""Cells set aside, by number: `service.model.leakage` finds them to be near-duplicates of a cell in an earlier part, ten of them once the
others are gone. Kept here because the demo needs the split at once; a test compares."""


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
    """{train, validation, test}: whole runs of neighbouring cells, without the twins."""
    parts: dict[str, list[Cell]] = {name: [] for name in PARTS.values()}
    for number, cell in enumerate(cells()):
        if number not in TWINS:
            parts[PARTS[DEAL[number // RUN]]].append(cell)
    return parts


def heldout(certain_only: bool = True) -> Sequence[Cell]:
    """What no training and no choice of a threshold has seen."""
    return [cell for cell in split()["test"] if cell.certain or not certain_only]
