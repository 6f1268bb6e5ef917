"""Six classes from a folder go from `train` to `gate` to a running line, as a user types it, with nothing edited by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from service.ledger.store import open_ledger
from service.model.passport import bare
from tests.model.conftest import COUNTS, write_pictures
from tests.servers import free_port, until

PARTS = dict.fromkeys(COUNTS, 6)


def _command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "service.cli", *map(str, words)]


def test_from_the_gate_to_the_line(trained: Path, six_classes: Path, tmp_path: Path) -> None:
    """The gate passes the file, the worker takes it without a word, and calls parts that nobody has seen by their names."""
    model = tmp_path / "tiles.onnx"
    model.write_bytes(bare(trained.read_bytes()))
    settings = {
        "line": "tiles",
        "model": "tiles.onnx",
        "cameras": {"top": f"folder://{tmp_path}/in/?settle=0.1s"},
        "metrics": {"worker": f"127.0.0.1:{free_port()}"},
    }
    (tmp_path / "line.yaml").write_text(json.dumps(settings))
    (tmp_path / "thresholds.yaml").write_text("lines: {tiles: {defects: {crack: {recall: {page: 0.9, warn: 0.95}}}}}\n")
    worker = _command("worker", "--config", tmp_path / "line.yaml")
    refused = subprocess.run(worker, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2 and "tiles.onnx: has not passed the gate" in refused.stderr
    gate = subprocess.run(
        _command("gate", model, six_classes), capture_output=True, text=True, timeout=300, check=False
    )
    assert gate.returncode == 0, gate.stdout + gate.stderr

    (tmp_path / "in").mkdir()
    write_pictures(tmp_path / "made", PARTS, first=50_000)
    actual = {}
    for kind in PARTS:
        for file in (tmp_path / "made" / kind).glob("*.png"):
            actual[file.stem] = kind
            file.rename(tmp_path / "in" / file.name)
    process = subprocess.Popen(worker, text=True, stderr=subprocess.PIPE)
    try:
        with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", time.time)) as ledger:
            until(
                lambda: len(ledger.parts_after(0, 1000)) == len(actual) or process.poll() is not None,
                "all parts judged",
            )
            rows = ledger.parts_after(0, 1000)
    finally:
        process.terminate()
        said = process.communicate(timeout=40)[1]
    assert process.returncode == 0, said
    named = {row.verdict.part_id: row.verdict.predicted for row in rows}
    right = sum(named[part_id] == kind for part_id, kind in actual.items())
    assert named.keys() == actual.keys() and right >= 0.9 * len(actual), named
    assert len({row.verdict.model for row in rows}) == 1 and len(rows[0].verdict.scores) == len(COUNTS)
