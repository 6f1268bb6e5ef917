"""What the gate looks at: a model, labelled pictures, and which of them it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from service.errors import InvalidInput
from service.model.contract import Contract
from service.model.data import Data, Sample
from service.model.detector import OnnxDetector
from service.model.judge import Judged, judge
from service.model.leakage import Duplicates, near_duplicates, signatures
from service.thresholds import GateRule

SHORT: Final = 12
MOST_SEEN: Final = 1000
"""So many pictures of its training are judged, to compare with those it never saw."""
MOST_PROBED: Final = 400


@dataclass(frozen=True)
class Case:
    """data: what it is judged on; where it is what the model was trained on, only the part kept for testing counts.

    training: what it was trained on, where that is other data. vouched: who says that it has seen none of these pictures,
    where nobody knows what it was trained on. seed: of what is drawn at random.
    """

    detector: OnnxDetector
    data: Data
    rule: GateRule
    training: Data | None = None
    vouched: str = ""
    seed: int = 1

    def __post_init__(self) -> None:
        if unknown := set(self.data.classes) - set(self.contract.classes):
            raise InvalidInput(
                f"{self.data.source}: class {min(unknown)!r}: the model knows {', '.join(self.contract.classes)}"
            )
        if self.data.good != self.contract.good:
            raise InvalidInput(f"{self.data.source}: good is {self.data.good!r}; the model's is {self.contract.good!r}")

    @property
    def contract(self) -> Contract:
        return self.detector.contract

    @cached_property
    def own(self) -> bool:
        """Whether the model was trained on this very data, so that it says itself which pictures were kept for testing."""
        known = {digest for digests in self.contract.pictures.values() for digest in digests}
        return bool(known) and all(digest[:SHORT] in known for digest in self.data.digests)

    def part(self, *names: str) -> list[Sample]:
        """The pictures of the data that were in these parts of the model's own split."""
        wanted = {digest for name, some in self.contract.pictures.items() if name in names for digest in some}
        return [
            one for one, digest in zip(self.data.samples, self.data.digests, strict=True) if digest[:SHORT] in wanted
        ]

    @cached_property
    def unseen(self) -> Sequence[Sample]:
        """What the model is judged on. Raises InvalidInput where nothing is left."""
        samples = self.part("test") if self.own else self.data.samples
        if not samples:
            raise InvalidInput(
                f"{self.data.source}: the model was trained on all of it; expected pictures it has not seen"
            )
        return samples

    @cached_property
    def seen(self) -> Sequence[Sample]:
        """What it was trained on, as far as it is at hand; validation pictures chose thresholds and count as well."""
        if self.training is not None:
            return self.training.samples
        return self.part("train", "validation") if self.own else ()

    @cached_property
    def judged(self) -> Judged:
        """Its word on what it has not seen."""
        return judge(self.detector, self.unseen)

    @cached_property
    def remembered(self) -> Judged | None:
        """Its word on pictures it was trained on; None where they are not at hand."""
        samples = self.part("train") if self.own else self.seen
        if not samples:
            return None
        chosen = np.random.default_rng(self.seed).permutation(len(samples))[:MOST_SEEN]
        return judge(self.detector, [samples[int(index)] for index in chosen])

    @cached_property
    def duplicates(self) -> Duplicates:
        """Pairs of one part among `seen` and `unseen`, numbered in this order."""
        samples = [*self.seen, *self.unseen]
        return near_duplicates(signatures(one.image() for one in samples), [one.group for one in samples])

    @cached_property
    def few(self) -> Sequence[Sample]:
        """At most MOST_PROBED of the unseen pictures, for what is asked of them again and again."""
        chosen = np.random.default_rng(self.seed).permutation(len(self.unseen))[:MOST_PROBED]
        return [self.unseen[int(index)] for index in sorted(chosen)]
