"""A ledger goes over into another store as it is, also while it is written, and also when the copying is broken off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text

from service.errors import InvalidInput
from service.ledger import copying
from service.ledger.chain import CHAINED, HASH
from service.ledger.copying import copy
from service.ledger.schema import metadata
from service.ledger.store import migrate, open_ledger, opened
from service.records import Heartbeat, Lease
from tests.ledger.conftest import STORES
from tests.ledger.rows import Ticking, label, one_of_each, verdict, verdicts
from tests.postgres import Postgres

Place = Callable[[str], str]


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """The URL of an empty store of this kind."""

    def make(kind: str) -> str:
        server: Callable[[], Postgres] = lambda: request.getfixturevalue("postgres")  # noqa: E731
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return STORES[kind](folder, server)

    return make


def _filled(url: str) -> None:
    with closing(open_ledger(url, Ticking())) as ledger:
        one_of_each(ledger)
        ledger.record(verdicts("many", 40))
        ledger.add_labels([label(f"many-{n}", "größe") for n in range(40)])
        ledger.beat(Heartbeat("a", "w", 1.5, 2.25))
        ledger.add_token("t", "scrape", "e" * 64)
        ledger.begin_session("eva", "f" * 64)
        ledger.take(Lease("id", "a", "p", "", "eva", 2000.0))


def _copied(source: str, target: str) -> None:
    migrate(target)
    with opened(source, read_only=True) as read, opened(target, read_only=False) as write:
        for _ in copy(read, write):
            pass


def _content(url: str) -> dict[str, list[tuple[object, ...]]]:
    with opened(url, read_only=True) as engine, engine.begin() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite")])
def test_a_copy_has_every_row_of_every_table(place: Place, kind: str, other: str) -> None:
    """With sequences, hashes and floats to the last bit; the copy goes on as a ledger of its own."""
    source, target = place(kind), place(other)
    _filled(source)
    _copied(source, target)
    assert _content(target) == _content(source)
    assert [table for table, rows in _content(source).items() if not rows] == ["anchors"]
    with closing(open_ledger(target, Ticking())) as ledger:
        before = len(ledger.parts_after(0, 1000))
        ledger.record([verdict("new")])
        rows = ledger.parts_after(0, 1000)
    assert [row.sequence for row in rows] == list(range(1, before + 2))


def test_a_copy_can_be_brought_up_to_date(place: Place) -> None:
    """A second run copies what came since; so the line need not stand for longer than that takes."""
    source, target = place("sqlite"), place("postgresql")
    _filled(source)
    _copied(source, target)
    with closing(open_ledger(source, Ticking())) as ledger:
        ledger.record(verdicts("later", 5))
        ledger.revoke_token("t")
    _copied(source, target)
    assert _content(target) == _content(source)


def test_what_is_written_while_it_is_copied_is_copied(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is of one moment: the target never has a label of a part that it has not, because the part came in between."""
    source, target = place("sqlite"), place("postgresql")
    _filled(source)
    migrate(target)
    monkeypatch.setattr(copying, "CHUNK", 7)
    with (
        opened(source, read_only=True) as read,
        opened(target, read_only=False) as write,
        closing(open_ledger(source, Ticking())) as ledger,
    ):
        for number, _ in enumerate(copy(read, write)):
            ledger.record([verdict(f"between-{number}")])
            ledger.add_labels([label(f"between-{number}")])
    assert _content(target) == _content(source)


def test_a_copy_that_was_killed_goes_on(place: Place) -> None:
    """kill -9 in the middle: the same command finishes it."""
    source, target = place("sqlite"), place("postgresql")
    with closing(open_ledger(source, Ticking())) as ledger:
        for number in range(40):
            ledger.record(verdicts(f"p{number}", 500))
    command = [sys.executable, "-m", "service.cli", "ledger", "copy", source, target]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None and "parts: 5000 rows\n" in iter(child.stderr.readline, "")
        child.kill()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{target}: a copy of {source}, verified\n")
    assert "parts: 5000 rows" not in done.stderr, "it began anew"
    assert "parts: 20000 rows" in done.stderr
    assert _content(target) == _content(source)


def test_a_target_with_other_rows_is_refused(place: Place) -> None:
    """And left as it is."""
    source, target = place("sqlite"), place("postgresql")
    _filled(source)
    with closing(open_ledger(target, Ticking())) as ledger:
        ledger.record(verdicts("other", 3))
    before = _content(target)
    with pytest.raises(InvalidInput, match="parts: row 3 of the target is not the source's"):
        _copied(source, target)
    assert _content(target) == before


def test_a_source_that_somebody_has_been_at_makes_no_copy(place: Place) -> None:
    """What is copied is verified."""
    source, target = place("postgresql"), place("sqlite")
    _filled(source)
    with opened(source, read_only=False) as engine, engine.execution_options(writing=True).begin() as connection:
        connection.execute(text("DROP TRIGGER parts_no_update ON parts"))
        connection.execute(text("UPDATE parts SET exceedance = 0.7 WHERE sequence = 3"))
    with pytest.raises(InvalidInput, match="the copy is not right: parts: row 3: is not the row"):
        _copied(source, target)


def test_every_table_is_copied() -> None:
    """One that comes with a later version too."""
    assert {*CHAINED, *copying.PASSING, metadata.tables["anchors"]} == set(metadata.sorted_tables)
    assert all(HASH in table.c for table in CHAINED)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sqlite:///none.db", "sqlite:///new.db"], "there is no ledger yet"),
        (["sqlite:///x.db", "sqlite:///x.db"], "expected another ledger than the source"),
        (["x.db", "sqlite:///new.db"], "expected a URL"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: list[str], says: str) -> None:
    """And leaves no target behind."""
    command = [sys.executable, "-m", "service.cli", "ledger", "copy", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
