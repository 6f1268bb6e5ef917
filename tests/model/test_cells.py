"""The solar cells: the split, and what the faults of the demo do to the shipped model."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from pathlib import Path

import numpy as np
import pytest

from service.faults import FAULTS, damage
from service.images import decode
from service.model.detector import CPU, OnnxDetector
from service.model.elpv import RUN, TWINS, Cell, cells, heldout, split
from service.records import Image
from service.thresholds import load

SHIPPED = Path(__file__).parents[2] / "deploy/models/el-cells.onnx"


@pytest.fixture(scope="module")
def detector() -> OnnxDetector:
    return OnnxDetector(SHIPPED, (CPU,), 2)


@pytest.fixture(scope="module")
def bad() -> Sequence[Cell]:
    """Held-out cells that are certainly defective."""
    return [cell for cell in heldout() if cell.defective]


def _recall(detector: OnnxDetector, images: Sequence[Image]) -> float:
    """Share of the pictures that are flagged."""
    threshold = detector.contract.thresholds["defective"]
    scores = detector.judge(np.stack([detector.fit(image) for image in images]))[:, 1]
    return float((scores >= threshold).mean())


def test_every_cell_is_in_one_part_of_the_split() -> None:
    """Train, validation and test share no cell and lose none but the twins."""
    parts = split()
    files = [cell.file for part in parts.values() for cell in part]
    assert len(files) == len(set(files)) == len(cells()) - len(TWINS) == 2624 - 80


def test_neighbours_stay_together() -> None:
    """Cells of one module are alike: a run of them lies in one part only."""
    part_of = {cell.file: name for name, part in split().items() for cell in part}
    every = cells()
    for first in range(0, len(every), RUN):
        assert len({part_of[cell.file] for cell in every[first : first + RUN] if cell.file in part_of}) == 1


def test_the_demo_shows_held_out_cells_whose_label_is_certain() -> None:
    """Nobody can say what the recall is where the truth is not known."""
    training = {cell.file for name in ("train", "validation") for cell in split()[name]}
    assert all(cell.certain and cell.file not in training for cell in heldout())
    assert len(heldout(certain_only=False)) > len(heldout())


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "noise"])
def test_a_fault_costs_recall(detector: OnnxDetector, bad: Sequence[Cell], kind: str) -> None:
    """Each fault makes the model miss defects that it catches in focus."""
    healthy = _recall(detector, [decode(cell.read()) for cell in bad])
    faulty = _recall(detector, [damage(kind, cell.read()) for cell in bad])
    assert faulty < healthy - 0.2


def test_noise_costs_good_parts(detector: OnnxDetector) -> None:
    """Grain of a sixth of full scale looks like defects: more good parts are rejected for it."""
    good = [cell for cell in heldout() if not cell.defective][:150]
    healthy = _recall(detector, [decode(cell.read()) for cell in good])
    assert _recall(detector, [damage("noise", cell.read()) for cell in good]) > healthy


def test_a_fault_is_done_the_same_way_every_time(bad: Sequence[Cell]) -> None:
    """So that the same seed gives the same report."""
    for kind in FAULTS:
        assert np.array_equal(damage(kind, bad[0].read()), damage(kind, bad[0].read()))


def test_the_model_proved_less_than_it_does(detector: OnnxDetector, bad: Sequence[Cell]) -> None:
    """The proven lower limit lies below the recall on held-out cells: otherwise a healthy demo would page."""
    assert detector.contract.validation["defective"].lower < _recall(detector, [decode(cell.read()) for cell in bad])


def test_the_demo_pages_below_what_the_model_proved(detector: OnnxDetector) -> None:
    """The threshold in the demo's file is the proven lower limit, rounded down to two digits."""
    page = load(SHIPPED.parents[1] / "demo/thresholds.yaml").line("el-cells").recall.page
    assert page == floor(detector.contract.validation["defective"].lower * 100) / 100
