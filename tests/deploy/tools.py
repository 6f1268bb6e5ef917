"""The programs that check deploy/, and how they are run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def installed(name: str) -> str:
    """A program that a wheel of the extra `test` carries."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.fail(f"{name} is missing: make install-test")
    return found


def run(*command: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """What it says on stdout; the test fails with all that it said where its status is not 0."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=280
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def wheels() -> dict[str, str]:
    """This environment, with pip's local folder of wheels handed on to uv, as the Makefile does."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    known = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    folder = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or known
    return {**os.environ, **({"UV_FIND_LINKS": folder} if folder else {})}
