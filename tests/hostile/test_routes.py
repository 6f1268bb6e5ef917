"""Every address of the station with every odd word in every field, and what a token of another line sees of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, generate_latest

from exporters.station import StationMetrics
from tests.line import LINE
from tests.station.conftest import OTHER, Station
from tests.station.scene import fill

ODD = [
    "' OR 1=1; DROP TABLE labels; --",
    '" UNION SELECT * FROM tokens --',
    "%' ESCAPE '%",
    "a\0b",
    "\ud800",
    "\u202e",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "=1+1",
    "nan",
    "1e999",
    "-1",
    "9" * 5000,
    "x" * 60_000,
    "",
]
ALONE = ["' OR 1=1; DROP TABLE labels; --", "a\0b", "\ud800", "nan", "9" * 5000]
"""By themselves in each field: together with others they may be refused for another one's sake."""
FIELDS = [
    "line",
    "defect",
    "window",
    "id",
    "since",
    "until",
    "lot",
    "camera",
    "outcome",
    "label",
    "actual",
    "predicted",
    "before",
    "side",
    "name",
    "next",
    "inspector",
]


def routes(station: Station) -> list[APIRoute]:
    """Of the application and of the routers in it."""
    return list(_routes(station.app.routes))


def _routes(found: object) -> Iterator[APIRoute]:
    for route in found:  # type: ignore[attr-defined]
        if isinstance(route, APIRoute):
            yield route
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "app", None)
            yield from _routes(getattr(inner, "routes", ()))


def odd_addresses(station: Station) -> Iterator[str]:
    for route in routes(station):
        if "GET" not in route.methods:
            continue
        for word in ODD:
            escaped = "".join(f"%{byte:02x}" for byte in word.encode("utf-8", "surrogatepass"))
            if "{" in route.path:
                yield re.sub(r"\{\w+\}", escaped[:30_000], route.path)
                continue
            yield f"{route.path}?" + "&".join(f"{field}={escaped[:1500]}" for field in FIELDS)
            for field in FIELDS if word in ALONE else ():
                yield f"{route.path}?line={LINE}&{field}={escaped[:30_000]}"


def test_no_word_in_any_field_is_a_fault_of_ours(start: Callable[..., Station]) -> None:
    """SQL, NUL, half characters, paths, scripts, formulas, huge numbers: never 500, never 503, never anything of ours, and nothing is gone."""
    station = start()
    fill(station)
    before = len(station.ledger.labels_after(0, 10_000))
    with station.client() as client:
        addresses = list(odd_addresses(station))
        assert len(addresses) > 2000
        for address in addresses:
            answer = client.get(address)
            assert answer.status_code < 500, address[:200]
            assert "Traceback" not in answer.text and "sqlalchemy" not in answer.text.lower()
            assert "<script>alert" not in answer.text and "\n49\n" not in answer.text
    assert len(station.ledger.labels_after(0, 10_000)) == before


def bodies(word: object) -> Iterator[tuple[str, dict[str, object]]]:
    yield "/v1/labels", {"part_id": word, "label": word, "inspector": word, "labelled_at": word, "source": word}
    yield "/v1/labels", {"part_id": "p001", "label": "good", "inspector": word, "labelled_at": word}
    yield "/v1/review/next", {"inspector": word, "line": word, "have": [word]}
    yield "/v1/review/answers", {"inspector": word, "lease": word, "label": word, "labelled_at": word}
    yield "/v1/review/back", {"inspector": "otto", "leases": [word], "aside": word}
    yield "/v1/challenge", {"part_id": word, "name": word}
    yield "/v1/challenge", {"part_id": "p001", "name": word}
    yield (
        "/v1/challenge",
        {"line": word, "name": word, "expected": word, "every": word, "shifts": [word], "within": word},
    )
    yield "/v1/challenge", {"line": LINE, "name": "x", "expected": "crack", "every": word, "within": word}
    yield "/v1/pages/acknowledge", {"line": word, "defect": word, "note": word}


