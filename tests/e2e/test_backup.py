"""`redrabbit ledger backup` of a line at work, and `restore` to where a worker goes on from there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.errors import InvalidInput
from service.ledger.backup import file_of
from service.ledger.sqlite import NotYet
from service.ledger.store import open_ledger
from service.records import Outcome, RecordedVerdict
from tests.e2e.conftest import Run
from tests.e2e.test_cameras import MODEL
from tests.e2e.test_records import ledger  # noqa: F401 - a fixture
from tests.servers import free_port, until


def _line(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    settings = {
        "line": "cells",
        "model": str(MODEL),
        "allow_ungated": True,
        "cameras": {"top": "dataset://elpv?rate=40"},
        "metrics": {"worker": f"127.0.0.1:{free_port()}"},
    }
    (folder / "line.yaml").write_text(json.dumps(settings))
    (folder / "thresholds.yaml").write_text("defaults: {}\n")
    return folder / "line.yaml"


@contextmanager
def _working(config: Path) -> Iterator[None]:
    worker = subprocess.Popen([sys.executable, "-m", "service.cli", "worker", "--config", str(config)])
    try:
        yield
    finally:
        worker.terminate()
        assert worker.wait(40) == 0


def _command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", "ledger", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _parts(var: Path) -> list[RecordedVerdict]:
    try:
        with closing(open_ledger(f"sqlite:///{var}/redrabbit.db", time.time, read_only=True)) as opened:
            return [*opened.parts_after(0, 10**6)]
    except NotYet:
        return []


def test_a_line_at_work_is_backed_up_and_goes_on_from_the_back_up(tmp_path: Path) -> None:
    """The copy is a whole ledger with its pictures and key while the worker records on. Restored elsewhere, a worker goes on with the next
    ordinal, under the same key, and the chain holds from the first part of the first to the last part of the second."""
    config, copy, there = _line(tmp_path / "here"), tmp_path / "copies/1", tmp_path / "there"
    var = config.parent / "var"
    with _working(config):
        until(lambda: len(_parts(var)) > 60, "sixty parts", patience=90)
        done = _command("backup", str(copy), "--with-key", "--config", str(config))
        assert (done.returncode, done.stderr) == (0, "")
        so_far = len(_parts(copy))
        until(lambda: len(_parts(var)) > so_far + 20, "the worker going on")
    assert done.stdout.splitlines()[-1] == f"{copy}: written and verified"
    assert _parts(copy) == _parts(var)[:so_far]
    assert (copy / "audit.key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in copy.iterdir()) == ["audit.key", "heads.json", "images", "redrabbit.db"]

    other = _line(there)
    done = _command("restore", str(copy), str(there / "var"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{there}/var: restored and verified"
    assert (there / "var/audit.key").read_bytes() == (var / "audit.key").read_bytes()
    with _working(other):
        until(lambda: len(_parts(there / "var")) > so_far + 20, "the worker on the restored ledger", patience=90)
    parts = _parts(there / "var")
    assert parts[:so_far] == _parts(copy)
    assert [row.ordinal for row in parts] == [*range(len(parts))]
    done = _command("verify", "--against", str(copy / "heads.json"), "--config", str(other))
    assert done.returncode == 0, done.stdout


def test_a_back_up_leaves_the_key_out_and_takes_kept_pictures_alone(run: Run, ledger: Path, tmp_path: Path) -> None:  # noqa: F811
    """Whoever has the key can predict the draw. A picture of a passed part may be forgotten."""
    (tmp_path / "var/audit.key").write_text("k" * 64)
    assert run("ledger", "backup", "copy").returncode == 0
    assert not (tmp_path / "copy/audit.key").exists()
    kept = {row.verdict.image for row in _parts(tmp_path / "var") if row.verdict.outcome is not Outcome.PASS}
    assert {path.name for path in (tmp_path / "copy/images").rglob("*") if path.is_file()} == kept
    assert [path.name for path in tmp_path.glob(".copy*")] == []


def test_the_ledger_alone_in_one_file(run: Run, ledger: Path, tmp_path: Path) -> None:  # noqa: F811
    """For every night, where pictures are copied by something else."""
    assert run("ledger", "backup", "night.db").returncode == 0
    assert _command("restore", str(tmp_path / "night.db"), str(tmp_path / "again.db")).returncode == 0
    for name in ("night.db", "again.db"):
        done = _command("verify", "--ledger", f"sqlite:///{tmp_path / name}")
        assert done.returncode == 0 and "pictures: not looked at" in done.stdout


def test_a_back_up_in_which_something_is_wrong(run: Run, ledger: Path, tmp_path: Path) -> None:  # noqa: F811
    """It is written all the same, as it may be the only one, and says with status 1 what is wrong: the picture that the line has lost;
    after that one of the copy that somebody has changed, and a row."""
    images = sorted((tmp_path / "var/images/kept").rglob("*"))
    files = [path for path in images if path.is_file()]
    files[0].unlink()
    done = run("ledger", "backup", "copy")
    assert done.returncode == 1
    assert f"its picture {files[0].name} is not there" in done.stdout
    assert done.stdout.splitlines()[-1] == "copy: written, but not all is good: see above"
    done = _command("restore", str(tmp_path / "copy"), str(tmp_path / "good"))
    assert done.returncode == 0
    assert "1 are not in the back-up" in done.stdout
    changed = tmp_path / "copy/images/kept" / files[1].name[:2] / files[1].name
    changed.unlink()  # it is the line's own file by another name
    changed.write_bytes(b"?")
    done = _command("restore", str(tmp_path / "copy"), str(tmp_path / "bad"))
    assert done.returncode == 1
    assert f"its picture {files[1].name} has another content" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["backup", "var"], "there is something already; expected a new name"),
        (["backup", "line.yaml"], "there is something already; expected a new name"),
        (["backup", "line.yaml/copy"], "cannot be written"),
        (["backup", "x.db", "--with-key"], "x.db is one file; expected a folder"),
        (["backup", "copy", "--with-key"], "audit.key: cannot be read"),
    ],
)
def test_bad_input_to_a_back_up(run: Run, ledger: Path, words: list[str], expected: str) -> None:  # noqa: F811
    """One line, status 2, and nothing is left behind."""
    before = sorted(ledger.parents[1].rglob("*"))
    done = run("ledger", *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert {path for path in ledger.parents[1].rglob("*") if path.suffix not in (".db-shm", ".db-wal")} == {*before}


def test_a_restore_overwrites_nothing(run: Run, ledger: Path, tmp_path: Path) -> None:  # noqa: F811
    """Neither a folder in which something is nor a file; and what is no back-up is refused."""
    run("ledger", "backup", "copy")
    run("ledger", "backup", "copy.db")
    for source, target, expected in (
        ("copy", "var", "there is something already"),
        ("copy.db", "var/redrabbit.db", "there is something already"),
        ("var/images", "new", "expected a back-up"),
        ("none", "new", "expected a back-up"),
        ("thresholds.yaml", "new", "not a database"),
    ):
        done = _command("restore", str(tmp_path / source), str(tmp_path / target))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert expected in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_ledger_on_a_server_is_not_a_file() -> None:
    """The line says what copies one, and no password."""
    with pytest.raises(InvalidInput, match=r"redrabbit ledger copy.* or pg_dump") as refusal:
        file_of("postgresql://redrabbit:secret@db/redrabbit")
    assert "secret" not in str(refusal.value)
