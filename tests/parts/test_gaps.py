"""Which numbers count as passed over: not one that comes late, nor what a counter skips that begins anew."""

from __future__ import annotations

import doctest

import pytest

from service.parts import gaps as module
from service.parts.gaps import LEAP, Gaps
from service.sight import DISORDER


def _missing(gaps: Gaps, *numbers: int) -> list[int]:
    for number in numbers:
        gaps.add(number, 0.0, 500.0)
    return [gap.trigger for gap in gaps.older_than(0.0)]


def test_the_example_holds() -> None:
    """That of the docstring."""
    assert doctest.testmod(module).failed == 0 and doctest.testmod(module).attempted > 3


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ((1, 2, 3), []),
        ((5, 6), []),  # what was before the first is not known
        ((1, 4), [2, 3]),
        ((1, 4, 2), [3]),
        ((1, 4, 3, 2, 5), []),
        ((1, 4, 4, 1), [2, 3]),  # again is no change
        ((1, 3, 1000, 1, 3), [2, *range(4, 1000), 2]),  # begun anew: what is open belongs to the count before
        ((1, LEAP + 1), list(range(2, LEAP + 1))),
        ((1, LEAP + 2, LEAP + 4), [LEAP + 3]),
        ((DISORDER + 1, 1), []),  # late by as much as is allowed
        ((1, 10**18), []),
    ],
)
def test_what_is_missing(numbers: tuple[int, ...], missing: list[int]) -> None:
    assert _missing(Gaps(), *numbers) == missing


def test_open_numbers_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that leaves out many, again and again, fills no memory; what he says later counts once some are settled."""
    monkeypatch.setattr(module, "MOST", 10)
    gaps = Gaps()
    assert [gaps.add(number, 0.0, 0.0) for number in (1, 13, 20)] == [True, True, False]
    assert len(gaps.older_than(0.0)) == 11
    assert gaps.add(22, 0.0, 0.0)


def test_each_is_told_once_and_only_when_it_is_old_enough() -> None:
    """In the order in which they were noticed, with the time of the picture that showed them."""
    gaps = Gaps()
    for number, now in ((1, 0.0), (3, 10.0), (5, 20.0)):
        gaps.add(number, now, 1000.0 + now)
    assert gaps.next() == 10.0
    assert [(gap.trigger, gap.captured_at) for gap in gaps.older_than(10.0)] == [(2, 1010.0)]
    assert gaps.next() == 20.0
    assert [gap.trigger for gap in gaps.older_than(99.0)] == [4]
    assert (gaps.next(), gaps.older_than(99.0)) == (None, [])
