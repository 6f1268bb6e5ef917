"""`redrabbit backtest`, as a user types it, on the ledger that a demo left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/demo/thresholds.yaml"

Run = Callable[..., subprocess.CompletedProcess[str]]


def _redrabbit(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo whose camera goes out of focus at part 600, over."""
    home = tmp_path_factory.mktemp("demo") / "home"
    demo = ("demo", "--parts", 2200, "--seed", 2, "--prevalence", 0.1, "--fault", "defocus@600")
    done = _redrabbit(*demo, "--exit", "--home", home, "--report", home.parent / "report.json")
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def backtest(home: Path) -> Run:
    def command(*words: object, thresholds: Path = RULES) -> subprocess.CompletedProcess[str]:
        return _redrabbit(
            "backtest", "--ledger", f"sqlite:///{home}/var/redrabbit.db", "--thresholds", thresholds, *words
        )

    return command


def _json(backtest: Run, folder: Path, *words: object) -> dict[str, Any]:
    done = backtest("--json", folder / "out.json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


def test_it_finds_the_pages_that_the_line_raised(backtest: Run, home: Path, tmp_path: Path) -> None:
    """The same ones, at the same parts and moments; with what is known of the fall, whether they were true and how late."""
    found = _json(backtest, tmp_path, "--fell", 600, "--picture", tmp_path / "p.png")
    live = json.loads((home.parent / "report.json").read_text())
    assert live["pages"], "the demo paged nobody"
    assert [(page["defect"], page["part"], page["raised_at"]) for page in found["pages"]] == [
        (page["defect"], page["bucket_end"], page["raised_at"]) for page in live["pages"]
    ]
    assert found["parts"] == live["parts"] and found["labels"] == live["labels"]
    page = found["pages"][0]
    assert page["true"] is True and page["delay_parts"] == page["part"] - 599
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_lower_page_threshold_pages_later_or_never(backtest: Run, tmp_path: Path) -> None:
    """thresholds.yaml is tried before it is put in force."""
    rules = tmp_path / "thresholds.yaml"
    rules.write_text(RULES.read_text().replace("page: 0.68, warn: 0.75", "page: 0.02, warn: 0.02"))
    done = backtest(thresholds=rules)
    assert done.returncode == 0 and "no page" in done.stdout


def test_what_if_is_said_in_words(backtest: Run) -> None:
    """How many parts are told otherwise, and the price of each decision threshold."""
    done = backtest("--what-if", "threshold=defective:0.2", "--what-if", "budget=0.1")
    assert done.returncode == 0, done.stderr
    assert "rejected that had passed" in done.stdout and "audits not drawn" in done.stdout
    assert "review min/shift" in done.stdout and "as played" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--what-if", "threshold=crack:0.3"), "expected one of defective"),
        (("--what-if", "threshold=defective:35"), "35: expected a ratio"),
        (("--what-if", "budget=2%"), "2%: expected a ratio"),
        (("--what-if", "weather=fine"), "threshold=DEFECT:VALUE"),
        (("--what-if", "model=ffff"), "expected one of 0ca11c583154"),
        (("--what-if", "model=ffff", "--what-if", "threshold=defective:0.3"), "not both"),
        (("--line", "b"), "expected one of el-cells"),
        (("--from", "yesterday"), "--from yesterday: expected ISO 8601"),
        (("--to", "2020-01-01"), "no part in this period"),
        (("--from", "2030-01-01"), "no part in this period"),
        (("--shift", "8"), "--shift 8"),
        (("--picture", "x.jpg"), "ends in .png"),
        (("--json", "/nowhere/x.json"), "the folder /nowhere does not exist"),
    ],
)
def test_what_makes_no_sense_is_one_line(backtest: Run, words: tuple[str, ...], expected: str) -> None:
    """What, where, what was expected; status 2."""
    done = backtest(*words)
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_ledger_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Nothing is created by asking."""
    done = _redrabbit("backtest", "--ledger", f"sqlite:///{tmp_path}/none.db", "--thresholds", RULES)
    assert done.returncode == 2 and "none.db" in done.stderr and not list(tmp_path.iterdir())
