"""What must be done once for a line is done by one process, whichever it is, and by another when that one dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from service.errors import LedgerUnavailable
from service.ledger.owners import FileOwners, ServerOwners
from service.ledger.store import SqlLedger, open_owners
from service.records import DrawPolicy
from tests.postgres import Postgres, running
from tests.servers import until

Asker = Callable[[], FileOwners | ServerOwners]


@pytest.fixture
def another(ledger: SqlLedger, url: str) -> Iterator[Asker]:
    """As one more process would ask."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(open_owners(url)))


def test_a_line_has_one_owner(another: Asker) -> None:
    """Who asked first, for as long as he is there; another line is another's."""
    one, other = another(), another()
    assert one.owns("a") and other.owns("b")
    assert not other.owns("a") and not one.owns("b")
    assert one.owns("a") and other.owns("b")
    one.close()
    assert other.owns("a") and other.owns("b")
    assert not one.owns("a"), "closed, it asks anew"


def test_a_line_whose_owner_was_killed_is_taken_over(another: Asker, url: str) -> None:
    """kill -9: he gives nothing back by himself."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.child", "owner", url, "a"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "True\n"
        other = another()
        assert not other.owns("a")
        child.kill()
    until(lambda: other.owns("a"), "the line is taken over")


def test_who_loses_the_server_owns_nothing(postgres: Postgres) -> None:
    """His lock went with his session: he has to ask again, like anybody."""
    with running() as server, closing(open_owners(server.database())) as one:
        assert one.owns("a")
        server.kill()
        with pytest.raises(LedgerUnavailable):
            one.owns("a")
        server.start()
        assert one.owns("a")


def test_of_two_who_begin_together_one_writes_the_policy(ledger: SqlLedger) -> None:
    """Who comes second finds the first one's, and takes it; nothing is written over what he does not know."""
    policy = DrawPolicy(0, "a", 0.0, (40, 40), 0.02)
    first = ledger.set_draw_policy(policy, after=0)
    assert ledger.set_draw_policy(DrawPolicy(0, "a", 0.0, (7, 7), 0.1), after=0) == first
    second = ledger.set_draw_policy(policy, after=first.number)
    assert second.number == 2 and len(ledger.draw_policies("a")) == 2
