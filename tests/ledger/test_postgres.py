"""What only a server can suffer: several writers, a password, a server that is gone, killed, or made for another language."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from threading import Thread
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine, text

import service.ledger.postgres
from service.errors import InvalidInput, LedgerUnavailable
from service.ledger.schema import labels, values
from service.ledger.store import open_ledger, shown
from service.ledger.verifying import verify
from service.ports import Wanted
from tests.ledger.child import BATCH
from tests.ledger.rows import Ticking, label, verdict, verdicts
from tests.postgres import Postgres, running
from tests.servers import free_port


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A server of this test's own, to be stopped and killed."""
    with running() as server:
        yield server


def _children(url: str, opened: ExitStack, names: str) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.ledger.child", "endless", url]
    return [
        opened.enter_context(subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True)) for name in names
    ]


def test_three_who_write_at_once_and_one_who_reads_on(url: str) -> None:
    """Whoever follows the ledger meets every row, in order, however the writers were mixed; ordinals have no gap; the chain holds."""
    with closing(open_ledger(url, Ticking())) as ledger, ExitStack() as opened:
        children = _children(url, opened, "xyz")
        followed: list[int] = []
        while len(followed) < 300:
            rows = ledger.parts_after(followed[-1] if followed else 0, 7)
            followed += [row.sequence for row in rows]
        for child in children:
            child.kill()
            child.wait()
        rows = ledger.parts_after(0, 10**6)
        assert followed == [row.sequence for row in rows][: len(followed)] == list(range(1, len(followed) + 1))
        assert [row.ordinal for row in rows] == list(range(len(rows)))
        assert {row.verdict.part_id[0] for row in rows} == set("xyz")
        with ledger.still() as (_, connection):
            assert [*verify(connection)] == []


def test_what_was_acknowledged_survives_the_death_of_server_and_writer(own: Postgres) -> None:
    """kill -9 of one or the other in the middle of writing: every acknowledged row is there once, and no half batch."""
    url, acknowledged = own.database(), []
    for number in range(4):
        with ExitStack() as opened:
            (child,) = _children(url, opened, f"{number}")
            assert child.stdout
            for _ in range(20 + 7 * number):
                child.stdout.readline()
            own.kill() if number % 2 else child.kill()
            last = 19 + 7 * number + len(child.stdout.readlines())
        acknowledged += [f"{number}.{batch}" for batch in range(last + 1)]
        if number % 2:
            own.start()
    with closing(open_ledger(url, Ticking())) as ledger:
        parts = Counter(row.verdict.part_id for row in ledger.parts_after(0, 10**6))
        labels = Counter(row.label.part_id for row in ledger.labels_after(0, 10**6))
        ordinals = [row.ordinal for row in ledger.parts_after(0, 10**6)]
    assert {f"{batch}-{place}" for batch in acknowledged for place in range(BATCH)} <= set(parts)
    assert {f"{batch}-0" for batch in acknowledged} <= set(labels)
    assert set(parts.values()) == set(labels.values()) == {1}
    assert len(parts) % BATCH == 0 and ordinals == list(range(len(parts)))


def test_a_server_that_goes_and_comes_back(own: Postgres) -> None:
    """Meanwhile every call says that the ledger is not there; then the same ledger goes on."""
    with closing(open_ledger(own.database(), Ticking())) as ledger:
        ledger.record(verdicts("before", 2))
        own.stop()
        for call in (lambda: ledger.record(verdicts("meanwhile", 2)), lambda: ledger.parts_after(0, 10)):
            with pytest.raises(LedgerUnavailable):
                call()
        own.start()
        ledger.record(verdicts("after", 2))
        assert [row.verdict.part_id for row in ledger.parts_after(0, 10)] == [
            "before-0",
            "before-1",
            "after-0",
            "after-1",
        ]


def test_a_writer_that_takes_long_holds_up_no_reader(url: str) -> None:
    """And the next writer waits for it, rather than failing."""
    with closing(open_ledger(url, Ticking())) as ledger:
        ledger.record(verdicts("p", 1))
        with ledger._writer.begin():
            waiting = Thread(target=lambda: ledger.record(verdicts("q", 1)))
            waiting.start()
            assert len(ledger.parts_after(0, 10)) == 1
            waiting.join(0.5)
            assert waiting.is_alive()
        waiting.join(30)
        assert len(ledger.parts_after(0, 10)) == 2


def test_a_writer_that_has_stopped_does_not_hold_up_the_others(url: str) -> None:
    """The server ends its transaction: nothing of it is there, and it hears of it."""
    with closing(open_ledger(url, Ticking())) as ledger:
        with (
            patch.object(service.ledger.postgres, "PAUSE_MS", 300),
            pytest.raises(LedgerUnavailable),
            ledger._writer.begin() as stopped,
        ):
            ledger.append(stopped, labels, [{"recorded_at": 1.0, "client": "", **values(label("p"))}])
            ledger.record([verdict("q")])  # by another connection: waits for the lock, and gets it
            stopped.execute(text("SELECT 1"))
        assert [row.verdict.part_id for row in ledger.parts_after(0, 10)] == ["q"]
        assert ledger.labels_after(0, 10) == []
        ledger.add_labels([label("p")])


def test_several_questions_are_about_one_moment(url: str) -> None:
    """Whatever is written between them."""
    with closing(open_ledger(url, Ticking())) as ledger, ledger.still() as (still, _):
        assert still.parts_after(0, 10) == []
        ledger.record(verdicts("p", 1))
        assert still.parts_after(0, 10) == []
        assert len(ledger.parts_after(0, 10)) == 1


