"""Reads the committed dashboards as Grafana does: finds the variables' values, fills them in, and puts the queries to a Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"
NAMES = ("plant", "line", "machine")
SCRAPE = 1
"""Seconds between two scrapes of the tests' Prometheus."""


def board(name: str) -> dict[str, Any]:
    """One dashboard's JSON."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def panels(name: str) -> Iterator[dict[str, Any]]:
    """Its panels in order, those of folded rows too, without the rows themselves."""
    for panel in board(name)["panels"]:
        yield from panel.get("panels") or ([] if panel["type"] == "row" else [panel])


@dataclass(slots=True)
class Reader:
    """A dashboard as somebody looks at it from `start` to `end` (seconds since 1970). chosen: instead of the first value."""

    prometheus: str
    name: str
    start: float
    end: float
    step: float = 1.0
    chosen: Mapping[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.values = {"__rate_interval": f"{max(self.step + SCRAPE, 4 * SCRAPE):g}s"}
        for variable in board(self.name)["templating"]["list"]:
            self.values[variable["name"]] = self._value(variable)

    def fill(self, text: str) -> str:
        """Raises KeyError for a variable that the dashboard does not have."""
        return re.sub(r"\$\{?(\w+)\}?", lambda found: self.values[found[1]], text)

    def ask(self, target: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The series of one query: `values` over the time range, or `value` at its end."""
        return self.query(target["expr"], instant=bool(target.get("instant")))

    def query(self, expr: str, instant: bool) -> list[dict[str, Any]]:
        if instant:
            return self._get("query", query=self.fill(expr), time=self.end)  # type: ignore[no-any-return]
        times = {"start": self.start, "end": self.end, "step": self.step}
        return self._get("query_range", query=self.fill(expr), **times)  # type: ignore[no-any-return]

    def _value(self, variable: Mapping[str, Any]) -> str:
        if variable["name"] in self.chosen:
            return self.chosen[variable["name"]]
        if variable["type"] != "query":
            return str(variable["query"])
        if variable["includeAll"]:
            return str(variable["allValue"])
        matched = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert matched, variable["query"]
        found = self._get(f"label/{matched[2]}/values", **{"match[]": self.fill(matched[1])})
        assert found, f"{self.name}: nothing to choose from for {variable['name']}"
        return str(sorted(found)[0])

    def _get(self, path: str, **asked: Any) -> Any:
        answer = httpx.get(f"{self.prometheus}/api/v1/{path}", params=asked, timeout=30).json()
        assert answer["status"] == "success", f"{answer['error']}: {asked}"
        data = answer["data"]
        return data["result"] if isinstance(data, dict) else data
