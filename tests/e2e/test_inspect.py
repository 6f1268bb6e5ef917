"""`redrabbit inspect` as typed: the table, the list for machines, and one line for what cannot be looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import helper

from tests.model.graphs import chain, convolutions, saved

KEYS = [
    "name",
    "in_channels",
    "out_channels",
    "kernel",
    "stride",
    "padding",
    "dilation",
    "groups",
    "input",
    "output",
    "weights",
    "macs",
    "receptive_field",
    "warnings",
]


def _inspect(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", "inspect", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """3 to 6 channels with a kernel of 5 on 32 x 32, then a stride of 2 with a padding as large as its kernel."""
    return saved(convolutions({"out": 6, "kernel": 5}, {"out": 8, "kernel": 3, "stride": 2, "pad": 3}), tmp_path)


def test_the_table_shows_sizes_sums_and_warnings(file: Path) -> None:
    """Each convolution a row; what inflates the output is said in words below."""
    done = _inspect(file)
    assert done.returncode == 0 and done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines()]
    first = next(row for row in rows if row[1:2] == ["conv0"])
    assert first[2:4] == ["3", "6"] and "32x32" in first and "28x28" in first and "450" in first
    assert any(row[1:2] == ["conv1"] and "16x16" in row for row in rows)
    assert any("together" in row and "882" in row for row in rows)
    (warning,) = [line for line in done.stdout.splitlines() if line.startswith("warning: layer 2, conv1: ")]
    assert "padding" in warning


def test_the_list_for_machines(file: Path) -> None:
    """One object a layer with the public keys."""
    layers = json.loads(_inspect(file, "--json").stdout)
    assert [layer["output"] for layer in layers] == [[28, 28], [16, 16]]
    assert all(set(KEYS) <= layer.keys() for layer in layers)
    assert layers[0]["warnings"] == [] and len(layers[1]["warnings"]) == 1


def test_masks_tell_what_the_model_cannot_see(file: Path, tmp_path: Path) -> None:
    """A defect larger than what one output sees is named."""
    mask = np.zeros((32, 32), np.uint8)
    mask[4:28, 4:28] = 255
    (tmp_path / "masks").mkdir()
    assert cv2.imwrite(str(tmp_path / "masks/1.png"), mask)
    assert "the smallest defect in the masks is 24" in _inspect(file, "--masks", tmp_path / "masks").stdout


def test_a_graph_without_any_convolution(tmp_path: Path) -> None:
    """Is looked at all the same."""
    file = saved(chain(helper.make_node("Relu", ["x0"], ["x1"])), tmp_path)
    assert "no convolution of pictures in it" in _inspect(file).stdout
    assert json.loads(_inspect(file, "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("missing.onnx",), "missing.onnx"),
        (("text.onnx",), "no ONNX model"),
        (("model.onnx", "--size", "12"), "--size '12': expected HEIGHTxWIDTH"),
        (("model.onnx", "--masks", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line(file: Path, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    """What, where, what was expected; status 2."""
    (tmp_path / "text.onnx").write_text("no model")
    done = _inspect(
        *(tmp_path / word if word in ("missing.onnx", "text.onnx", "model.onnx", "nowhere") else word for word in words)
    )
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.strip().splitlines()) == 1
