"""`redrabbit adopt`, as a user types it, and what it wrote on the line."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.ledger.store import open_ledger
from service.model.detector import CPU, OnnxDetector
from tests.foreign import Foreign
from tests.servers import free_port, until

COMMAND = (sys.executable, "-m", "service.cli")
SAID = ("--classes", "good,crack,dent", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
CONFIG = """
line: a
model: ours.onnx
cameras: {{inbox: 'folder://{folder}/in?settle=0s&done={folder}/done'}}
metrics: {{exporter: 127.0.0.1:{exporter}, worker: 127.0.0.1:{worker}}}
"""


def _adopt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [*COMMAND, "adopt", "foreign.onnx", "--out", "ours.onnx", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, cwd=folder)


def test_an_adopted_model_judges_what_lies_in_a_folder(tmp_path: Path) -> None:
    """Taken in from a network for one picture of another make, then run by the worker, which records its scores."""
    Foreign(batch=1, flat="Reshape").write(tmp_path)
    done = _adopt(tmp_path, *SAID, "--threshold", "dent=0.9", "--threshold", "crack=0.001")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "batch of 1 opened" in said[0] and "logits" in said[1] and "dent from 0.9 on" in said[1]
    assert "largest difference" in said[2] and "ours.onnx" in said[3] and "gate" in said[3]

    (tmp_path / "in").mkdir()
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "in/p1.png"), picture)
    (tmp_path / "thresholds.yaml").write_text("defaults: {}\n")
    (tmp_path / "line.yaml").write_text(CONFIG.format(folder=tmp_path, exporter=free_port(), worker=free_port()))
    worker = subprocess.Popen([*COMMAND, "worker", "--allow-ungated", "--config", "line.yaml"], cwd=tmp_path)
    try:
        until(lambda: worker.poll() is not None or (tmp_path / "done/p1.png").exists(), "the picture moved away")
    finally:
        worker.terminate()
    assert worker.wait(30) == 0
    with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", time.time, read_only=True)) as ledger:
        (row,) = ledger.parts_after(0, 10)
    detector = OnnxDetector(tmp_path / "ours.onnx", (CPU,), 1)
    assert row.verdict.part_id == "p1" and row.verdict.model == detector.info.digest
    assert row.verdict.predicted == "crack"
    assert row.verdict.scores == pytest.approx(detector.judge(detector.fit(picture)[np.newaxis])[0], abs=1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "--classes"),
        ((*SAID, "--size", "16"), "--size"),
        ((*SAID, "--size", "axb"), "--size"),
        ((*SAID, "--mean", "a,b,c"), "--mean"),
        ((*SAID, "--std", "0"), "--std"),
        ((*SAID, "--scale", "0"), "--scale"),
        ((*SAID, "--colour", "red"), "--colour"),
        ((*SAID, "--outputs", "votes"), "--outputs"),
        ((*SAID, "--threshold", "dent"), "--threshold dent"),
        ((*SAID, "--threshold", "dent=much"), "--threshold"),
        ((*SAID, "--threshold", "rust=0.5"), "--threshold rust"),
        ((*SAID, "--samples", "none"), "none"),
        ((*SAID, "--name", "a b"), "name"),
        (("--classes", "good,crack"), "foreign.onnx"),
    ],
)
def test_what_cannot_be_gets_one_line(words: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    """And status 2, and no file."""
    Foreign().write(tmp_path)
    done = _adopt(tmp_path, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and expected in done.stderr, done.stderr
    assert done.stderr.startswith("redrabbit: ") and not (tmp_path / "ours.onnx").exists()
