"""What the demo's line produces: held-out pictures drawn by a seed, with faults done to them from some part on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from service.errors import InvalidInput
from service.records import Image

LOT = 250


class Cell(Protocol):
    """One labelled picture of a data set."""

    @property
    def defective(self) -> bool: ...

    def read(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with the camera from part number `part` on."""

    kind: str
    part: int

    @classmethod
    def parse(cls, text: str, kinds: Sequence[str]) -> Fault:
        """'defocus@1000' -> Fault. Raises InvalidInput."""
        kind, _, at = text.partition("@")
        if kind not in kinds or not at.isdecimal():
            raise InvalidInput(
                f"fault {text!r}: expected KIND@PART, such as {kinds[0]}@1000, KIND one of {', '.join(kinds)}"
            )
        return cls(kind, int(at))


class Production:
    """The parts of one run by number; the same seed gives the same parts, in any order and on any process.

    prevalence: share of parts that are truly defective. damage(kind, picture) does a fault to an encoded picture.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        seed: int,
        prevalence: float,
        faults: Sequence[Fault],
        damage: Callable[[str, bytes], Image],
        classes: tuple[str, str],
    ) -> None:
        if not 0 < prevalence < 1:
            raise InvalidInput(f"prevalence {prevalence:g}: expected a ratio between 0 and 1, such as 0.05")
        self._good = [cell for cell in cells if not cell.defective]
        self._bad = [cell for cell in cells if cell.defective]
        if not self._good or not self._bad:
            raise InvalidInput("the data set has no good or no defective pictures; expected both")
        self.seed = seed
        self._prevalence = prevalence
        self._faults = faults
        self._damage = damage
        self._classes = classes

    def part_id(self, number: int) -> str:
        return f"el-{self.seed}-{number:06d}"

    def lot(self, number: int) -> str:
        """Every LOT parts are one."""
        return f"lot-{number // LOT:03d}"

    def actual(self, part_id: str) -> str:
        """The true class: known to the demo alone."""
        good, bad = self._classes
        return bad if self._cell(int(part_id.rpartition("-")[2]))[1] else good

    def picture(self, number: int) -> bytes | Image:
        """The encoded picture, or the decoded one where a fault was done to it."""
        cell, _ = self._cell(number)
        standing = [fault.kind for fault in self._faults if number >= fault.part]
        return self._damage(standing[-1], cell.read()) if standing else cell.read()

    def _cell(self, number: int) -> tuple[Cell, bool]:
        dice = Random(f"{self.seed}/{number}")
        defective = dice.random() < self._prevalence
        return dice.choice(self._bad if defective else self._good), defective
