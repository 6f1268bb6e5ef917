"""Who may do what: every route, people and their sessions, pages of other sites, guesses, lines that are not one's own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import BrowserContext

from service.records import Outcome, Person
from service.station.access import COOKIE, IDLE
from service.station.sessions import HASHER, PER_NAME
from tests.line import LINE
from tests.station.conftest import OTHER, Station

PASSWORD = "a red rabbit"
HASHED = HASHER.hash(PASSWORD)

LEAST = {
    "GET /healthz": "",
    "GET /readyz": "",
    "GET /runbook": "",
    "GET /sign-in": "",
    "POST /sign-in": "",
    "POST /sign-out": "scrape",
    "GET /": "inspector",
    "GET /review": "inspector",
    "GET /pages": "inspector",
    "GET /v1/queue": "inspector",
    "POST /v1/review/next": "inspector",
    "POST /v1/review/back": "inspector",
    "POST /v1/review/answers": "inspector",
    "GET /v1/review/{lease}/image": "inspector",
    "GET /v1/review/{lease}/view": "inspector",
    "GET /v1/review/{lease}/heatmap": "inspector",
    "GET /v1/quality": "inspector",
    "GET /v1/pages": "inspector",
    "GET /v1/challenge": "inspector",
    "GET /v1/recipes": "inspector",
    "POST /v1/recipes": "engineer",
    "POST /v1/challenge": "inspector",
    "POST /v1/labels": "inspector",
    "GET /v1/parts/{part_id}/image": "inspector",
    "GET /v1/parts/{part_id}": "engineer",
    "GET /v1/parts/{part_id}/heatmap": "engineer",
    "GET /v1/containment": "engineer",
    "GET /v1/containment.csv": "engineer",
    "GET /v1/not-inspected.csv": "engineer",
    "POST /v1/pages/acknowledge": "engineer",
    "POST /acknowledge": "engineer",
    "GET /containment": "engineer",
    "GET /misses": "engineer",
    "GET /confusion": "engineer",
    "GET /parts": "engineer",
    "GET /parts/{part_id}": "engineer",
    "GET /parts/{part_id}/picture.jpg": "engineer",
    "GET /agreement": "engineer",
    "GET /studies/{name}": "engineer",
    "GET /v1/studies/{name}": "engineer",
    "GET /metrics": "metrics",
    "GET /trail": "admin",
}
"""The least role by route; "" is open to everybody."""
BELOW = {
    "": (),
    "inspector": ("scrape",),
    "engineer": ("scrape", "inspector"),
    "scrape": (),
    "metrics": ("inspector",),
    "admin": ("scrape", "engineer"),
}


OWN = {"metrics": "scrape"}
"""Engineers may read metrics too; inspectors not."""


def _person(station: Station, name: str, role: str = "inspector", *lines: str, disabled: bool = False) -> None:
    station.ledger.put_person(Person(name, role, lines, HASHED, disabled, "test"))


def _signed_in(station: Station, name: str, password: str = PASSWORD, **form: str) -> httpx.Client:
    client = station.client(origin=station.base)
    answer = client.post("/sign-in", data={"name": name, "password": password, **form})
    assert answer.status_code == 303, answer.text
    return client


def _routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Those of routers that were included too: newer FastAPIs keep them as they are."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from _routes(getattr(getattr(route, "original_router", None), "routes", ()))


def test_somebody_has_decided_about_every_route(station: Station) -> None:
    """A new route fails this until it stands in LEAST; pictures and scripts of the pages themselves are open."""
    routes = {f"{method} {route.path}" for route in _routes(station.app.routes) for method in route.methods - {"HEAD"}}
    assert routes == set(LEAST)


@pytest.mark.parametrize("route", LEAST)
def test_a_route_is_closed_to_those_below_its_role(closed: Station, route: str) -> None:
    """401, or a way to sign in, for nobody; 403 for a role below; anything but those for the role itself."""
    method, path = route.split()
    path = path.replace("{part_id}", "p1").replace("{name}", "s").replace("{lease}", "l")
    nobody = closed.client().request(method, path)
    if LEAST[route] == "":
        assert nobody.status_code not in (401, 403) or route == "POST /sign-in"
        return
    assert nobody.status_code == 401 or nobody.headers["location"].startswith("/sign-in")
    for role in BELOW[LEAST[route]]:
        assert closed.client(closed.token(f"{role}-{method}", role)).request(method, path).status_code == 403, role
    own = closed.client(closed.token("own", OWN.get(LEAST[route], LEAST[route]))).request(method, path)
    assert own.status_code not in (401, 403), own.text


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/v1/parts/b1", "engineer"),
        ("/v1/parts/b1/image", "inspector"),
        ("/v1/parts/b1/heatmap", "engineer"),
        ("/parts/b1", "engineer"),
        ("/parts/b1/picture.jpg", "engineer"),
        (f"/v1/queue?line={OTHER}", "inspector"),
        (f"/v1/containment?line={OTHER}", "engineer"),
        (f"/containment?line={OTHER}", "engineer"),
        (f"/v1/containment.csv?line={OTHER}", "engineer"),
        (f"/v1/not-inspected.csv?line={OTHER}", "engineer"),
    ],
)
def test_a_line_that_is_not_ones_own_is_not_there(closed: Station, path: str, role: str) -> None:
    """404 and nothing else, as for what does not exist; the same for a user as for a token."""
    closed.part("b1", Outcome.REJECT, OTHER)
    _person(closed, "eva", role, LINE)
    for client in (_signed_in(closed, "eva"), closed.client(closed.token("t", role, LINE))):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/v1/quality", "/v1/pages", "/v1/challenge", "/pages", "/misses", "/confusion", "/parts"]
)
def test_pages_over_all_lines_leave_out_those_that_are_not_ones_own(closed: Station, path: str) -> None:
    """Not even the name of the other line stands there; who may see it finds it."""
    closed.part("a1", Outcome.REJECT, LINE)
    closed.part("b1", Outcome.REJECT, OTHER)
    client = closed.client(closed.token("t", "engineer", LINE))
    assert not re.search(rf'(">|line=|"line": ?"|"){OTHER}["<&]', client.get(path).text)


def test_a_label_for_another_line_is_refused(closed: Station) -> None:
    """By name, whoever brings it."""
    closed.part("b1", Outcome.REJECT, OTHER)
    _person(closed, "eva", "inspector", LINE)
    answer = _signed_in(closed, "eva").post("/v1/labels", json={"part_id": "b1", "label": "dent"})
    assert answer.status_code == 422 and "not yours" in answer.json()["reason"]
    assert closed.ledger.labels(["b1"]) == {}


def test_a_session_ends_when_it_must(closed: Station) -> None:
    """At sign-out, after half a day without use, with another password, and when the user is disabled; not by a restart."""
    _person(closed, "eva")
    first, second, third, fourth = (_signed_in(closed, "eva") for _ in range(4))
    assert first.get("/v1/quality").status_code == 200
    kept = dict(first.cookies)
    assert first.post("/sign-out").status_code == 303
    assert closed.client(cookie=f"{COOKIE}={kept[COOKIE]}").get("/v1/quality").status_code == 401
    closed.clock.now += IDLE - 1
    assert second.get("/v1/quality").status_code == 200
    closed.clock.now += IDLE - 1
    assert second.get("/v1/quality").status_code == 200 and third.get("/v1/quality").status_code == 401
    _person(closed, "eva")
    assert second.get("/v1/quality").status_code == 401
    fourth = _signed_in(closed, "eva")
    _person(closed, "eva", disabled=True)
    assert fourth.get("/v1/quality").status_code == 401
    assert fourth.post("/sign-in", data={"name": "eva", "password": PASSWORD}).status_code == 401


def test_the_secret_of_a_session_stands_nowhere(closed: Station) -> None:
    """The cookie is for no script and no other site; the ledger holds a hash."""
    _person(closed, "eva")
    client = closed.client(origin=closed.base)
    said = client.post("/sign-in", data={"name": "eva", "password": PASSWORD}).headers["set-cookie"]
    assert "HttpOnly" in said and "SameSite=strict" in said and "Path=/" in said
    with closed.ledger._reader.begin() as connection:
        rows = str(
            connection.exec_driver_sql("SELECT * FROM sessions").all()
            + connection.exec_driver_sql("SELECT * FROM people").all()
        )
    assert client.cookies[COOKIE] not in rows and PASSWORD not in rows


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_a_cookie_alone_changes_nothing(closed: Station, headers: dict[str, str], status: int) -> None:
    """A change needs word from the browser that our own page asked for it. A machine, which is no browser, needs its token only."""
    closed.part("p1")
    _person(closed, "eva")
    cookie = f"{COOKIE}={_signed_in(closed, 'eva').cookies[COOKIE]}"
    label = {"part_id": "p1", "label": "crack"}
    assert closed.client(cookie=cookie, **headers).post("/v1/labels", json=label).status_code == status
    machine = closed.client(closed.token("plc", "engineer"))
    assert machine.post("/v1/labels", json=label).status_code == 200


def test_guessing_is_slow(closed: Station) -> None:
    """After ten tries a name has to wait, right password or not, and is told how long; another name does not."""
    _person(closed, "eva")
    _person(closed, "max")
    client = closed.client(origin=closed.base)
    for _ in range(PER_NAME.amount):
        assert client.post("/sign-in", data={"name": "eva", "password": "guess"}).status_code == 401
    answer = client.post("/sign-in", data={"name": "eva", "password": PASSWORD})
    assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= 15 * 60
    assert client.post("/sign-in", data={"name": "max", "password": PASSWORD}).status_code == 303


def test_an_unknown_name_is_answered_like_a_wrong_password(closed: Station) -> None:
    """The same words, and a password is checked all the same, so that the time tells nothing either."""
    _person(closed, "eva")
    client = closed.client(origin=closed.base)
    wrong, unknown = (client.post("/sign-in", data={"name": name, "password": "guess"}) for name in ("eva", "nobody"))
    assert (wrong.status_code, wrong.text) == (unknown.status_code, unknown.text)
    started = time.process_time()
    client.post("/sign-in", data={"name": "nobody", "password": "guess"})
    assert time.process_time() - started > 0.005


@pytest.mark.parametrize(
    "next", ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/x\ny"]
)
def test_signing_in_leads_to_no_other_site(closed: Station, next: str) -> None:
    """Only to a path of this station."""
    _person(closed, "eva")
    client = closed.client(origin=closed.base)
    answer = client.post("/sign-in", data={"name": "eva", "password": PASSWORD, "next": next})
    assert answer.headers["location"] == "/"


def test_the_trail_says_who_did_what(closed: Station) -> None:
    """Sign-ins and their failures, from where; for admins, the newest first."""
    _person(closed, "root", "admin")
    client = closed.client(origin=closed.base)
    client.post("/sign-in", data={"name": "<b>eva</b>", "password": "guess"})
    admin = _signed_in(closed, "root")
    deeds = [(row.deed.who, row.deed.what, row.deed.about) for row in closed.ledger.deeds(None, 10)]
    assert deeds == [("root", "signed in", ""), ("", "failed to sign in", "<b>eva</b>")]
    page = admin.get("/trail").text
    assert page.index("signed in") < page.index("failed to sign in") and "127.0.0.1" in page
    assert "&lt;b&gt;eva" in page and "<b>eva" not in page
    assert "signed in" not in admin.get("/trail?name=eva").text.split("<tbody>")[1]


def test_somebody_comes_back_to_where_he_was(closed: Station, person: Callable[..., BrowserContext]) -> None:
    """A browser without a session is led to the sign-in page and then on; the head says who is signed in, and lets him out."""
    _person(closed, "eva", "engineer")
    page = person(base_url=closed.base).new_page()
    page.goto("/parts?outcome=reject")
    assert "/sign-in" in page.url
    page.get_by_label("Name").fill("eva")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/parts?outcome=reject")
    assert page.inner_text(".who span") == "eva"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto("/parts")
    assert "/sign-in" in page.url
