"""Clients of the station that are slow, endless, many or large."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from threading import Event

import httpx
import pytest

from service.station.app import LARGE_AT_ONCE, MAX_BODY, SMALL
from service.station.connections import HEAD, MOST, Bounded
from tests.hostile.memory import peak_growth
from tests.line import picture
from tests.station.conftest import Station

JSON = {"Content-Type": "application/json"}


class Impatient(Bounded):
    head_within = whole_within = 0.5


def connected(station: Station, received: bytes = b"") -> socket.socket:
    host, port = station.base.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(received)
    return connection


def rest(connection: socket.socket) -> bytes:
    """All that comes until the station hangs up; the test's own time limit if it never does."""
    answer = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def flooded(connection: socket.socket, piece: bytes, times: int) -> bytes:
    with suppress(ConnectionError):
        for _ in range(times):
            connection.sendall(piece)
    return rest(connection)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"\r\n\r\n",
        b"GET /healthz HT",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /v1/labels HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;ext=",
    ],
)
def test_who_does_not_finish_is_hung_up_on(start: Callable[..., Station], begun: bytes) -> None:
    """Whatever was begun: nothing at all, half a line, half a header, half a chunk. Byte after byte is no progress."""
    station = start(connections=Impatient)
    with connected(station, begun) as slow:
        slow.settimeout(0.05)
        while True:
            try:
                slow.sendall(b"x" if begun.strip() else b"")
                if not slow.recv(1000):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert station.client().get("/healthz").status_code == 200