def test_no_word_in_any_body_is_a_fault_of_ours(start: Callable[..., Station]) -> None:
    """The same in JSON and in forms, with the types that JSON knows."""
    station = start()
    fill(station)
    with station.client() as client:
        for word in [*ODD, None, True, 10**400, -1e308, 1e-320, [], {}, [[]], {"a": {}}]:
            for path, body in bodies(word):
                answer = (
                    client.post(path, json=body)
                    if "\ud800" not in str(word)
                    else client.post(
                        path,
                        content=b'{"part_id": "\\ud800", "name": "\\ud800"}',
                        headers={"Content-Type": "application/json"},
                    )
                )
                assert answer.status_code < 500, (path, str(word)[:80])
                assert "Traceback" not in answer.text
            if isinstance(word, str):
                form = {
                    name: word.encode("utf-8", "surrogatepass")
                    for name in ("name", "password", "token", "next", "line", "defect", "note")
                }
                for path in ("/sign-in", "/acknowledge"):
                    assert client.post(path, data=form).status_code < 500, (path, word[:80])
    assert len(station.ledger.parts_after(0, 10_000)) == 120


def test_a_token_of_another_line_sees_and_does_nothing(start: Callable[..., Station]) -> None:
    """On every address: neither a part, nor a name, nor a figure of the line; and no label, no page and no challenge of it is touched."""
    station = start(open_on_loopback=False)
    fill(station)
    labels = len(station.ledger.labels_after(0, 10_000))
    secret = station.token("stranger", "engineer", OTHER)
    with station.client(secret, Accept="text/html") as client:
        for route in routes(station):
            if "GET" in route.methods and route.path not in ("/runbook", "/openapi.json"):
                path = re.sub(r"\{\w+\}", "p001", route.path)
                answer = client.get(path, params={"line": LINE, "part_id": "p001", "window": "100 parts"})
                assert "p001" not in answer.text.replace(path, ""), path
                assert "lot-" not in answer.text and "RR-7" not in answer.text, path
                assert answer.status_code < 500
        for path, body in (
            ("/v1/labels", {"part_id": "p001", "label": "crack", "inspector": "otto"}),
            ("/v1/challenge", {"part_id": "p001", "name": "RR-7"}),
            ("/v1/challenge", {"line": LINE, "name": "x", "expected": "crack"}),
            ("/v1/pages/acknowledge", {"line": LINE}),
            ("/v1/review/next", {"line": LINE, "inspector": "otto"}),
            ("/v1/review/answers", {"lease": "p001", "label": "crack", "inspector": "otto"}),
        ):
            assert client.post(path, json=body).status_code in (404, 422), path
    assert len(station.ledger.labels_after(0, 10_000)) == labels


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/" + "x" * 5000,
        "/static/..\\app.py",
        "/static/",
    ],
)
def test_static_files_are_those_of_the_folder(station: Station, path: str) -> None:
    """As it stands on the wire: a client that tidies paths up would hide what is asked for."""
    with httpx.Client(base_url=station.base) as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        assert client.send(request).status_code == 404


def test_metrics_grow_by_nothing_that_clients_say(start: Callable[..., Station]) -> None:
    """Thousands of addresses, names, classes, sources, reasons and part ids add a handful of series."""
    registry = CollectorRegistry()
    metrics = StationMetrics(registry)
    station = start(meter=metrics, metrics=lambda: generate_latest(registry))
    station.part("p-1")

    def series() -> int:
        return len([row for row in station.client().get("/metrics").text.splitlines() if not row.startswith("#")])

    def flood(first: int, count: int) -> None:
        with station.client() as client:
            for number in range(first, first + count):
                client.get(f"/x{number}")
                client.get(f"/v1/parts/x{number}")
                client.get(f"/v1/quality?line=l{number}", headers={"X-Line": f"l{number}"})
            client.post(
                "/v1/labels",
                json=[
                    {
                        "part_id": f"p-{n}",
                        "label": f"c{n}",
                        "inspector": f"i{n}",
                        "source": f"s{n}",
                        "line": f"l{n}",
                        "camera": f"k{n}",
                        "reason": f"r{n}",
                    }
                    for n in range(first, first + 5 * count)
                ],
            )
            client.post(
                "/v1/labels",
                json=[
                    {"part_id": "p-1", "label": f"c{n}", "inspector": f"i{n}"} for n in range(first, first + 5 * count)
                ],
            )
        assert station.ledger.labels_after(0, 10) == []

    series()  # counts itself
    flood(0, 5)
    after_few = series()
    flood(5, 300)
    assert series() == after_few
