"""Everything else over HTTP: records, pictures, the blind queue, who may do what, and what no client gets to see."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from threading import Event
from typing import Any

import pytest

from service.errors import InvalidInput, LedgerUnavailable
from service.records import Outcome
from service.station.app import create_app
from service.station.deps import Deps
from service.station.serving import serve
from tests.line import picture
from tests.servers import until
from tests.station.conftest import OTHER, Station


def test_a_part_can_be_traced(station: Station) -> None:
    """Model, thresholds, score, draw weight, and every label."""
    station.part("p1", Outcome.AUDIT)
    station.client().post("/v1/labels", json={"part_id": "p1", "label": "good", "inspector": "ines"})
    found = station.client().get("/v1/parts/p1").json()
    assert (found["verdict"], found["predicted"], found["scores"]) == ("audit", "good", [0.9, 0.1])
    assert found["draw"] == {"band": 1, "weight": 2, "policy": 1}
    assert [row["inspector"] for row in found["labels"]] == ["ines"]
    assert found["model"] and found["thresholds"]


def test_a_picture_comes_back_as_it_was(station: Station) -> None:
    """With its type; the heatmap is a PNG."""
    station.part("p1")
    answer = station.client().get("/v1/parts/p1/image")
    assert answer.content == picture(0.5) and answer.headers["content-type"] == "image/png"
    assert station.client().get("/v1/parts/p1/heatmap").headers["content-type"] == "image/png"


@pytest.mark.parametrize("part_id", ["nobody", "..%2f..%2fetc%2fpasswd", "%00", "a'%20OR%201=1", "p" * 5000, "%ff"])
def test_what_is_not_there_is_404(station: Station, part_id: str) -> None:
    """However the id looks."""
    for tail in ("", "/image", "/heatmap"):
        assert station.client().get(f"/v1/parts/{part_id}{tail}").status_code == 404


def test_the_queue_is_blind(station: Station) -> None:
    """Nothing in it tells an audit from a reject."""
    station.part("p1", Outcome.REJECT)
    station.part("p2", Outcome.AUDIT)
    client = station.client()
    found = [client.get("/v1/queue", params={"inspector": name}).json() for name in ("ines", "otto")]
    assert {one["part_id"] for one in found} == {"p1", "p2"}
    assert found[0].keys() == found[1].keys() == {"part_id", "line", "image", "classes", "leased_until", "due"}
    assert found[0]["classes"] == found[1]["classes"] == ["good", "crack"]


def test_a_leased_part_is_nobody_elses_until_the_lease_runs_out(station: Station) -> None:
    """The same inspector gets it again; a second one only afterwards."""
    station.part("p1")
    client = station.client()

    def ask(name: str) -> str | None:
        found: str | None = client.get("/v1/queue", params={"inspector": name}).json()["part_id"]
        return found

    assert [ask("ines"), ask("ines"), ask("otto")] == ["p1", "p1", None]
    station.clock.now += 400
    assert ask("otto") == "p1"


def test_passed_and_labelled_parts_are_in_no_queue(station: Station) -> None:
    """What is done is done."""
    station.part("p1", Outcome.PASS)
    station.part("p2")
    client = station.client()
    client.post("/v1/labels", json={"part_id": "p2", "label": "crack", "inspector": "ines"})
    assert client.get("/v1/queue", params={"inspector": "ines"}).json() == {"part_id": None, "due": 0}


def test_an_audited_defect_comes_to_a_second_inspector(station: Station) -> None:
    """And not to the first one again."""
    station.part("p1", Outcome.AUDIT)
    client = station.client()
    client.post("/v1/labels", json={"part_id": "p1", "label": "crack", "inspector": "ines"})
    assert client.get("/v1/queue", params={"inspector": "ines"}).json()["part_id"] is None
    assert client.get("/v1/queue", params={"inspector": "otto"}).json()["part_id"] == "p1"


@pytest.mark.parametrize("outcome", [Outcome.REJECT, Outcome.AUDIT])
def test_what_one_is_unsure_of_comes_to_another(station: Station, outcome: Outcome) -> None:
    """Left out, it would make the line look better than it is: doubtful parts are defective more often than others."""
    station.part("p1", outcome)
    client = station.client()

    def ask(name: str) -> str | None:
        found: str | None = client.get("/v1/queue", params={"inspector": name}).json()["part_id"]
        return found

    for name, label in (("ines", "unsure"), ("otto", "unsure"), ("uwe", "good")):
        until(lambda name=name: ask(name) == "p1", f"the part for {name}")  # type: ignore[misc]
        client.post("/v1/labels", json={"part_id": "p1", "label": label, "inspector": name})
        assert ask(name) is None
        station.clock.now += 400  # no lease holds it back
    assert ask("eva") is None


def test_a_second_look_is_found_behind_many_of_ones_own(station: Station) -> None:
    """And none is offered that somebody has settled a moment ago."""
    client = station.client()
    for number in range(70):
        station.part(f"p{number:02}", Outcome.AUDIT)
        name = "otto" if number == 69 else "ines"
        client.post("/v1/labels", json={"part_id": f"p{number:02}", "label": "crack", "inspector": name})
    until(lambda: client.get("/v1/queue", params={"inspector": "ines"}).json()["part_id"] == "p69", "otto's part")
    client.post("/v1/labels", json={"part_id": "p69", "label": "crack", "inspector": "ines"})
    station.clock.now += 400  # no lease holds it back
    assert client.get("/v1/queue", params={"inspector": "uwe"}).json()["part_id"] != "p69"
    assert client.get("/v1/queue", params={"inspector": "ines"}).json()["part_id"] is None


def test_quality_names_axes_and_says_why_there_is_nothing(station: Station) -> None:
    """Limits are null where nothing is known, with the reason beside."""
    for number in range(10):
        station.part(f"p{number}")
    station.clock.now += 61
    (line,) = [one for one in station.client().get("/v1/quality").json()["lines"] if one["line"] == "a"]
    row = line["quality"][0]
    assert row["confusion"].keys() == {"actual_defective", "actual_good"}
    assert row["recall"]["point"] is None and row["recall"]["lower"] is None and row["reason"]
    assert row["state"] == "UNKNOWN"


ROUTES = {
    "/v1/queue?inspector=x": {"inspector", "engineer", "admin"},
    "/v1/quality": {"inspector", "engineer", "admin"},
    "/v1/parts/p1/image": {"inspector", "engineer", "admin"},
    "/v1/parts/p1": {"engineer", "admin"},
    "/v1/parts/p1/heatmap": {"engineer", "admin"},
    "/metrics": {"scrape", "engineer", "admin"},
    "/": {"inspector", "engineer", "admin"},
    "/healthz": {"inspector", "engineer", "admin", "scrape", "camera"},
}


@pytest.mark.parametrize("role", ["inspector", "engineer", "admin", "scrape", "camera"])
def test_each_role_may_do_its_own_and_nothing_else(station: Station, role: str) -> None:
    """The whole table."""
    station.part("p1")
    client = station.client(station.token("somebody", role))
    allowed = {route for route in ROUTES if client.get(route).status_code == 200}
    assert allowed == {route for route, roles in ROUTES.items() if role in roles}


def test_a_token_sees_its_own_lines_only(station: Station) -> None:
    """Parts of another line are not there for it."""
    station.part("p1")
    station.part("p2", line=OTHER)
    client = station.client(station.token("eva", "engineer", "a"))
    assert [client.get(f"/v1/parts/{part_id}").status_code for part_id in ("p1", "p2")] == [200, 404]
    assert [line["line"] for line in client.get("/v1/quality").json()["lines"]] == ["a"]
    assert client.get("/v1/queue", params={"inspector": "eva", "line": OTHER}).status_code == 404


def test_without_a_token_nothing_is_open_but_health(start: Callable[..., Station]) -> None:
    """A page leads to where a token is asked for; a wrong, revoked or expired one is refused."""
    station = start(open_on_loopback=False)
    with station.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/quality").status_code == 401
        assert client.post("/v1/labels", json=[]).status_code == 401
        assert client.get("/").headers["location"] == "/sign-in"
    assert station.client("rr_wrong").get("/v1/quality").status_code == 401
    secret = station.token("ines", "inspector")
    assert station.client(secret).get("/v1/quality").status_code == 200
    station.ledger.revoke_token("ines")
    assert station.client(secret).get("/v1/quality").status_code == 401


def test_signing_in_keeps_the_token_where_no_script_sees_it(start: Callable[..., Station]) -> None:
    """HttpOnly, SameSite=Strict; a wrong token gets no cookie."""
    station = start(open_on_loopback=False)
    secret = station.token("ines", "inspector")
    with station.client() as client:
        assert client.post("/sign-in", data={"token": "rr_wrong"}).status_code == 401
        cookie = client.post("/sign-in", data={"token": secret}).headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "["},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
    ],
)
def test_open_is_for_this_machine_only(station: Station, headers: dict[str, str]) -> None:
    """A foreign name that resolves to us, or a proxy that hands somebody on, is not this machine."""
    assert station.client(**headers).get("/v1/quality").status_code in (400, 401)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://[", "null"])
def test_a_page_of_another_site_may_not_label(station: Station, origin: str) -> None:
    """Even where the browser sits on this machine."""
    client = station.client(Origin=origin)
    assert client.post("/v1/labels", json={}).status_code == 403
    assert client.post("/sign-in", data={"token": station.token("ines", "inspector")}).status_code == 403


def test_a_body_without_end_is_cut_off(station: Station) -> None:
    """Chunked, so that no header gives it away; the station answers on."""
    host, port = station.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as endless:
        head = f"POST /v1/labels HTTP/1.1\r\nHost: {host}:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        endless.sendall(head.encode())
        with suppress(ConnectionError):
            for _ in range(200):
                endless.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        assert b" 413 " in endless.recv(4096).split(b"\r\n")[0]
    assert station.client().get("/healthz").status_code == 200


def test_a_client_that_sends_nothing_is_cut_off(start: Callable[..., Station]) -> None:
    """A body that was announced and does not come."""
    station = start(patience=0.3)
    host, port = station.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(f"POST /v1/labels HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert b" 408 " in slow.recv(4096).split(b"\r\n")[0]


class Broken:
    """A monitor with a bug."""

    def snapshot(self) -> object:
        raise ZeroDivisionError("secret detail")

    def second_looks(self, line: str) -> list[str]:
        raise LedgerUnavailable("secret detail")


def test_a_bug_says_nothing_of_itself(start: Callable[..., Station]) -> None:
    """500 and one sentence; the station lives on."""
    station = start(monitor=Broken())
    answer = station.client().get("/v1/quality")
    assert answer.status_code == 500
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert station.client().get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/review", "/sign-in", "/v1/quality", "/healthz", "/nowhere", "/static/station.css"]
)
def test_every_answer_carries_its_armour(station: Station, path: str) -> None:
    """No sniffing, no framing, nothing from elsewhere, no name of the server."""
    headers = station.client().get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "server" not in headers


def test_pages_load_nothing_from_elsewhere(station: Station) -> None:
    """They work offline; names from the ledger are escaped."""
    station.part("p1")
    for path in ("/", "/review", "/sign-in"):
        text = station.client().get(path).text
        assert not re.search(r"(src|href)=\"(https?:)?//", text)
        assert "<script>" not in text and " style=" not in text


def test_the_api_describes_itself(station: Station) -> None:
    """OpenAPI with every call of version 1."""
    paths = station.client().get("/openapi.json").json()["paths"]
    assert {"/v1/labels", "/v1/queue", "/v1/quality", "/v1/parts/{part_id}"} <= set(paths)


def test_a_port_in_use_and_a_station_open_to_the_network_are_refused(station: Station) -> None:
    """One line each, before anything is served."""
    nothing: dict[str, Any] = {field.name: None for field in fields(Deps)}
    fenced = create_app(Deps(**{**nothing, "open_on_loopback": True}))
    with pytest.raises(InvalidInput, match="cannot listen"):
        serve(fenced, station.base.removeprefix("http://"), Event())
    with pytest.raises(InvalidInput, match="this machine only"):
        serve(fenced, "0.0.0.0:0", Event())


@pytest.mark.parametrize(
    ("path", "role", "status", "words"),
    [
        ("/parts/nothing", "engineer", 404, "there is no such part"),
        ("/misses", "inspector", 403, "role inspector may not see this; expected engineer or above"),
        ("/trail?before=yesterday", "admin", 422, "before: Input should be a valid integer"),
        ("/nowhere", "inspector", 404, "Not Found"),
    ],
)
def test_a_person_is_refused_in_words_and_a_machine_in_json(
    closed: Station, path: str, role: str, status: int, words: str
) -> None:
    """The same status; the page has the way back, and nothing of a traceback."""
    client = closed.client(closed.token("eva", role))
    page = client.get(path, headers={"Accept": "text/html,*/*"})
    assert page.status_code == status and words in page.text and 'href="/"' in page.text
    machine = client.get(path)
    assert machine.status_code == status and "detail" in machine.json()