def test_a_kept_connection_is_not_kept_for_nothing(start: Callable[..., Station]) -> None:
    """Empty lines between two requests keep it no longer than silence does."""
    station = start(connections=Impatient)
    with connected(station, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as idle:
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        idle.settimeout(0.05)
        while True:
            try:
                idle.sendall(b"\r\n")
                if not idle.recv(1000):
                    break
            except TimeoutError:
                continue
            except OSError:
                break


class Watched(Bounded):
    """Says when a connection has ended."""

    taken_within = 0.3
    ended = Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ended.set()


def test_who_does_not_take_the_answer_is_hung_up_on(start: Callable[..., Station]) -> None:
    """A reader that stops reading holds neither memory nor a place."""
    station = start(connections=Watched, metrics=lambda: b"#" * 50_000_000)
    with connected(station) as reader:
        Watched.ended.clear()
        reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert Watched.ended.wait(30)
        assert len(rest(reader)) < 50_000_000


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"GET /", b"a" * 4096),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-Flood: " + b"a" * 100 + b"\r\n"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 4096),
        (
            b"POST /v1/labels HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X-Trailer: aaaaaaaaaaa\r\n",
        ),
        (b"POST /v1/labels HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 4096),
    ],
    ids=["path", "headers", "header", "trailers", "chunk-extension"],
)
def test_a_head_without_end_is_refused(station: Station, head: bytes, piece: bytes) -> None:
    """Path, headers, what frames a chunk and what trails behind together have one limit, and memory does not grow."""
    with connected(station, head) as endless:
        grown, answer = peak_growth(lambda: flooded(endless, piece, 100_000_000 // len(piece)))
    assert b" 431 " in answer.split(b"\r\n")[0] or b" 4" in answer.split(b"\r\n")[0] or answer == b""
    assert grown < 60_000_000
    assert station.client().get("/healthz").status_code == 200


def test_a_large_head_is_told_so(station: Station) -> None:
    """431, in the words of HTTP."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * (HEAD + 1)
    with connected(station, head) as large:
        assert rest(large).startswith(b"HTTP/1.1 431 ")


def test_who_says_nothing_makes_room(station: Station) -> None:
    """Twice as many silent connections as there are places, and whoever has something to say is answered."""
    with ExitStack() as crowd:
        silent = [crowd.enter_context(connected(station)) for _ in range(2 * MOST)]
        assert station.client().get("/healthz").status_code == 200
        assert rest(silent[0]) == b""


def test_large_bodies_are_for_people_we_know(closed: Station) -> None:
    """A stranger is cut off at 64 kB, before anything of it is unfolded; a list of labels may have 8 MB."""
    body = b"[" + b" " * SMALL + b"]"
    assert closed.client(**JSON).post("/v1/labels", content=body).status_code == 401
    known = closed.client(closed.token("ines", "inspector"), **JSON)
    assert known.post("/v1/labels", content=body).json() == []
    assert known.post("/v1/labels", content=b"[" + b" " * MAX_BODY + b"]").status_code == 413
    for path in ("/v1/review/next", "/v1/challenge", "/sign-in"):
        form = {"Content-Type": "application/x-www-form-urlencoded"} if path == "/sign-in" else JSON
        assert known.post(path, content=body, headers=form).status_code == 413


def test_bodies_that_unfold_do_not_fill_the_memory(closed: Station) -> None:
    """Eight megabytes of brackets from twenty strangers and from six of us: of each only so many are unfolded at once."""
    body = b"[" + b"[]," * (MAX_BODY // 3 - 10) + b"[]]"

    def send(secret: str | None) -> int:
        try:
            return closed.client(secret, **JSON).post("/v1/labels", content=body).status_code
        except httpx.HTTPError:  # hung up on while it still sends
            return 401

    secret = closed.token("ines", "inspector")
    with ThreadPoolExecutor(26) as pool:
        grown, statuses = peak_growth(lambda: list(pool.map(send, [None] * 20 + [secret] * 6)))
    assert set(statuses[:20]) == {401}
    assert set(statuses[20:]) <= {413, 503}
    assert grown < LARGE_AT_ONCE * 300_000_000


def test_compressed_bodies_are_not_unpacked(station: Station) -> None:
    """A gzip bomb is no JSON, and that is all that is said of it."""
    answer = station.client().post(
        "/v1/labels", content=b"\x1f\x8b" + bytes(1000), headers={**JSON, "Content-Encoding": "gzip"}
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "protocol",
    [
        {"Connection": "Upgrade", "Upgrade": "websocket"},
        {"Connection": "Upgrade", "Upgrade": "h2c"},
        {"Accept": "text/event-stream"},
    ],
)
def test_nobody_is_upgraded(station: Station, protocol: dict[str, str]) -> None:
    """There are no web sockets, no HTTP/2 and no event streams: the answer is the ordinary one."""
    assert station.client().get("/healthz", headers=protocol).json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["[", "a b", "x@y", "x/y", "x:1:2", "[::1", "\xff"])
@pytest.mark.parametrize("path", ["/", "/sign-in", "/v1/quality", "/nowhere"])
def test_a_host_that_is_none_is_refused(station: Station, host: str, path: str) -> None:
    """400, for people as for machines, and no fault of ours in the log."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    with connected(station, request.encode("latin-1")) as odd:
        assert rest(odd).startswith(b"HTTP/1.1 400 ")


def test_what_came_is_not_repeated(station: Station) -> None:
    """Numbers that are none, half characters, deep nests and long lists come back as a short answer in JSON."""
    for body in (
        b'{"lease": NaN, "label": "x"}',
        b'{"lease": 1e999, "label": "x"}',
        b'{"lease": "\\ud800", "label": ["\\udfff"]}',
        b'{"\\ud800": 1}',
        b'{"lease": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"[" * 30_000,
        json.dumps({"leases": list(range(10_000))}).encode(),
        b"\xff\xfe",
        b"",
    ):
        for path in ("/v1/review/answers", "/v1/review/back", "/v1/challenge", "/v1/pages/acknowledge", "/v1/labels"):
            answer = station.client().post(path, content=body, headers=JSON)
            assert 400 <= answer.status_code < 500, (path, body[:40], answer.text[:200])
            assert len(answer.content) < 4000
            assert answer.json()


def test_a_picture_that_unfolds_is_shown_or_refused(station: Station) -> None:
    """Every part has a picture; what the store holds is decoded with the same care as what a camera sends."""
    station.part("p-1")
    assert station.images.load("../../etc/passwd") is None
    assert station.client().get("/v1/parts/p-1/image").content == picture(0.5)
