"""Kappa against an independent program and a printed example, and its limits against inspectors whose agreement is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from random import Random
from typing import Any

import pytest

from service.quality.agreement import Agreement
from service.quality.kappa import Tally, kappa_of, of_pairs, of_raters

VECTORS = json.loads((Path(__file__).parent / "kappas.json").read_text(encoding="utf-8"))
NORMAL = 1.959963984540054


def parts(table: Sequence[Sequence[int]]) -> list[tuple[Tally, int]]:
    """One part for each answer of the table."""
    return [
        (of_pairs([(str(row), str(column))]), n) for row, cells in enumerate(table) for column, n in enumerate(cells)
    ]


@pytest.mark.parametrize("case", VECTORS["cohen"])
def test_cohens_kappa_is_that_of_statsmodels(case: dict[str, Any]) -> None:
    """The point to 1e-12; the limits are no narrower than its large-sample ones (Fleiss, Cohen and Everitt), and not twice as wide."""
    found = kappa_of(parts(case["table"]))
    assert found.point == pytest.approx(case["kappa"], abs=1e-12)
    half = NORMAL * case["standard_error"]
    assert found.lower <= case["kappa"] - half * 0.999 and found.upper >= min(1.0, case["kappa"] + half * 0.99)
    assert found.upper - found.lower < 2 * 2 * half


@pytest.mark.parametrize("case", VECTORS["fleiss"])
def test_fleiss_kappa_is_that_of_statsmodels(case: dict[str, Any]) -> None:
    """Two to five raters, two to four classes."""
    found = kappa_of([(of_raters([said]), 1) for said in case["ratings"]])
    assert found.point == pytest.approx(case["kappa"], abs=1e-12)
    assert found.lower < case["kappa"] < found.upper


def test_the_printed_example_of_the_manual() -> None:
    """AIAG MSA: appraisers A, B and C with each other .86, .78, .79, and with the reference .88, .92, .77."""
    tables = (((44, 6), (3, 97)), ((43, 7), (8, 92)), ((42, 5), (9, 94)))
    references = (((45, 5), (3, 97)), ((45, 2), (3, 100)), ((42, 9), (6, 93)))
    rounded = [round(kappa_of(parts(table)).point or 0.0, 2) for table in (*tables, *references)]
    assert rounded == [0.86, 0.78, 0.79, 0.88, 0.92, 0.77]


def test_full_agreement_on_few_parts_proves_little() -> None:
    """Five parts on which two agree: kappa 1, and limits that reach far down. None where chance alone would agree."""
    found = kappa_of([(of_pairs([("good", "good")]), 3), (of_pairs([("crack", "crack")]), 2)])
    assert (found.point, found.upper, found.parts) == (1.0, 1.0, 5)
    assert found.lower < 0.1
    alone = kappa_of([(of_pairs([("good", "good")]), 50)])
    assert (alone.point, alone.lower, alone.upper) == (None, -1.0, 1.0)
    assert kappa_of([]).point is None


def test_seeing_a_part_again_is_no_new_part() -> None:
    """Three trials that always say the same give the limits of one."""
    once = [(of_pairs([said]), 1) for said in [("a", "a")] * 12 + [("b", "b")] * 12 + [("a", "b")] * 4]
    thrice = [(of_pairs([said] * 3), 1) for said in [("a", "a")] * 12 + [("b", "b")] * 12 + [("a", "b")] * 4]
    assert kappa_of(once).point == pytest.approx(kappa_of(thrice).point)
    assert kappa_of(once).lower == pytest.approx(kappa_of(thrice).lower)


KINDS_OF_LINE = [
    pytest.param(30, 0.5, 0.05, 1, False, id="a study, one trial"),
    pytest.param(30, 0.5, 0.05, 3, True, id="three trials, the same parts are hard each time"),
    pytest.param(30, 0.2, 0.05, 3, True, id="few defects"),
    pytest.param(100, 0.1, 0.05, 1, False, id="fewer defects, more parts"),
    pytest.param(300, 0.03, 0.01, 1, False, id="everyday labels"),
]


@pytest.mark.parametrize(("size", "defects", "slips", "trials", "hard"), KINDS_OF_LINE)
def test_limits_hold_kappa_as_often_as_promised(
    size: int, defects: float, slips: float, trials: int, hard: bool
) -> None:
    """Simulated inspectors: 95 of 100 times, less what luck may do. The truth is kappa of very many parts."""
    dice = Random(11)

    def part() -> Iterator[tuple[str, str]]:
        bad = dice.random() < defects
        each = (0.5 if dice.random() < 2 * slips else 0.0) if hard else slips
        for _ in range(trials):
            one, other = (bad ^ (dice.random() < each) for _ in range(2))
            yield str(one), str(other)

    many = [said for _ in range(40_000) for said in part()]
    truth = kappa_of([(of_pairs(many), 1)]).point
    assert truth is not None
    windows = 400
    held = sum(
        found.lower <= truth <= found.upper
        for found in (kappa_of([(of_pairs(part()), 1) for _ in range(size)]) for _ in range(windows))
    )
    assert held / windows >= 0.95 - 2 * sqrt(0.05 * 0.95 / windows)


def test_everyday_agreement_carries_limits_and_takes_corrections() -> None:
    """A pair and all together; a label taken back leaves what was there before."""
    book = Agreement()
    for said in (["crack", "crack"], ["crack", "good"], ["good", "good"], ["good", "good"], ["crack", "crack", "good"]):
        book.count(dict(zip(("eva", "max", "li"), said, strict=False)))
    before = book.state("good")
    assert before.kappas["eva", "max"].parts == 5 and before.overall is not None and before.overall.parts == 5
    assert before.kappas["eva", "max"].point == before.kappa["eva", "max"][0] == pytest.approx(0.615, abs=1e-3)
    book.count({"eva": "crack", "max": "good"})
    assert book.state("good").overall != before.overall
    book.count({"eva": "crack", "max": "good"}, -1)
    assert book.state("good") == before
    assert Agreement().state("good").overall is None
