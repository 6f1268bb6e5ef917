"""What only a store in one file can suffer: a killed writer, a full disk, a file that is broken or something else."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from service.errors import InvalidInput, LedgerUnavailable
from service.ledger.schema import metadata
from service.ledger.store import migrate, open_ledger
from tests.ledger.child import BATCH
from tests.ledger.rows import Ticking, verdicts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def _url(file: Path) -> str:
    return f"sqlite:///{file}"


def _child(what: str, where: str, name: str = "x") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.ledger.child", what, where, name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_survives_kill(file: Path) -> None:
    """Kill -9 in the middle of writing, round after round on one ledger: every acknowledged row is there exactly once."""
    acknowledged: list[str] = []
    for number in range(5):
        with _child("endless", _url(file), f"r{number}") as child:
            assert child.stdout
            for _ in range(20 + 7 * number):
                child.stdout.readline()
            child.kill()
            last = 19 + 7 * number + len(child.stdout.readlines())
        acknowledged += [f"r{number}.{batch}" for batch in range(last + 1)]
    with closing(open_ledger(_url(file), Ticking())) as ledger:
        parts = Counter(row.verdict.part_id for row in ledger.parts_after(0, 10**6))
        labels = Counter(row.label.part_id for row in ledger.labels_after(0, 10**6))
        ordinals = [row.ordinal for row in ledger.parts_after(0, 10**6)]
    assert {f"{batch}-{place}" for batch in acknowledged for place in range(BATCH)} <= set(parts)
    assert {f"{batch}-0" for batch in acknowledged} <= set(labels)
    assert set(parts.values()) == set(labels.values()) == {1}
    assert len(parts) <= (len(acknowledged) + 5) * BATCH  # of each round one batch may be there that nobody was told of
    assert ordinals == list(range(len(parts)))
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_full_disk(file: Path) -> None:
    """A batch that does not fit is refused as a whole, what is there can be read, and later batches go in again."""
    with _child("full_ledger", _url(file)) as child:
        answers, _ = child.communicate()
    assert child.returncode == 0
    (before, there), (after, then) = (map(int, line.split()) for line in answers.splitlines())
    assert before > 0
    assert (there, then) == (before * 50, after * 50)
    assert after == before + 1
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_disk_that_was_read_only_for_a_while(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite opened then stays read-only for good; the ledger must not."""
    with closing(open_ledger(_url(file), Ticking())):
        pass
    connect = sqlite3.connect
    mode = ["ro"]

    def opened(name: str, **more: object) -> sqlite3.Connection:
        return connect(name.replace("mode=rwc", f"mode={mode[0]}"), **more)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr("service.ledger.sqlite.sqlite3.connect", opened)
    with closing(open_ledger(_url(file), Ticking())) as ledger:
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="readonly"):
                ledger.record(verdicts("x", 2))
        mode[0] = "rwc"
        assert len(ledger.record(verdicts("x", 2))) == 2


def test_a_file_that_is_no_database(file: Path) -> None:
    """It is named and stays as it is."""
    content = b"part_id,label\n" * 400
    file.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(InvalidInput, match=f"ledger {file}: file is not a database"):
            open_ledger(_url(file), Ticking(), read_only=read_only)
    assert file.read_bytes() == content


def test_a_database_cut_short(file: Path) -> None:
    """Half of a ledger is never taken for a whole one: opening or reading it says that it is damaged."""
    with closing(open_ledger(_url(file), Ticking())) as ledger:
        ledger.record(verdicts("p", 5000))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2 + 100])
    with (
        pytest.raises((InvalidInput, LedgerUnavailable), match=r"malformed|ends in the middle of a page"),
        closing(open_ledger(_url(file), Ticking())) as ledger,
    ):
        ledger.parts_after(0, 10_000)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_in_its_place(file: Path, read_only: bool) -> None:
    """The line says what is there and what was expected."""
    file.mkdir()
    with pytest.raises(InvalidInput, match=f"ledger {file}: a folder; expected a ledger or no file"):
        open_ledger(_url(file), Ticking(), read_only=read_only)


def test_a_file_in_the_place_of_its_folder(file: Path) -> None:
    """A path that leads through a file can be neither made nor read; a reader does not wait for it."""
    file.write_bytes(b"")
    with pytest.raises(InvalidInput, match="the folder cannot be made"):
        open_ledger(_url(file / "ledger.db"), Ticking())
    with pytest.raises(InvalidInput, match=f"{file} is a file, not a folder"):
        open_ledger(_url(file / "ledger.db"), Ticking(), read_only=True)


def test_a_ledger_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """Characters that mean something in a URL are letters of a path like any other; missing folders are made."""
    file = tmp_path / "50 % #1 &é" / "of line a" / "ledger.db"
    with closing(open_ledger(_url(file), Ticking())) as ledger:
        ledger.record(verdicts("p", 1))
    assert file.stat().st_size > 0


def test_indexes_are_as_the_schema_has_them(file: Path) -> None:
    """To the letter, the condition of a partial index included: else queries written for it would go without."""
    migrate(_url(file))
    other = file.with_name("other.db")
    engine = create_engine(_url(other))
    metadata.create_all(engine)
    engine.dispose()

    def indexes(file: Path) -> dict[str, str]:
        with closing(sqlite3.connect(file)) as connection:
            found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
            return dict(found.fetchall())

    assert indexes(file) == indexes(other)
    assert "outcome != 'pass'" in indexes(file)["parts_to_label"]
