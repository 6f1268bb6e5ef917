"""A process that is told to stop stops, whatever its main thread is about at that moment."""

from __future__ import annotations

import os
import signal
from threading import Event

import pytest

from service.cli.building import until_signalled
from tests.servers import PATIENCE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finds_the_main_thread_at_the_lock_of_what_it_waits_for(number: signal.Signals) -> None:
    """`Event.wait` holds it for a moment every time it comes round; a handler that asked for it would never return."""
    told = Event()
    with until_signalled(told.set) as stopping:
        with told._cond, stopping._cond:  # type: ignore[attr-defined]
            os.kill(os.getpid(), number)
        assert stopping.wait(PATIENCE) and told.wait(PATIENCE)


def test_a_second_signal_ends_it_as_if_nobody_listened() -> None:
    with until_signalled() as stopping:
        before = signal.getsignal(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(PATIENCE)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL is not before


def test_nothing_happens_without_a_signal() -> None:
    told = Event()
    with until_signalled(told.set) as stopping:
        pass
    assert not stopping.is_set() and not told.is_set()
