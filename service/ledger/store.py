"""`open_ledger(url)`: the ledger behind a URL, ready to use and of this program's version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from service.errors import InvalidInput, LedgerUnavailable
from service.ledger.absent import Absent
from service.ledger.cameras import Cameras
from service.ledger.challenges import Challenges
from service.ledger.labels import Labels, Tokens
from service.ledger.leases import Leases
from service.ledger.migrating import upgrade, version, versions
from service.ledger.orders import Orders
from service.ledger.owners import FileOwners, ServerOwners
from service.ledger.parts import Parts
from service.ledger.people import People
from service.ledger.postgres import open_server, without_password
from service.ledger.pruning import Pruning
from service.ledger.reading import Reading
from service.ledger.searching import Searching
from service.ledger.sqlite import Damaged, NotYet, open_file
from service.ledger.studies import Studies
from service.ports import Clock
from service.urls import redacted

BACKENDS: dict[str, Callable[[URL, bool], Engine]] = {"sqlite": open_file, "postgresql": open_server}
"""By URL scheme. An engine begins writing transactions (option `writing`) behind the ledger's one write lock, and raises
LedgerUnavailable for what is not our bug."""


class SqlLedger(
    Parts, Absent, Labels, Tokens, People, Challenges, Orders, Cameras, Leases, Studies, Reading, Searching, Pruning
):
    """Fulfils ports.PartLedger, LabelLedger, PeopleLedger, ChallengeLedger, ModelLedger, CameraLedger, LeaseLedger, StudyLedger and LedgerReader. Any thread may call it; `close` when done."""


def open_ledger(url: str, clock: Clock, *, read_only: bool = False) -> SqlLedger:
    """For writing, an empty ledger is created and an older one migrated, behind the write lock.

    Raises InvalidInput, one line that names the URL or the file; for reading, NotYet when there is nothing to read so far. Raises
    Damaged.
    """
    with _opened(url, read_only) as engine:
        if read_only:
            _must_be_ours(engine)
        else:
            with engine.execution_options(writing=True).begin() as connection:
                upgrade(connection)
        return SqlLedger(engine, clock)


def open_owners(url: str) -> FileOwners | ServerOwners:
    """Who owns the lines of the ledger behind the URL. `close` when done. Raises InvalidInput."""
    parsed, backend = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return FileOwners(Path(str(parsed.database)))
    return ServerOwners(backend(parsed, False))


def migrate(url: str) -> str:
    """Creates or migrates the ledger; returns the version it has now. Raises InvalidInput."""
    with _opened(url, read_only=False) as engine, engine.execution_options(writing=True).begin() as connection:
        return upgrade(connection)


def schema_version(url: str) -> str:
    """The version of an existing ledger. Raises InvalidInput; NotYet when there is no file, or nothing in it or in the database."""
    with _opened(url, read_only=True) as engine, engine.begin() as connection:
        if found := version(connection):
            return found
        raise NotYet("there is no ledger yet; the worker or the station creates it")


def shown(url: str) -> str:
    """The URL of a ledger without its password: fit for people and logs."""
    try:
        return without_password(make_url(url))
    except ArgumentError:
        return redacted(urlsplit(url)) if "@" in url else url


def _parsed(url: str) -> tuple[URL, Callable[[URL, bool], Engine]]:
    try:
        parsed = make_url(url)
        return parsed, BACKENDS[parsed.get_backend_name()]
    except (ArgumentError, KeyError) as error:
        raise InvalidInput(
            f"ledger {shown(url)!r}: expected a URL, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        ) from error


@contextmanager
def opened(url: str, read_only: bool) -> Iterator[Engine]:
    """The engine of a ledger of this program's version, for who works on its tables. Raises as `open_ledger`."""
    with _opened(url, read_only) as engine:
        _must_be_ours(engine)
        yield engine
        engine.dispose()


@contextmanager
def _opened(url: str, read_only: bool) -> Iterator[Engine]:
    """The engine behind a URL, disposed of when its first use fails; every such fault is bad input and names the ledger."""
    parsed, backend = _parsed(url)
    engine = backend(parsed, read_only)
    try:
        yield engine
    except InvalidInput as error:
        engine.dispose()
        raise type(error)(f"ledger {parsed.database}: {error}") from error
    except Damaged:
        engine.dispose()
        raise
    except LedgerUnavailable as error:
        engine.dispose()
        raise InvalidInput(f"ledger {error}") from error
    except BaseException:
        engine.dispose()
        raise


def _must_be_ours(engine: Engine) -> None:
    with engine.begin() as connection:
        found, known = version(connection), versions()
    if found in ["", *known[:-1]]:
        raise NotYet(f"schema {found or 'none'}, expected {known[-1]}; the worker or the station migrates it")
    if found != known[-1]:
        raise InvalidInput(f"schema {found}, newer than {known[-1]} of this redrabbit; install the newer one")
