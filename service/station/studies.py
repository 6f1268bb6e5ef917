"""`/agreement` and `/studies/NAME`: how far inspectors agree, and what their studies say. Also as JSON, and as a file to keep."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from service.errors import InvalidInput
from service.ports import ImageStore, LedgerReader, StudyReader
from service.quality.study import Result, result
from service.quality.verdict import graded, kappa_in_words, summary
from service.records import Estimate, Kappa, Kind, Snapshot, Study, StudyPart
from service.station.access import Caller, allowed
from service.station.api import KINDS
from service.station.deps import Deps
from service.station.pages import EngineerVisitor, templates

router = APIRouter()
Engineer = Annotated[Caller, Depends(allowed("engineer"))]

CSS = Path(__file__).parent / "static/study.css"


@dataclass(frozen=True, slots=True)
class Report:
    """A study with what it says. counts: {kind: parts}."""

    study: Study
    parts: Sequence[StudyPart]
    result: Result

    @property
    def counts(self) -> Mapping[str, int]:
        kinds = Counter(part.kind for part in self.parts)
        return {kind.value: kinds[kind] for kind in Kind}

    @property
    def defects(self) -> int:
        return sum(part.reference != self.study.good for part in self.parts)

    @property
    def own(self) -> Mapping[str, int]:
        """{inspector of the study: parts whose reference rests on him, too}."""
        by = Counter(name for part in self.parts for name in part.known_by)
        return {one.inspector: by[one.inspector] for one in self.result.appraisers if by[one.inspector]}

    @property
    def state(self) -> str:
        if self.study.closed_at is not None:
            return "closed"
        return "standing" if self.study.standing else "complete" if self.result.complete else "open"


def report(ledger: StudyReader, study: Study) -> Report:
    parts = ledger.study_parts(study.name)
    return Report(study, parts, result(study, parts, ledger.study_answers(study.name)))


def find(ledger: StudyReader, name: str) -> Study:
    """Raises InvalidInput for an unknown name."""
    for study in ledger.studies():
        if study.name == name:
            return study
    raise InvalidInput(f"study {name!r}: there is none of that name; `redrabbit study list` shows all")


@router.get("/agreement", response_class=HTMLResponse, include_in_schema=False)
def agreement(request: Request, who: EngineerVisitor) -> Response:
    """Every line: pairs, inspectors, all together; and its studies."""
    deps: Deps = request.app.state.deps
    snapshot: Snapshot = request.app.state.snapshots()
    studies = [report(deps.ledger, study) for study in deps.ledger.studies() if who.may_see(study.line)]
    lines = [line for line in snapshot.lines.values() if who.may_see(line.line)]
    context = {"lines": lines, "studies": studies[::-1], "now": snapshot.as_of}
    return templates.TemplateResponse(request, "agreement.html", context)


@router.get("/studies/{name}", response_class=HTMLResponse, include_in_schema=False)
def study_page(request: Request, who: EngineerVisitor, name: str) -> Response:
    """One study's report, to read and to print."""
    found = _report(request, who, name)
    context = {"report": found, "picture": lambda part_id: f"/v1/parts/{part_id}/image"}
    return templates.TemplateResponse(request, "study.html", context)


@router.get("/v1/studies/{name}", tags=["quality"])
def study_json(request: Request, who: Engineer, name: str) -> dict[str, Any]:
    """One study's report: every figure with its limits and counts; null where nothing is known, and why."""
    return as_json(_report(request, who, name))


def _report(request: Request, who: Caller, name: str) -> Report:
    deps: Deps = request.app.state.deps
    for study in deps.ledger.studies():
        if study.name == name and who.may_see(study.line):
            return report(deps.ledger, study)
    raise HTTPException(404, "there is no such study")


def as_file(found: Report, ledger: LedgerReader, images: ImageStore) -> str:
    """The report as one HTML file that needs nothing else, pictures included."""
    rows = ledger.parts([one.part.part_id for one in found.result.differing])

    def picture(part_id: str) -> str:
        content = images.load(rows[part_id].verdict.image) if part_id in rows else None
        kind = next((kind for start, kind in KINDS.items() if (content or b"").startswith(start)), "image/webp")
        return f"data:{kind};base64,{base64.b64encode(content).decode()}" if content else ""

    context = {"report": found, "picture": picture, "css": CSS.read_text(encoding="utf-8")}
    return str(templates.env.get_template("study-file.html").render(context))


def as_json(found: Report) -> dict[str, Any]:
    study, said = found.study, found.result
    return {
        "name": study.name,
        "line": study.line,
        "state": found.state,
        "created_at": study.created_at,
        "closed_at": study.closed_at,
        "trials": study.trials or None,
        "share": study.share,
        "parts": {"total": len(found.parts), "defects": found.defects, **found.counts},
        "own_references": dict(found.own),
        "answers": {"given": said.answered, "asked_for": said.due or None},
        "inspectors": [
            {
                "inspector": one.inspector,
                "answers": one.answered,
                "missing": max(one.due - one.answered, 0),
                "unsure": one.unsure,
                "same_every_time": _estimate(one.within),
                "effectiveness": _graded("effectiveness", one.effectiveness),
                "right_answers": _estimate(one.right),
                "missed": _graded("missed", one.missed),
                "false_alarm": _graded("false_alarm", one.false_alarm),
                "kappa_with_himself": _kappa(one.within_kappa),
                "kappa_with_reference": _kappa(one.reference_kappa),
            }
            for one in said.appraisers
        ],
        "all_the_same": _estimate(said.between),
        "all_right": _estimate(said.all_right),
        "pairs": [{"inspectors": [*pair], **_kappa(kappa)} for pair, kappa in said.pairs.items()],
        "kappa_of_all": _kappa(said.overall),
        "kappa_of_all_with_reference": _kappa(said.reference),
        "differing": [
            {
                "part_id": one.part.part_id,
                "reference": one.part.reference,
                "kind": one.part.kind.value,
                "said": {name: [*labels] for name, labels in one.said.items()},
            }
            for one in said.differing
        ],
    }


def _graded(measure: str, share: Estimate) -> dict[str, Any]:
    return {**_estimate(share), "in_words": graded(measure, share)}


def _estimate(share: Estimate) -> dict[str, Any]:
    known = share.point is not None
    return {
        "point": share.point,
        "lower": share.lower if known else None,
        "upper": share.upper if known else None,
        "count": share.numerator,
        "of": share.denominator,
        "parts": share.events,
        "reason": share.reason,
    }


def _kappa(kappa: Kappa) -> dict[str, Any]:
    known = kappa.point is not None
    return {
        "kappa": kappa.point,
        "lower": kappa.lower if known else None,
        "upper": kappa.upper if known else None,
        "parts": kappa.parts,
        "in_words": kappa_in_words(kappa),
    }


def _percent(value: float) -> str:
    """Never rounded to 0 or 100 where it is neither."""
    text = f"{100 * value:.1f}"
    return {"100.0": ">99.9", "0.0": "<0.1"}.get(text, text) if 0 < value < 1 else f"{100 * value:.0f}"


_FILTERS: dict[str, Callable[..., str]] = {"percent": _percent, "graded": graded, "kappa_word": kappa_in_words}
templates.env.filters |= _FILTERS
templates.env.globals["summary"] = summary
