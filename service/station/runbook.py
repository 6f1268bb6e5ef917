"""`/runbook`: what each alert means and what to do, where whoever is called at night can reach it without an account."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from markdown_it import MarkdownIt

from service.station.pages import templates

router = APIRouter(include_in_schema=False)

PLACES = (Path(__file__).with_name("runbook.md"), Path(__file__).parents[2] / "deploy/runbook.md")
"""Beside this file where redrabbit was installed, in `deploy` of a checkout."""


@cache
def as_html(text: str) -> str:
    """Each heading is an anchor by its own words in small letters: `#cameradown`."""
    markdown = MarkdownIt("commonmark", {"html": False})
    tokens = markdown.parse(text)
    for heading, words in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", words.content.lower())
    return str(markdown.renderer.render(tokens, markdown.options, {}))


@router.get("/runbook", response_class=HTMLResponse)
def runbook(request: Request) -> Response:
    file = next(place for place in PLACES if place.is_file())
    return templates.TemplateResponse(request, "runbook.html", {"runbook": as_html(file.read_text(encoding="utf-8"))})
