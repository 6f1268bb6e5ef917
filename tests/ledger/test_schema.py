"""The tables themselves: what they refuse, how they came to be, and which program may open them."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from service.errors import InvalidInput, LedgerUnavailable
from service.ledger.migrating import VERSION_TABLE, versions
from service.ledger.schema import metadata
from service.ledger.sqlite import NotYet
from service.ledger.store import SqlLedger, migrate, open_ledger, schema_version
from tests.ledger.conftest import Opener
from tests.ledger.rows import one_of_each, verdict


@pytest.mark.parametrize(
    "table",
    [
        "parts",
        "not_inspected",
        "labels",
        "models",
        "draw_policies",
        "challenge_parts",
        "challenge_reports",
        "acknowledgements",
        "model_orders",
        "model_answers",
        "shadow_verdicts",
        "camera_references",
        "people",
        "deeds",
        "studies",
        "study_parts",
        "study_answers",
        "study_ends",
    ],
)
@pytest.mark.parametrize("statement", ["UPDATE {} SET recorded_at = 0", "DELETE FROM {}"])
def test_rows_of_record_stay(ledger: SqlLedger, database: Engine, table: str, statement: str) -> None:
    """Whoever goes round the ledger and changes or deletes a row of record is refused by the database itself."""
    one_of_each(ledger)
    with pytest.raises(DBAPIError, match=f"{table} only grows"), database.begin() as connection:
        connection.execute(text(statement.format(table)))
    with database.begin() as connection:
        assert connection.execute(text(f"SELECT recorded_at FROM {table}")).scalars().all() != [0.0]  # noqa: S608


def test_migrations_make_the_tables_of_the_schema(database: Engine) -> None:
    """A ledger that was migrated from nothing has the tables, columns, types and indexes that the queries are written for."""
    with database.connect() as connection:
        options = {"compare_type": True, "version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_a_ledger_made_twice(url: str) -> None:
    """Migrating a ledger that is of this version is no change, and says the version."""
    assert migrate(url) == migrate(url) == schema_version(url) == versions()[-1]


def test_before_there_is_a_ledger(url: str, opened: Opener) -> None:
    """A reader is told that there is none yet, makes none, and finds it once the writer was there."""
    for _ in range(2):
        with pytest.raises(NotYet, match="ledger"):
            opened(read_only=True)
    with pytest.raises(NotYet):
        schema_version(url)
    opened().record([verdict("p")])
    assert len(opened(read_only=True).parts_after(0, 10)) == 1


def test_a_reader_cannot_write(ledger: SqlLedger, opened: Opener) -> None:
    """What was opened for reading refuses to record."""
    with pytest.raises(LedgerUnavailable):
        opened(read_only=True).record([verdict("p")])
    assert ledger.parts_after(0, 10) == []


@pytest.mark.parametrize("read_only", [True, False])
def test_a_ledger_of_a_newer_program(database: Engine, url: str, read_only: bool) -> None:
    """Neither read nor written by this one, and left as it is."""
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608
    with pytest.raises(InvalidInput, match=r"schema 9999, newer than .* install the newer one") as refusal:
        open_ledger(url, lambda: 0.0, read_only=read_only)
    assert not isinstance(refusal.value, NotYet)
    assert schema_version(url) == "9999"


def test_a_database_of_something_else(url: str) -> None:
    """Tables that are not ours are named, and nothing is added to them."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE invoices (number INTEGER)"))
    for read_only in (False, True):
        with pytest.raises(InvalidInput, match=r"a database of something else \(table invoices\)"):
            open_ledger(url, lambda: 0.0, read_only=read_only)
    assert inspect(engine).get_table_names() == ["invoices"]
    engine.dispose()


@pytest.mark.parametrize(
    "bad", ["mysql://h/x", "ledger.db", "sqlite://", "sqlite:///:memory:", "sqlite:///x?mode=ro", ""]
)
def test_a_url_that_leads_nowhere(bad: str) -> None:
    """A scheme that nobody serves, no URL, or no file: the line says what was expected."""
    with pytest.raises(InvalidInput, match=r"expected .*sqlite:///"):
        open_ledger(bad, lambda: 0.0)
