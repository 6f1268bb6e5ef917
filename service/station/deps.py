"""What the station is built from, as narrow protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.ports import (
    ChallengeLedger,
    Clock,
    ImageStore,
    LabelLedger,
    LeaseLedger,
    LedgerReader,
    ModelLedger,
    PeopleLedger,
    Place,
    StudyReader,
    Wanted,
)
from service.quality.windows import Contents, Settling
from service.records import RecordedVerdict, Sample, Snapshot
from service.station.meter import StationMeter


class Token(Protocol):
    """A bearer token as the ledger knows it. lines: () is every line."""

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def lines(self) -> tuple[str, ...]: ...


class StationLedger(LedgerReader, StudyReader, Protocol):
    """What the station reads beyond what everybody reads."""

    def unlabelled(self, line: str, limit: int, after: int = 0) -> Sequence[RecordedVerdict]: ...

    def find(self, wanted: Wanted, limit: int, before: Place | None = None) -> Sequence[RecordedVerdict]: ...

    def beside(self, part: RecordedVerdict, camera: str = "") -> tuple[str | None, str | None]: ...

    def labelled(self, line: str, first: int, after: int) -> Sequence[RecordedVerdict]: ...

    def token(self, hash: str) -> Token | None: ...


class Watcher(Protocol):
    """The monitor."""

    def snapshot(self) -> Snapshot: ...

    def second_looks(self, line: str) -> list[str]: ...

    def contents(self, line: str, window: str) -> Contents | None: ...

    def settling(self, line: str) -> Settling | None: ...

    def closes_at(self, line: str, ordinal: int) -> float | None: ...


class Samples(Protocol):
    """Parts that are shown to learn about inspectors. Their answers are no labels."""

    def offer(self, lines: Sequence[str], inspector: str) -> Sample | None:
        """The next one for him, None for an ordinary part."""
        ...

    def answered(self, sample: Sample, inspector: str, label: str, at: float) -> None:
        """Durable when it returns; the same again is no change, another answer corrects it."""
        ...


class NoSamples:
    """Fulfils Samples: nobody is being looked at."""

    def offer(self, lines: Sequence[str], inspector: str) -> Sample | None:
        return None

    def answered(self, sample: Sample, inspector: str, label: str, at: float) -> None:
        raise AssertionError(f"sample {sample.key} was never offered")


@dataclass(frozen=True, slots=True)
class Recipes:
    """Of the line of line.yaml. known: number and product by name. configured: the one that it begins with."""

    line: str
    known: Mapping[str, tuple[int | None, str]]
    configured: str
    ledger: ModelLedger


@dataclass(frozen=True, slots=True)
class Deps:
    """threshold: (line, defect, kinds of defect) -> recall page threshold of that row. heatmap: (encoded picture, digest of a model) -> PNG of where it looks, None where it cannot say. metrics: the text exposition.

    open_on_loopback: everybody on this machine may do everything, for trying out.
    """

    ledger: StationLedger
    labels: LabelLedger
    people: PeopleLedger
    leases: LeaseLedger
    challenges: ChallengeLedger
    images: ImageStore
    monitor: Watcher
    threshold: Callable[[str, str, int], float | None]
    heatmap: Callable[[bytes, str], bytes | None]
    metrics: Callable[[], bytes]
    clock: Clock
    meter: StationMeter
    samples: Samples = field(default_factory=NoSamples)
    recipes: Recipes | None = None
    open_on_loopback: bool = False
