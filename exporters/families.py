"""Metric families by line: names, help texts and labels stand once, in the table of each collector.

A plant has tens of thousands of samples, all made anew at each scrape: a family here keeps its rows as text and is written out
several times as fast as the client library does it. Whoever asks for samples gets those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from prometheus_client import Metric, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from service.records import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ROWS_REMEMBERED = 500_000


class Family(Metric):
    """One value for each row of labels. name: as it is exposed."""

    def __init__(self, name: str, text: str, kind: str, labels: Sequence[str]) -> None:
        super().__init__(name.removesuffix("_total"), text, kind)
        self._exposed = name
        self._labels = tuple(labels)
        self._rows: list[tuple[str, ...]] = []
        self._values: list[float] = []

    @property
    def samples(self) -> list[Sample]:
        rows = zip(self._rows, self._values, strict=True)
        return [Sample(self._exposed, dict(zip(self._labels, row, strict=True)), value) for row, value in rows]

    @samples.setter
    def samples(self, found: list[Sample]) -> None:
        """The library's own class begins with an empty list."""

    def add_metric(self, labels: tuple[str, ...], value: float) -> None:
        self._rows.append(labels)
        self._values.append(float(value))

    def text(self) -> str:
        """In Prometheus' text format, byte by byte as the client library has it."""
        return (
            f"# HELP {self._exposed} {self.documentation}\n# TYPE {self._exposed} {self.type}\n{''.join(self._lines())}"
        )

    def _lines(self) -> Iterable[str]:
        name, names = self._exposed, self._labels
        rows = zip(self._rows, self._values, strict=True)
        return [f"{name}{_written(names, row)} {_number(value)}\n" for row, value in rows]


class Histograms(Family):
    """Counts that were made elsewhere, one histogram for each row of labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        super().__init__(name, text, "histogram", labels)
        self._counted: list[Histogram] = []

    @property
    def samples(self) -> list[Sample]:
        plain = HistogramMetricFamily(self._exposed, self.documentation, labels=self._labels)
        for row, found in zip(self._rows, self._counted, strict=True):
            plain.add_metric(row, list(zip(_bounds(found.bounds), found.counts, strict=True)), found.total)
        return plain.samples

    @samples.setter
    def samples(self, found: list[Sample]) -> None:
        """As above."""

    def add_histogram(self, labels: tuple[str, ...], found: Histogram) -> None:
        self._rows.append(labels)
        self._counted.append(found)

    def _lines(self) -> Iterable[str]:
        name, names, with_bound = self._exposed, self._labels, (*self._labels, "le")
        for row, found in zip(self._rows, self._counted, strict=True):
            for bound, count in zip(_bounds(found.bounds), found.counts, strict=True):
                yield f"{name}_bucket{_written(with_bound, (*row, bound))} {_number(float(count))}\n"
            yield f"{name}_count{_written(names, row)} {_number(float(found.counts[-1]))}\n"
            yield f"{name}_sum{_written(names, row)} {_number(float(found.total))}\n"


@lru_cache
def _bounds(bounds: tuple[float, ...]) -> list[str]:
    return [str(floatToGoString(bound)) for bound in bounds]  # type: ignore[no-untyped-call]


@lru_cache(_ROWS_REMEMBERED)
def _written(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """The library's spelling, which differs from Python's own from a million on."""
    return repr(value) if -1e6 < value < 1e6 else str(floatToGoString(value))  # type: ignore[no-untyped-call]


class _Only:
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]


def exposition(families: Iterable[Metric]) -> bytes:
    """What /metrics answers."""
    return b"".join(
        family.text().encode() if isinstance(family, Family) else generate_latest(_Only(family)) for family in families
    )


def gauge(name: str, text: str, *labels: str) -> Family:
    """An empty gauge named redrabbit_<name>, with the label `line` before the others."""
    return Family(f"redrabbit_{name}", text, "gauge", ("line", *labels))


def counter(name: str, text: str, *labels: str) -> Family:
    """An empty counter named redrabbit_<name>, with the label `line` before the others."""
    return Family(f"redrabbit_{name}", text, "counter", ("line", *labels))


def histograms(name: str, text: str, *labels: str) -> Histograms:
    """No histogram yet, named redrabbit_<name>, with the label `line` before the others."""
    return Histograms(f"redrabbit_{name}", text, ("line", *labels))


def add(family: Family, labels: tuple[str, ...], value: float | None) -> None:
    """Adds the sample when there is a value: what is not known is absent, never 0 or NaN."""
    if value is not None:
        family.add_metric(labels, value)
