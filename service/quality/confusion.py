"""A confusion matrix that names its axes: rows are what parts actually were, columns what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.quality.recall import proportion
from service.records import Estimate


@dataclass(frozen=True, slots=True)
class Confusion:
    """counts[actual][predicted], in the order of `classes`.

    >>> seed = Confusion(("good", "defective"), ((42, 5), (3, 50)))
    >>> round(seed.precision("defective").point, 3), round(seed.recall("defective").point, 3)
    (0.909, 0.943)
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        size = len(self.classes)
        if len(self.counts) != size or any(len(row) != size for row in self.counts):
            raise ValueError(f"counts {self.counts}: expected {size} rows (actual) of {size} columns (predicted)")

    @classmethod
    def of(cls, classes: Sequence[str], actual: Sequence[str], predicted: Sequence[str]) -> Confusion:
        """Counts pairs of (actual, predicted)."""
        pairs = list(zip(actual, predicted, strict=True))
        return cls(tuple(classes), tuple(tuple(pairs.count((a, p)) for p in classes) for a in classes))

    def recall(self, name: str) -> Estimate:
        """Share of the parts that actually were `name` that were predicted so, with Clopper-Pearson limits."""
        at = self.classes.index(name)
        return proportion(self.counts[at][at], sum(self.counts[at]))

    def precision(self, name: str) -> Estimate:
        """Share of the parts predicted `name` that actually were, with Clopper-Pearson limits."""
        at = self.classes.index(name)
        return proportion(self.counts[at][at], sum(row[at] for row in self.counts))

    def table(self) -> str:
        """A Markdown table with both axes named."""
        head = ["actual \\ predicted", *self.classes]
        rows = [[name, *map(str, row)] for name, row in zip(self.classes, self.counts, strict=True)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
