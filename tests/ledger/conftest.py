"""Every test of the contract runs over every store: another one is another entry in STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from service.ledger.store import SqlLedger, open_ledger
from tests.ledger.rows import Ticking
from tests.postgres import Postgres

STORES: dict[str, Callable[[Path, Callable[[], Postgres]], str]] = {
    "sqlite": lambda folder, _: f"sqlite:///{folder}/ledger.db",
    "postgresql": lambda _, server: server().database(),
}
"""By scheme: where a store that nobody has made yet is, given an empty folder of this test and a server."""

Opener = Callable[..., SqlLedger]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param](tmp_path, lambda: request.getfixturevalue("postgres"))


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def opened(url: str, clock: Ticking) -> Iterator[Opener]:
    """Opens the store as one more process would; closed after the test."""
    with ExitStack() as stack:

        def more(clock: Callable[[], float] = clock, read_only: bool = False) -> SqlLedger:
            return stack.enter_context(closing(open_ledger(url, clock, read_only=read_only)))

        yield more


@pytest.fixture
def ledger(opened: Opener) -> SqlLedger:
    return opened()


@pytest.fixture
def database(ledger: SqlLedger, url: str) -> Iterator[Engine]:
    """The store as somebody sees it who goes round the ledger."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()