def test_text_is_sorted_by_its_bytes_whatever_the_language(postgres: Postgres) -> None:
    """In English `a-b` sorts after `aa`: a search for what begins with `a-` would miss it. Columns say how they compare."""
    url = postgres.database("--template=template0", "--lc-collate=C.UTF-8", "--icu-locale=en", "--locale-provider=icu")
    with closing(open_ledger(url, Ticking())) as ledger:
        ledger.record([verdict(name) for name in ("aa", "a-b", "ab", "A", "a-é")])
        found = ledger.find(Wanted("a", prefix="a-"), 10)
        assert {part.verdict.part_id for part in found} == {"a-b", "a-é"}
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            wrong = connection.execute(
                text(
                    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
                    "AND data_type = 'character varying' AND collation_name IS DISTINCT FROM 'C' AND table_name <> 'redrabbit_schema'"
                )
            ).all()
        engine.dispose()
    assert wrong == []


def test_a_database_of_another_encoding_is_refused(postgres: Postgres) -> None:
    """Before anything is made in it."""
    url = postgres.database("--template=template0", "--encoding=LATIN1", "--locale=C")
    with pytest.raises(InvalidInput, match="a database in LATIN1; expected one in UTF8"):
        open_ledger(url, Ticking())
    assert postgres.sql(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").strip() == "0"


def test_truncating_a_table_of_record_is_refused(postgres: Postgres, url: str) -> None:
    """By the database itself, like a change or a deletion."""
    with closing(open_ledger(url, Ticking())) as ledger:
        ledger.record([verdict("p")])
        with pytest.raises(AssertionError, match="parts only grows: no TRUNCATE"):
            postgres.sql(url, "TRUNCATE parts")
        assert len(ledger.parts_after(0, 10)) == 1


def test_a_letter_that_no_text_may_have(url: str) -> None:
    """PostgreSQL knows no NUL. It is bad input, and not a ledger that is away."""
    with (
        closing(open_ledger(url, Ticking())) as ledger,
        pytest.raises(InvalidInput, match="a value that no row can have"),
    ):
        ledger.add_labels([label("p\0")])


@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_wrong_with_the_server_is_said_without_the_password(postgres: Postgres, read_only: bool) -> None:
    """One line: nobody there, no such database, nobody of that name."""
    here = f"127.0.0.1:{postgres.port}"
    for url, why in (
        (f"postgresql://redrabbit:hush@127.0.0.1:{free_port()}/x", "refused"),
        (f"postgresql://redrabbit:hush@{here}/nothing", 'database "nothing" does not exist'),
        (f"postgresql://nobody:hush@{here}/postgres", 'role "nobody" does not exist'),
        (f"postgresql://redrabbit:hush@{here}/", "expected a database"),
        (f"postgresql://redrabbit@{here}/nothing?password=hush", 'database "nothing" does not exist'),
        (f"postgres://redrabbit:hush@{here}/x", "expected a URL, sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
    ):
        with pytest.raises(InvalidInput) as refused:
            open_ledger(url, Ticking(), read_only=read_only)
        assert why in str(refused.value)
        assert "hush" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_reader_needs_no_more_than_to_read(postgres: Postgres, url: str) -> None:
    """An exporter's role with SELECT alone reads everything, and can do nothing else."""
    with closing(open_ledger(url, Ticking())) as ledger:
        ledger.record([verdict("p")])
    role = f"viewer_{url.rpartition('_')[2]}"
    postgres.sql(url, f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    seen = url.replace("redrabbit@", f"{role}@")
    with closing(open_ledger(seen, Ticking(), read_only=True)) as ledger:
        assert len(ledger.parts_after(0, 10)) == 1 and ledger.line_state() == ([], [], [])
    with closing(open_ledger(seen, Ticking())) as ledger, pytest.raises(LedgerUnavailable, match="permission denied"):
        ledger.record([verdict("q")])


def test_a_ledger_is_shown_without_its_password() -> None:
    assert shown("postgresql://redrabbit:hush@db/ledger") == "postgresql://redrabbit:***@db/ledger"
    assert shown("postgresql://redrabbit@db/ledger?password=hush&passfile=/x") == (
        "postgresql://redrabbit@db/ledger?passfile=%2Fx"
    )
    assert shown("sqlite:////var/ledger.db") == "sqlite:////var/ledger.db"


def test_a_server_that_falls_silent_is_given_up(url: str) -> None:
    """Its machine lost power, and nobody says so: the kernel must, and not after hours."""
    with closing(open_ledger(url, Ticking())) as ledger, ledger._reader.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with socket.socket(fileno=os.dup(driver.fileno())) as wire:
            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


def test_a_password_in_a_file(own: Postgres) -> None:
    """The URL names it; libpq reads it, if nobody else may."""
    url = own.database()
    own.sql(url, "ALTER ROLE redrabbit PASSWORD 'hush'")
    access = own.folder / "data/pg_hba.conf"
    access.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    own.stop()
    own.start()
    with pytest.raises(InvalidInput, match="no password supplied"):
        open_ledger(url, Ticking())
    secret = own.folder / "pgpass"
    secret.write_text("*:*:*:redrabbit:hush\n")
    secret.chmod(0o600)
    with closing(open_ledger(f"{url}?passfile={secret}", Ticking())) as ledger:
        ledger.record([verdict("p")])
