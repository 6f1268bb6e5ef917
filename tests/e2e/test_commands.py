"""The small commands, as a user types them."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from service.cli import app
from service.demo.replay import SimulatedClock
from service.ledger.store import open_ledger
from service.records import Outcome, Verdict
from tests.e2e.conftest import Run
from tests.line import LINE, MODEL


def _paths(group: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    commands = getattr(group, "commands", None)
    if commands is None:
        return [path]
    return [path, *(found for name, command in commands.items() for found in _paths(command, (*path, name)))]


@pytest.mark.parametrize("words", _paths(typer.main.get_command(app)), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    """--help, with a sentence and every option."""
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0 and "Usage:" in done.stdout
    assert len(done.stdout.splitlines()[2].strip()) > 10, done.stdout


def test_a_ledger_is_made_once(run: Run) -> None:
    """The second time there is nothing to do."""
    assert run("ledger", "migrate").stdout == run("ledger", "migrate").stdout != ""


def test_a_token_is_shown_once_and_can_be_ended(run: Run) -> None:
    """The list has the name and the role and never the secret."""
    secret = run("token", "add", "ines", "--role", "inspector", "--line", "a", "--expires-in", "12h").stdout.strip()
    assert secret.startswith("rr_") and len(secret) > 40
    listed = run("token", "list").stdout
    assert "ines" in listed and "inspector" in listed and "good" in listed and secret not in listed
    assert run("token", "revoke", "ines").returncode == 0
    assert "revoked" in run("token", "list").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("token", "add", "x", "--role", "king"), "king"),
        (("token", "add", "x", "--role", "admin", "--expires-in", "12"), "12"),
        (("token", "revoke", "nobody"), "nobody"),
        (("token", "list"), "no ledger"),
        (("labels", "import", "none.csv"), "none.csv"),
        (("labels", "export", "out.csv"), "no ledger"),
    ],
)
def test_bad_input_gets_one_line(run: Run, words: tuple[str, ...], expected: str) -> None:
    """And status 2."""
    if words[0] == "token" and words[1] == "revoke":
        run("ledger", "migrate")
    done = run(*words)
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_labels_without_a_model_are_refused_by_line(run: Run, tmp_path: Path) -> None:
    """The file's line stands before the reason; the status says that not all went in."""
    (tmp_path / "labels.csv").write_text("part_id,label,inspector\np1,good,ines\n")
    done = run("labels", "import", "labels.csv")
    assert done.returncode == 1
    assert "labels.csv, line 2: " in done.stderr and "1 refused" in done.stdout


def test_an_empty_ledger_exports_a_head(run: Run, tmp_path: Path) -> None:
    """Nothing half-written is left beside it."""
    run("ledger", "migrate")
    done = run("labels", "export", "out.csv")
    assert done.returncode == 0 and "0 labels" in done.stdout
    assert (tmp_path / "out.csv").read_text().startswith("part_id,label")
    assert list(tmp_path.glob("*.unfinished")) == []


def test_a_challenge_part_from_registration_to_retirement(run: Run, tmp_path: Path) -> None:
    """Registered with its schedule, missed once by name and once by report, overdue on a line that goes on, and ended."""
    clock = SimulatedClock()
    clock.now = time.time() - 3600
    with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", clock)) as ledger:
        ledger.register(MODEL)
        added = run(
            "challenge", "add", "RR-7", "--expect", "crack", "--every", "1s", "--within", "1s", "--shift", "06:00"
        )
        assert added.returncode == 0 and "RR-7~anything" in added.stdout, added.stderr
        clock.now = time.time() + 10
        passed = Verdict("RR-7~1", LINE, "left", clock.now, "m", "t", (0.9, 0.1), 0.2, "good", Outcome.PASS, 1, 50, 1)
        ledger.record(
            [passed, replace(passed, part_id="p1"), replace(passed, part_id="p2", captured_at=clock.now + 60)]
        )
    assert run("challenge", "report", "p1", "--as", "RR-7").returncode == 0
    listed = run("challenge", "list").stdout
    assert "RR-7" in listed and "at 06:00 UTC" in listed and "OVERDUE" in listed
    assert "caught 0, missed 2" in listed
    assert run("challenge", "retire", "RR-7").returncode == 0
    assert "RR-7" not in run("challenge", "list").stdout
    for words, says in (
        (("add", "X", "--expect", "dent"), "expected one of good, crack"),
        (("add", "../X", "--expect", "crack"), "name: expected"),
        (("add", "X", "--expect", "crack", "--every", "8"), "8h"),
        (("report", "nobody", "--as", "RR-7"), "no part 'nobody'"),
        (("retire", "nobody"), "none of that name"),
    ):
        done = run("challenge", *words)
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_the_version_is_the_packages() -> None:
    """One place says it."""
    from importlib.metadata import version

    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"redrabbit {version('redrabbit')}"
