"""What the station is built from, as narrow protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.ports import ChallengeLedger, Clock, ImageStore, LabelLedger, LedgerReader
from service.records import RecordedVerdict, Snapshot
from service.station.meter import StationMeter


class Token(Protocol):
    """A bearer token as the ledger knows it. lines: () is every line."""

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def lines(self) -> tuple[str, ...]: ...


class StationLedger(LedgerReader, Protocol):
    """What the station reads beyond what everybody reads."""

    def unlabelled(self, line: str, limit: int, after: int = 0) -> Sequence[RecordedVerdict]: ...

    def token(self, hash: str) -> Token | None: ...


class Watcher(Protocol):
    """The monitor."""

    def snapshot(self) -> Snapshot: ...

    def second_looks(self, line: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Deps:
    """threshold: (line, defect, kinds of defect) -> recall page threshold of that row. heatmap: (encoded picture, digest of a model) -> PNG of where it looks, None where it cannot say. metrics: the text exposition.

    open_on_loopback: everybody on this machine may do everything, for trying out.
    """

    ledger: StationLedger
    labels: LabelLedger
    challenges: ChallengeLedger
    images: ImageStore
    monitor: Watcher
    threshold: Callable[[str, str, int], float | None]
    heatmap: Callable[[bytes, str], bytes | None]
    metrics: Callable[[], bytes]
    clock: Clock
    meter: StationMeter
    open_on_loopback: bool = False
