"""`redrabbit ledger verify` over a ledger of a line that has worked, and after somebody has been at it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.ledger.images import FolderImages
from service.ledger.store import open_ledger
from service.records import ChallengePart, Outcome
from tests.e2e.conftest import Run
from tests.ledger.rows import Ticking, label, verdict
from tests.line import MODEL


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """400 parts of a line, every tenth rejected and every fifteenth audited, with labels that come in between, and pictures."""
    (tmp_path / "thresholds.yaml").write_text(
        "defaults: {recall: {page: 0.5}, bucket: {parts: 50, closes_after: 1m}, windows: [{parts: 200}]}\n"
    )
    file = tmp_path / "var/redrabbit.db"
    images = FolderImages(tmp_path / "var/images", 10**6)
    with closing(open_ledger(f"sqlite:///{file}", Ticking())) as opened:
        opened.register(MODEL)
        for number in range(400):
            if number == 100:
                opened.register_challenge(ChallengePart("a", "RR", "crack", 0.0))
            flagged, drawn = number % 10 == 0, number % 15 == 1
            outcome = Outcome.REJECT if flagged else Outcome.AUDIT if drawn else Outcome.PASS
            image = (images.ring if outcome is Outcome.PASS else images.keep)(f"picture {number}".encode())
            part = verdict(
                f"p{number}", outcome=outcome, band=None if flagged else 3, weight=1 if flagged else 15, image=image
            )
            opened.record([part])
            if number == 100:
                opened.report_challenge("p100", "RR", "eva")
            if flagged or drawn:
                opened.add_labels(
                    [label(f"p{max(0, number - 20)}", "crack" if number % 3 else "good", at=700.0 + number)]
                )
        opened.add_labels([label("p0", "crack", "max"), label("p380", "good", "max")])
        opened.acknowledge("a", "all", "eva", "")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


def _by_hand(ledger: Path, statement: str) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)


def test_a_ledger_as_it_was_recorded(run: Run, ledger: Path, tmp_path: Path) -> None:
    """Status 0; the heads are printed and written, and hold when the ledger has grown."""
    done = run("ledger", "verify", "--heads", "heads.json")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[-2:] == ["figures: the same when computed from scratch", "good"]
    heads = json.loads((tmp_path / "heads.json").read_text())["heads"]
    assert heads["parts"]["sequence"] == 400
    assert f"head  parts                       400 {heads['parts']['row_hash']}" in said
    with closing(open_ledger(f"sqlite:///{ledger}", Ticking())) as opened:
        opened.record([verdict("later")])
    assert run("ledger", "verify", "--against", "heads.json").returncode == 0


def test_what_is_wrong_is_told_and_has_status_1(run: Run, ledger: Path, tmp_path: Path) -> None:
    """A changed label, a row that is gone, a tail that the heads know of: table, row and what. Heads of what was right stay."""
    run("ledger", "verify", "--heads", "heads.json")
    before = (tmp_path / "heads.json").read_text()
    _by_hand(ledger, "UPDATE labels SET inspector = 'max' WHERE sequence = 2")
    _by_hand(ledger, "DELETE FROM labels WHERE sequence = 9")
    _by_hand(ledger, "DELETE FROM parts WHERE sequence > 390")
    done = run("ledger", "verify", "--against", "heads.json", "--heads", "heads.json")
    assert done.returncode == 1
    assert (
        "labels: row 2: is not the row that was recorded here: changed, inserted or put in another's place"
        in done.stdout
    )
    assert "labels: row 9: row 9 is missing" in done.stdout
    assert "parts: row 391: the end is missing: the heads know rows up to 400, the last one here is 390" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 found"
    assert (tmp_path / "heads.json").read_text() == before


def test_pictures_that_are_gone_or_changed(run: Run, ledger: Path, tmp_path: Path) -> None:
    """Of rejects and audits; those of passed parts may be forgotten."""
    with closing(open_ledger(f"sqlite:///{ledger}", Ticking(), read_only=True)) as opened:
        rows = {row.sequence: row.verdict.image for row in opened.parts_after(0, 1000)}
    kept, ring = tmp_path / "var/images/kept", tmp_path / "var/images/ring"
    (ring / rows[3][:2] / rows[3]).unlink()
    (kept / rows[1][:2] / rows[1]).unlink()
    broken = kept / rows[11][:2] / rows[11]
    broken.write_bytes(broken.read_bytes()[:-1] + b"?")
    done = run("ledger", "verify")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("parts")] == [
        f"parts: row 1: its picture {rows[1]} is not there",
        f"parts: row 11: its picture {rows[11]} has another content",
    ]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.98])
def test_a_file_cut_off_in_the_middle_of_a_page(run: Run, ledger: Path, share: float) -> None:
    """One line, status 1."""
    content = ledger.read_bytes()
    ledger.write_bytes(content[: int(len(content) * share) // 4096 * 4096 + 1000])
    done = run("ledger", "verify")
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("the database is damaged: ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--against", "line.yaml"], "--against line.yaml: expected a file that `ledger verify --heads` has written"),
        (["--against", "none.json"], "--against none.json: cannot be read: No such file or directory"),
        (["--ledger", "sqlite:///none.db"], "there is no ledger yet"),
        (["--ledger", "none.db"], "expected a URL"),
        (["--images", "none"], "there is no such folder of pictures"),
        (["--heads", "none/heads.json"], "--heads none/heads.json: cannot be written"),
    ],
)
def test_bad_input(run: Run, ledger: Path, words: list[str], expected: str) -> None:
    """One line, status 2."""
    done = run("ledger", "verify", *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
