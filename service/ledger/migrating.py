"""Which version a ledger has, and how it gets to this one."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from service.errors import InvalidInput
from service.ledger.postgres import create

VERSION_TABLE = "redrabbit_schema"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "service.ledger:migrations")
    config.attributes["version_table"] = VERSION_TABLE
    return config


def versions() -> list[str]:
    """All versions that this program knows, oldest first; the last one is its own."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def version(connection: Connection) -> str:
    """The ledger's version, "" for an empty database. Raises InvalidInput for a database that is no ledger."""
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE in tables:
        return str(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one())  # noqa: S608
    if tables:
        raise InvalidInput(f"a database of something else (table {tables[0]}); expected a ledger or no file")
    return ""


def upgrade(connection: Connection, to: str = "head") -> str:
    """Brings the ledger to a version within the caller's writing transaction and returns that version.

    The write lock is held from before the version is read: of two that start together, the second finds the work done.
    """
    found, known = version(connection), versions()
    if found and found not in known:
        raise InvalidInput(
            f"the ledger has schema {found}, newer than {known[-1]} of this redrabbit; install the newer one"
        )
    config = _config()
    config.attributes["connection"] = connection
    if not found and connection.dialect.name == "postgresql":
        # The first versions knew SQLite alone: a ledger in PostgreSQL begins as that of this program.
        create(connection)
        command.stamp(config, to)
    else:
        command.upgrade(config, to)
    return version(connection)
