"""A factory's pictures of six classes, very unequal in number, with masks; and a model that was trained on them by the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.cli import app
from tests.model.parts_factory import part

COUNTS = {"good": 480, "hole": 160, "scratch": 120, "stain": 100, "crack": 80, "dent": 80}
RECIPE = ("--cut", "5", "--size", "96", "--epochs", "4", "--batch", "32", "--rate", "0.002", "--recall", "0.98")


def write_pictures(root: Path, counts: Mapping[str, int], first: int = 0) -> None:
    """Class folders, and masks/CLASS beside them. first: number of the first part, so that others are other parts."""
    number = first
    for kind, count in counts.items():
        for folder in (root / kind, root / "masks" / kind):
            folder.mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            image, where = part(number, kind)
            assert cv2.imwrite(str(root / kind / f"{number:05d}.png"), image)
            if kind != "good":
                assert cv2.imwrite(str(root / "masks" / kind / f"{number:05d}.png"), where.astype(np.uint8) * 255)
            number += 1


def run(*words: str | Path) -> int:
    """The exit status of a command, run in this process."""
    try:
        status = app([str(word) for word in words], standalone_mode=False)
    except SystemExit as ended:
        status = ended.code
    return int(status or 0)


@pytest.fixture(scope="session")
def six_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiles")
    write_pictures(root, COUNTS)
    return root


@pytest.fixture(scope="session")
def trained(six_classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The model file; its card, curves and checkpoint lie beside it."""
    model = tmp_path_factory.mktemp("model") / "tiles.onnx"
    assert run("train", six_classes, "--out", model, *RECIPE) == 0
    yield model
