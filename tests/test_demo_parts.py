"""What the demo's line produces, and who labels it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import pytest

from service.cli.datasets import Options, parse
from service.demo.inspectors import FIRST, SECOND, SimulatedInspectors
from service.demo.parts import Fault, Production
from service.errors import InvalidInput
from service.records import Image, Outcome, Verdict

KINDS = ("fog", "dim")


@dataclass(frozen=True)
class Cell:
    """A cell whose picture is its name."""

    name: str
    defective: bool

    def read(self) -> bytes:
        return self.name.encode()


CELLS = [Cell(f"g{n}", False) for n in range(20)] + [Cell(f"b{n}", True) for n in range(20)]


def _damage(kind: str, picture: bytes) -> Image:
    return np.frombuffer(kind.encode() + picture, np.uint8)


def _production(seed: int = 1, faults: Sequence[Fault] = (), prevalence: float = 0.3) -> Production:
    return Production(CELLS, seed, prevalence, faults, _damage, ("good", "bad"))


def test_the_same_seed_gives_the_same_parts_in_any_order() -> None:
    """Whatever process asks, whenever."""
    first = [_production().picture(n) for n in range(100)]
    assert [_production().picture(n) for n in reversed(range(100))] == first[::-1]
    assert [_production(seed=2).picture(n) for n in range(100)] != first


def test_the_truth_is_the_pictures() -> None:
    """`actual` of an id is the class of the picture under that number; about so many are defective as asked for."""
    production = _production()
    truths = [production.actual(production.part_id(n)) == "bad" for n in range(1000)]
    assert truths == [bytes(production.picture(n)).startswith(b"b") for n in range(1000)]
    assert 200 < sum(truths) < 400


def test_a_fault_begins_at_its_part_and_the_last_one_stands() -> None:
    """Parts before it are as they were."""
    production = _production(faults=[Fault.parse("fog@10", KINDS), Fault.parse("dim@20", KINDS)])
    assert isinstance(production.picture(9), bytes)
    assert bytes(production.picture(10)).startswith(b"fog")
    assert bytes(production.picture(20)).startswith(b"dim")


@pytest.mark.parametrize("text", ["fog", "fog@", "fog@x", "fog@-1", "snow@1", "@1", ""])
def test_a_fault_that_cannot_be_read_is_refused(text: str) -> None:
    """One line with an example."""
    with pytest.raises(InvalidInput, match="KIND@PART"):
        Fault.parse(text, KINDS)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, 5.0])
def test_a_prevalence_is_a_ratio(prevalence: float) -> None:
    """Not a percentage, and neither never nor always."""
    with pytest.raises(InvalidInput, match="prevalence"):
        _production(prevalence=prevalence)


def _verdict(part_id: str, outcome: Outcome) -> Verdict:
    return Verdict(part_id, "a", "c", 100.0, "m", "t", (0.5, 0.5), 1.0, "bad", outcome, None, 1, 1)


def test_inspectors_see_rejects_and_audits_and_look_twice_at_audited_defects() -> None:
    """After a delay, each label once; a passed part never."""
    actual = {"r": "bad", "g": "good", "d": "bad", "p": "bad"}
    inspectors = SimulatedInspectors(actual.__getitem__, "good", 1, 10.0)
    outcomes = {"r": Outcome.REJECT, "g": Outcome.AUDIT, "d": Outcome.AUDIT, "p": Outcome.PASS}
    for part_id, outcome in outcomes.items():
        inspectors.take(_verdict(part_id, outcome))
    assert inspectors.until(100.0) == []
    given = inspectors.until(1000.0)
    assert sorted((row.part_id, row.label, row.inspector) for row in given) == [
        ("d", "bad", FIRST),
        ("d", "bad", SECOND),
        ("g", "good", FIRST),
        ("r", "bad", FIRST),
    ]
    assert [row.labelled_at for row in given] == sorted(row.labelled_at for row in given)
    assert inspectors.until(10_000.0) == [] and inspectors.waiting == 0


def test_a_dataset_url_says_all_of_the_options() -> None:
    """What the demo writes into line.yaml is what its worker reads."""
    options = Options(0.1, 7, 33.0, 500, ("dim@10", "shift@20"), True)
    assert parse(urlsplit(options.url), "demo") == options
    assert parse(urlsplit(Options().url), "demo") == Options()


@pytest.mark.parametrize(
    "url", ["dataset://mnist", "dataset://elpv?speed=1", "dataset://elpv?rate=fast", "dataset://elpv?rate=-1"]
)
def test_a_dataset_url_that_cannot_be_read_is_refused(url: str) -> None:
    """One line."""
    with pytest.raises(InvalidInput):
        parse(urlsplit(url), "demo")
