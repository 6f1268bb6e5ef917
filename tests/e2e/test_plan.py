"""`redrabbit plan`, as somebody types it who has no line yet."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app

Run = Callable[..., subprocess.CompletedProcess[str]]
NUMBERS = ("--prevalence", "0.005", "--parts-per-day", "20000")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `plan` in an empty folder with the numbers above and further words."""

    def command(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
        start = f"{code}\nimport runpy, sys; sys.argv[0] = 'redrabbit'; runpy.run_module('service.cli', run_name='__main__')"
        line = [sys.executable, "-c", start, "plan", *NUMBERS, *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    return command


def _rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\d.]+ %)(.*)$", text, re.MULTILINE))


def test_a_manager_reads_what_the_budget_buys(run: Run) -> None:
    """Sentences first, then a row for every budget, one's own marked."""
    done = run("--budget", "0.03")
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "20,000 parts a day",
        "0.5 % of them defective",
        "at least 80 % is proven after about",
        "nine lines in ten",
    ):
        assert words in done.stdout
    assert "a fall to 60 % comes after about" in done.stdout and "within a week, audit" in done.stdout
    assert "add {hours: " in done.stdout, "the default windows are too short for a proof, which must be said"
    assert list(_rows(done.stdout)) == ["0.5 %", "1 %", "2 %", "3 %", "5 %", "10 %", "20 %"]
    assert [share for share, rest in _rows(done.stdout).items() if rest.startswith(" *")] == ["3 %"]


@pytest.mark.parametrize("command", ["plan", "backtest"])
def test_every_option_is_documented_and_the_other_way_round(command: str) -> None:
    """The table of the reference is the list of options."""
    reference = (Path(__file__).parents[2] / "docs/reference.md").read_text()
    section = reference.partition(f"### {command}\n")[2].partition("\n##")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `--")]
    shown = CliRunner().invoke(app, [command, "--help"]).stdout
    assert set(re.findall(r"--[a-z-]+", " ".join(rows))) == set(
        re.findall(r"^ .*?(--[a-z-]+)", shown, re.MULTILINE)
    ) - {"--help"}


def test_what_cannot_be_proven_is_said(run: Run) -> None:
    """A line that is believed to be as good as the threshold only, and a fall that ends above it."""
    done = run("--recall", "0.8", "--threshold", "0.8", "--fallen", "0.81")
    assert done.returncode == 0
    assert "not proven" in done.stdout and "never" in done.stdout and "nobody is paged" in done.stdout
    assert all(" - " in rest for rest in _rows(done.stdout).values())


def test_the_thresholds_of_a_line_are_taken_from_its_file(run: Run, tmp_path: Path) -> None:
    """By name, or by its line.yaml; an option still overrides."""
    (tmp_path / "thresholds.yaml").write_text(
        "lines: {a: {audit: {budget: 0.05}, defects: {crack: {recall: {page: 0.7}}}}}\n"
    )
    (tmp_path / "line.yaml").write_text("line: a\nmodel: m.onnx\ncameras: {left: 'folder:///in'}\n")
    named = run("--thresholds", "thresholds.yaml", "--line", "a")
    assert "at least 70 %" in named.stdout and "audit of 5 %" in named.stdout
    assert run("--config", "line.yaml").stdout == named.stdout
    assert "at least 75 %" in run("--config", "line.yaml", "--threshold", "0.75").stdout


def test_the_picture_is_a_png_and_nothing_is_left_beside_it(run: Run, tmp_path: Path) -> None:
    """Also where nothing can be proven or paged, so that a curve is empty."""
    for words in ((), ("--recall", "0.7", "--fallen", "0.9")):
        done = run("--picture", "plan.png", *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
        assert [file.name for file in tmp_path.iterdir()] == ["plan.png"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--prevalence", "5"), "0.05"),
        (("--recall", "1"), "recall 1"),
        (("--fallen", "60"), "0.6"),
        (("--threshold", "0"), "threshold 0"),
        (("--budget", "2"), "0.02"),
        (("--parts-per-day", "0"), "parts_per_day 0"),
        (("--bucket-parts", "0"), "bucket_parts 0"),
        (("--false-page-every", "90"), "--false-page-every 90"),
        (("--line", "a"), "--line a"),
        (("--thresholds", "none.yaml"), "none.yaml"),
        (("--config", "none.yaml"), "none.yaml"),
        (("--picture", "none/plan.png"), "none"),
        (("--picture", "plan.jpg"), ".png"),
    ],
)
def test_bad_input_gets_one_line(run: Run, tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    """And status 2; nothing is printed or written."""
    done = run(*words)
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == "" and list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_leaves_nothing(run: Run, tmp_path: Path) -> None:
    """A folder has its name."""
    (tmp_path / "plan.png").mkdir()
    done = run("--picture", "plan.png")
    assert done.returncode == 2 and "plan.png: cannot be written" in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == "" and [file.name for file in tmp_path.iterdir()] == ["plan.png"]


def test_without_matplotlib_a_picture_says_what_to_install(run: Run) -> None:
    """And the words need none of it."""
    without = "import sys; sys.modules['matplotlib'] = None"
    done = run("--picture", "plan.png", code=without)
    assert done.returncode == 2 and "pip install 'redrabbit[plan]'" in done.stderr and done.stderr.count("\n") == 1
    assert run(code=without).returncode == 0
