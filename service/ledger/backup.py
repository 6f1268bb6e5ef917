"""Copies of a ledger that is at work, and of the pictures that it promises to keep."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from service.errors import InvalidInput, LedgerUnavailable


def file_of(url: str) -> Path:
    """The file of a ledger that lies in one. Raises InvalidInput."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(f"ledger {url!r}: expected a URL, such as sqlite:///PATH") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise InvalidInput(
            f"ledger {parsed.render_as_string()}: only one in a file is backed up here; `redrabbit ledger copy` or pg_dump copy one "
            "in PostgreSQL, see docs/records.md"
        )
    return Path(parsed.database)


def copy_database(source: Path, to: Path) -> None:
    """As it is at one moment: SQLite's own online copy, while others write on. Durable when it returns. Raises LedgerUnavailable."""
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source.absolute()))}?mode=ro", uri=True)) as there,
            closing(sqlite3.connect(to)) as here,
        ):
            there.backup(here)
            here.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"{source}: cannot be copied to {to}: {error}") from error
    _synced(to)


def copy_pictures(digests: Iterable[str], source: Path, to: Path, link: bool) -> tuple[int, int]:
    """Those of the kept pictures that are in the folder `source`; returns how many are copied, and how many are not there.

    link: where both lie on one disk, by a second name for the same file: none of them is ever written again.
    """
    copied = missing = 0
    for digest in digests:
        file, copy = (folder / "kept" / digest[:2] / digest for folder in (source, to))
        if copy.exists():
            continue
        if not file.exists():
            missing += 1
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not (link and _linked(file, copy)):
            shutil.copyfile(file, copy)
            _synced(copy)
        copied += 1
    return copied, missing


def copy_secret(source: Path, to: Path) -> None:
    """For its owner's eyes alone. Raises InvalidInput."""
    try:
        content = source.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{source}: cannot be read: {error.strerror}") from error
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def beside(target: Path, name: str = "") -> Iterator[Path]:
    """A new folder next to the target; what was written there takes the target's name at the end: all of it (name: of one file in
    it alone) or nothing. Raises InvalidInput where there is something of that name, or it cannot be written."""
    _must_be_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            content = Path(folder) / "content"
            content.mkdir()
            yield content
            for inner in [content, *(path for path in content.rglob("*") if path.is_dir())]:
                _synced(inner)
            _must_be_free(target)
            (content / name if name else content).replace(target)
            _synced(target.parent)
    except OSError as error:
        raise InvalidInput(f"{target}: cannot be written: {error.strerror}") from error


def _must_be_free(target: Path) -> None:
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise InvalidInput(f"{target}: there is something already; expected a new name")


def _linked(file: Path, copy: Path) -> bool:
    try:
        copy.hardlink_to(file)
    except OSError:
        return False
    return True


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
