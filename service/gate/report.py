"""The gate's report: one HTML file with pictures, for whoever decides whether a model goes live."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, select_autoescape

from service.gate.case import Case
from service.gate.leaks import contradictions, twins
from service.model.contract import Curves
from service.model.data import Sample
from service.model.detector import overlaid
from service.model.passport import Passport
from service.records import Image

SHOWN = 8
SIDE = 160


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Pictures that show something. pictures: (data URL, words below it)."""

    title: str
    pictures: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Graph:
    """A curve as an SVG path in a box of 300 x 120, with its name and its last value."""

    name: str
    path: str
    last: float


def html(model: Path, case: Case, passport: Passport) -> str:
    """case: as it was judged."""
    folder = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=select_autoescape(default=True))
    judged = case.judged
    return environment.get_template("report.html").render(
        model=model.name,
        contract=case.contract,
        passport=passport,
        source=case.data.source,
        pictures=len(case.unseen),
        confusion=judged.confusion,
        exhibits=[exhibit for exhibit in _exhibits(case) if exhibit.pictures],
        graphs=list(_graphs(case.contract.curves)) if case.contract.curves else [],
    )


def _exhibits(case: Case) -> Iterator[Exhibit]:
    judged, good = case.judged, case.contract.good
    order = np.argsort(judged.exceedance)
    escapes = [int(at) for at in order if judged.defective[at] and judged.exceedance[at] < 1]
    overkill = [int(at) for at in order[::-1] if not judged.defective[at] and judged.exceedance[at] >= 1]
    yield Exhibit("Escapes: defective, and passed; the surest first", [_judged(case, at) for at in escapes[:SHOWN]])
    yield Exhibit(f"Overkill: {good}, and rejected; the surest first", [_judged(case, at) for at in overkill[:SHOWN]])
    caught = [int(at) for at in order if judged.defective[at] and judged.exceedance[at] >= 1]
    yield Exhibit(
        "Caught, the least sure first, and where the model looks", [_judged(case, at) for at in caught[:SHOWN]]
    )
    yield Exhibit(
        "Photographs of one part on both sides of the split", [_pair(*found[:2]) for found in twins(case)[:SHOWN]]
    )
    yield Exhibit("One part, two labels", [_pair(*found[:2]) for found in contradictions(case)[:SHOWN]])


def _judged(case: Case, at: int) -> tuple[str, str]:
    sample = case.unseen[at]
    image = sample.image()
    heatmap = case.detector.heatmap(image)
    sides = [_small(image)] if heatmap is None else [_small(image), _small(overlaid(image, heatmap))]
    words = f"{sample.name}: {sample.label}, {case.judged.exceedance[at]:.2f} of its threshold"
    return _url(np.hstack(sides)), words


def _pair(one: Sample, other: Sample) -> tuple[str, str]:
    return _url(
        np.hstack([_small(one.image()), _small(other.image())])
    ), f"{one.name} ({one.label}), {other.name} ({other.label})"


def _small(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _url(image: Image) -> str:
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode()}"


def _graphs(curves: Curves) -> Iterator[Graph]:
    for name in ("training_loss", "validation_loss", "training_accuracy", "validation_accuracy"):
        values = getattr(curves, name)
        top = max(1.0, *values) if name.endswith("accuracy") else max(*values, 1e-9)
        width = 300 / max(1, len(values) - 1)
        points = [f"{at * width:.1f},{120 - 120 * value / top:.1f}" for at, value in enumerate(values)]
        yield Graph(name.replace("_", " "), "M" + " L".join(points), values[-1])
