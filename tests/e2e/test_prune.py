"""`redrabbit ledger prune`: old rows and pictures go, every figure in force stays, and the rest is still a ledger that verifies."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from service.cli.pruning import COUNTED, differences
from service.ledger.images import FolderImages
from service.ledger.pruning import Plan, plan
from service.ledger.store import SqlLedger, open_ledger
from service.monitor import Monitor
from service.records import (
    Begins,
    ChallengePart,
    Deed,
    LineSnapshot,
    Outcome,
    Past,
    ShadowVerdict,
    Study,
    StudyPart,
    Verdict,
)
from service.records import Kind as StudyKind
from service.thresholds import load
from tests.e2e.conftest import Run
from tests.ledger.rows import label, verdict
from tests.line import MODEL

DAY = 86400.0
YEARS = 3 * 365 * DAY
PARTS = 2000
RULES = """
defaults:
  recall: {page: 0.5}
  bucket: {parts: 5, closes_after: 1h}
  windows: [{parts: 100}, {hours: 720}]
  audit: {budget: 0.2}
"""


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """Three years of two lines that share a ledger, until an hour ago: rejects, audits, labels that come days later, corrections, reports,
    a shadow, pages acknowledged, and pictures, one of which an old and a new part share."""
    (tmp_path / "thresholds.yaml").write_text(RULES)
    images, clock = FolderImages(tmp_path / "var/images", 10**7), _Clock()
    with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", clock)) as ledger:
        clock.now = began = time.time() - YEARS
        for line in "ab":
            ledger.register(replace(MODEL, line=line))
        ledger.register_challenge(ChallengePart("a", "RR", "crack", 0.0))
        for number in range(PARTS):
            clock.now = began + (YEARS - 3600) * number / PARTS
            part = _part(number, clock.now - 1)
            store = images.ring if part.outcome is Outcome.PASS else images.keep
            ledger.record([replace(part, image=store(f"picture {0 if number == PARTS - 5 else number}".encode()))])
            if number % 50 == 7:
                ledger.record_shadow([ShadowVerdict(part.part_id, part.line, "s" * 64, (0.5, 0.5), 0.5, "good", False)])
            if number > 5:
                _label(ledger, number - 6, clock.now)
            if number % 100 == 3 and part.line == "a":
                ledger.report_challenge(part.part_id, "RR", "eva")
            if number % 400 == 399:
                ledger.acknowledge("a", "all", "eva", "")
                ledger.note(Deed("eva", "127.0.0.1", "signed in"))
    return tmp_path / "var"


def _part(number: int, at: float) -> Verdict:
    """Of line b each third; every fifth is rejected, and a quarter of the others drawn."""
    name, line = f"p{number:04d}", "b" if number % 3 == 2 else "a"
    if number % 5 == 0:
        return verdict(name, line, captured_at=at, outcome=Outcome.REJECT, band=None, weight=1, predicted="crack")
    return verdict(name, line, captured_at=at, outcome=Outcome.AUDIT if number % 4 == 1 else Outcome.PASS, weight=4)


def _label(ledger: SqlLedger, number: int, at: float) -> None:
    """Rejects are cracks, but for those that are corrected; at first and at last some audits are, as two inspectors say."""
    part = _part(number, at)
    if part.outcome is Outcome.PASS:
        return
    missed = number % 20 == 1 and (number < 200 or number > PARTS - 300)
    ledger.add_labels([label(part.part_id, "crack" if part.flagged or missed else "good", "eva", at - 2)])
    if number % 300 == 0:
        ledger.add_labels([label(part.part_id, "good", "eva", at - 1)])
    if missed:
        ledger.add_labels([label(part.part_id, "crack", "max", at - 1)])


@contextmanager
def _opened(var: Path) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{var}/redrabbit.db", time.time)) as ledger:
        yield ledger


def _figures(var: Path) -> tuple[dict[str, LineSnapshot], int]:
    rules = load(var.parent / "thresholds.yaml")
    with _opened(var) as ledger:
        snapshot = Monitor(ledger, lambda: rules, time.time).snapshot()
    return dict(snapshot.lines), snapshot.unknown_part_labels


def _rows(var: Path) -> dict[str, tuple[int, int]]:
    with closing(sqlite3.connect(var / "redrabbit.db")) as connection:
        tables = ("parts", "labels", "shadow_verdicts", "challenge_reports", "acknowledgements", "deeds", "models")
        query = "SELECT count(*), coalesce(min(sequence), 0) FROM "
        return {table: connection.execute(query + table).fetchone() for table in tables}


def test_without_yes_it_says_what_it_would_do(run: Run, var: Path) -> None:
    """Rows by table, pictures and bytes, what stays; and nothing has changed."""
    before, content = _rows(var), (var / "redrabbit.db").read_bytes()
    done = run("ledger", "prune", "--keep", "2y")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert re.fullmatch(r"parts +\d{3} rows, up to \d+", said[0]), said
    assert said[-1] == "nothing is done without --yes"
    assert any(re.fullmatch(r"pictures +\d{3}, 0\.0 MB", line) for line in said)
    assert any(line.startswith("the oldest part that stays was captured ") for line in said)
    assert _rows(var) == before
    assert (var / "redrabbit.db").read_bytes() == content


def test_what_is_in_force_stays(run: Run, var: Path, tmp_path: Path) -> None:
    """Figures, evidence and pages are those of before; chain, ordinals and pictures verify, against the heads of before too; numbers go
    on; a second time, and a longer time, do nothing more."""
    figures, before = _figures(var), _rows(var)
    assert run("ledger", "verify", "--heads", "heads.json").returncode == 0
    done = run("ledger", "prune", "--keep", "2y", "--yes")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    after = _rows(var)
    for table in ("parts", "labels", "shadow_verdicts", "challenge_reports", "acknowledgements"):
        assert after[table][0] < before[table][0] * 0.9, table
    assert after["deeds"][0] == before["deeds"][0] + 1
    assert after["models"] == before["models"]
    (lines, unknown), (lines_before, unknown_before) = _figures(var), figures
    assert unknown == unknown_before == 0
    for name, line in lines.items():
        for field in set(LineSnapshot.__slots__) - {*COUNTED, "pages", "evidence", "challenges"}:
            assert getattr(line, field) == getattr(lines_before[name], field), (name, field)
        for one, other in zip(line.evidence, lines_before[name].evidence, strict=True):
            assert one.evidence == pytest.approx(other.evidence, abs=1e-6 * other.limit)
    verified = run("ledger", "verify", "--against", "heads.json")
    assert verified.returncode == 0, verified.stdout
    assert "pruned the ledger: " in run("trail").stdout
    with _opened(var) as ledger:
        newest = ledger.parts_after(0, PARTS)[-1]
        ledger.record([verdict("next", newest.verdict.line)])
        assert ledger.parts(["next"])["next"].ordinal == newest.ordinal + 1
        assert {path.name for path in (var / "images/kept").rglob("*") if path.is_file()} == set(ledger.kept_pictures())
    for keep in ("2y", "3y"):
        assert run("ledger", "prune", "--keep", keep, "--yes").stdout.startswith("nothing to prune")
    assert run("ledger", "prune", "--keep", "1y", "--yes").returncode == 0
    assert run("ledger", "verify", "--against", "heads.json").returncode == 0
    assert _figures(var)[1] == 0


def test_a_prune_that_is_cut_off_has_done_nothing(run: Run, var: Path) -> None:
    """In whatever statement: rows, anchors and triggers are those of before."""
    rules, before = load(var.parent / "thresholds.yaml"), _rows(var)
    with _opened(var) as ledger:
        monitor = Monitor(ledger, lambda: rules, time.time)
        monitor.snapshot()
        with ledger.still() as (_, connection):
            made = plan(connection, time.time() - 2 * 365 * DAY, monitor.needed, monitor.carry)
        statements: list[str] = []

        def listen(_: object, __: object, statement: str, *___: object) -> None:
            statements.append(statement)
            if statement.startswith("INSERT INTO deeds"):
                raise OSError("killed")

        event.listen(ledger._writer, "before_cursor_execute", listen)
        with pytest.raises(OSError, match="killed"):
            ledger.prune(made, Deed("eva", "command line", "pruned the ledger"))
        event.remove(ledger._writer, "before_cursor_execute", listen)
    assert any(statement.startswith("DELETE FROM parts") for statement in statements)
    assert _rows(var) == before
    with closing(sqlite3.connect(var / "redrabbit.db")) as connection:
        assert connection.execute("SELECT count(*) FROM anchors").fetchone() == (0,)
        with pytest.raises(sqlite3.IntegrityError, match="parts only grows"):
            connection.execute("DELETE FROM parts")
    assert run("ledger", "verify").returncode == 0


def test_what_a_running_study_shows_stays(run: Run, var: Path) -> None:
    """Its parts are shown for as long as it runs; then they may go."""
    with _opened(var) as ledger:
        study = Study("s", "a", "good", 1, ("eva",), 0.5, "seed", "eva")
        ledger.add_study(study, [StudyPart("p0001", "good", StudyKind.GOOD)])
        assert "nothing to prune" not in run("ledger", "prune", "--keep", "2y").stdout
        assert _first_kept(run) == 2
        ledger.close_study("s", "eva")
    assert _first_kept(run) > 100


def _first_kept(run: Run) -> int:
    said = run("ledger", "prune", "--keep", "2y").stdout
    return int(re.findall(r"^parts +\d+ rows, up to (\d+)", said, re.MULTILINE)[0]) + 1


def test_what_an_open_page_touches_stays(run: Run, var: Path) -> None:
    """On one line from its first part on: the other line, which shares the ledger, waits for it."""
    (var.parent / "thresholds.yaml").write_text(RULES.replace("page: 0.5", "page: 0.99"))
    before, rows = _figures(var)[0], _rows(var)
    assert any(page.standing and page.at_risk_from == 0 for page in before["b"].pages)
    done = run("ledger", "prune", "--keep", "2y", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert _rows(var)["parts"][0] == rows["parts"][0] - 2  # those before the first of line b
    after = _figures(var)[0]
    for line in "ab":
        assert after[line].at_risk == before[line].at_risk
        assert [page.raised_at for page in after[line].pages] == [page.raised_at for page in before[line].pages]


def test_every_figure_in_force_is_compared(var: Path) -> None:
    """Each that would change is named; what counts since the beginning is not compared."""
    line = _figures(var)[0]["a"]
    planned = Plan(begins=Begins({"a": Past()}))
    assert [*differences(line, line, "a", planned)] == []
    assert [*differences(line, replace(line, corrections=-1, closed_buckets=-1), "a", planned)] == []
    for field in (
        "quality",
        "provisional",
        "first_reported",
        "at_risk",
        "next_draw",
        "pending",
        "last_label_at",
        "open_parts",
    ):
        (found,) = differences(line, replace(line, **{field: None}), "a", planned)
        assert found.startswith(f"a[{field}]: ")
    meter = replace(line.evidence[0], evidence=line.evidence[0].evidence + 1)
    (found,) = differences(line, replace(line, evidence=(meter, *line.evidence[1:])), "a", planned)
    assert found.startswith("a.evidence of crack (audit): ")


@pytest.mark.parametrize(
    ("keep", "expected"),
    [("20d", "expected 30d at least"), ("2", "expected a duration"), ("0y", "expected 30d at least")],
)
def test_bad_input_to_prune(run: Run, keep: str, expected: str) -> None:
    """One line, status 2."""
    done = run("ledger", "prune", "--keep", keep)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert expected in done.stderr
