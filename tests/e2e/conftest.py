"""Commands over a line that has not begun."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command over a line.yaml whose ledger does not exist yet."""
    (tmp_path / "thresholds.yaml").write_text("defaults: {}\n")
    config = tmp_path / "line.yaml"
    config.write_text(f"line: a\nmodel: m.onnx\ncameras: {{left: 'folder://{tmp_path}'}}\n")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "service.cli", *words, "--config", str(config)]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    return command
