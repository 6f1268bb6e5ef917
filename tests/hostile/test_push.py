"""Senders to the push camera, and scrapes, that were not made for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from select import select
from threading import Thread

import httpx
import pytest
from prometheus_client import CollectorRegistry

from exporters.serving import SIMULTANEOUS, serve_metrics
from service.cameras.http import BODIES, Answer, Pushed, PushServer
from tests.cameras.stage import NOW
from tests.hostile.memory import peak_growth

LIMIT = 4_000_000


class Camera(PushServer):
    """Remembers what reached the line."""

    def __init__(self) -> None:
        self.taken: list[Pushed] = []
        super().__init__(("127.0.0.1", 0), self._inspect, lambda: NOW, b"", limit=LIMIT, max_age=60)

    def _inspect(self, pushed: Pushed) -> Answer:
        self.taken.append(pushed)
        return Answer(200, {"part_id": pushed.part_id})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/parts"


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    thread = Thread(target=camera.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    yield camera
    camera.shutdown()
    camera.server_close()
    thread.join()


def told(camera: Camera, request: bytes) -> bytes:
    """All that comes back."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", camera.server_port), timeout=20) as connection,
        suppress(ConnectionError),
    ):
        connection.sendall(request)
        while piece := connection.recv(65_536):
            answer += piece
    return answer


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    "form",
    [
        b"--b\r\n\r\n\r\n" * 300_000,
        b"--b\r\n" * 700_000,
        b"--b\r\n" + b"X: y\r\n" * 600_000,
        b"--b\r\nX: " + b"y" * 3_000_000,
        b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 60_000,
        b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b--\r\n",
        b"--b\r\n\r\nhalf",
        b"--b--\r\n",
        b"",
    ],
    ids=["parts", "boundaries", "headers", "header", "nested", "encoded", "half", "empty", "nothing"],
)
def test_a_form_that_unfolds_is_refused(camera: Camera, form: bytes) -> None:
    """A form of a million parts costs no more memory than its bytes, and is answered."""
    grown, answer = peak_growth(lambda: httpx.post(camera.url, content=form, headers=FORM, timeout=30))
    assert (answer.status_code, camera.taken) == (422, [])
    assert answer.json()["detail"]
    assert grown < 60_000_000


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/x; boundary=" + "b" * 300,
        "multipart/;;==\"'",
    ],
)
def test_a_form_without_a_boundary_is_refused(camera: Camera, kind: str) -> None:
    """422, not a connection that ends without a word."""
    assert (
        httpx.post(camera.url, content=b"--b\r\n\r\nx\r\n--b--\r\n", headers={"Content-Type": kind}).status_code == 422
    )


@pytest.mark.parametrize(
    "target",
    [
        b"http://[/v1/parts",
        b"//[::1",
        b"/v1/parts?part_id=%00",
        b"/v1/parts?part_id=%E2%80%AEx",
        b"/v1/parts?lot=a%E2%80%AEb",
        b"/v1/parts?" + b"a=1&" * 5000,
        b"*",
    ],
)
@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE", b"\xff"])
def test_every_request_is_answered(camera: Camera, method: bytes, target: bytes) -> None:
    """Whatever it asks for: a status of the client's fault or of what we do not do, and nothing of ours in it."""
    answer = told(camera, method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
    assert answer[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5")
    assert b"Traceback" not in answer
    assert camera.taken == []


def test_a_head_without_end_is_refused(camera: Camera) -> None:
    """Headers have a number and a length."""
    for flood in (b"X-Flood: a\r\n" * 200_000, b"X-Long: " + b"a" * 10_000_000, b"POST /" + b"a" * 10_000_000):
        grown, answer = peak_growth(lambda flood=flood: told(camera, b"POST /v1/parts HTTP/1.1\r\n" + flood))
        assert b"Traceback" not in answer and b" 200 " not in answer[:20]
        assert grown < 80_000_000


def test_all_bodies_together_are_bounded(camera: Camera) -> None:
    """Many senders that stop one byte before the end: who comes too late is told to come again, and room comes back."""
    head = f"POST /v1/parts HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n".encode()
    body = bytes(LIMIT - 1)

    def crowd() -> bytes:
        with ExitStack() as crowd:
            senders = [
                crowd.enter_context(socket.create_connection(("127.0.0.1", camera.server_port), timeout=30))
                for _ in range(BODIES + 4)
            ]
            for sender in senders:
                with suppress(ConnectionError):
                    sender.sendall(head + body)
            told, _, _ = select(senders, [], [], 30)  # whichever came too late
            return told[0].recv(1000)

    grown, answer = peak_growth(crowd)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert grown < 2 * BODIES * LIMIT
    while httpx.post(camera.url, content=bytes(LIMIT)).status_code == 503:
        pass
    assert [len(one.content) for one in camera.taken] == [LIMIT]


def test_announced_bodies_hold_no_room(camera: Camera) -> None:
    """A sender that only says how much will come keeps nobody out."""
    head = f"POST /v1/parts HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n".encode()
    with ExitStack() as crowd:
        for _ in range(BODIES * 2):
            crowd.enter_context(socket.create_connection(("127.0.0.1", camera.server_port))).sendall(head)
        assert httpx.post(camera.url, content=bytes(LIMIT)).status_code == 200


def test_part_ids_are_ids(camera: Camera) -> None:
    """No path, no NUL, no script that runs from right to left, no megabytes."""
    client = httpx.Client()
    for part_id in (
        "../x",
        "..",
        ".",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a\0",
        "a\n",
        "\u202etxt.exe",
        "ä",
        "=1+1",
        "-x",
        "%2e%2e",
        "a..b",
        "p" * 129,
        " ",
        "",
    ):
        assert client.post(camera.url, params={"part_id": part_id}, content=b"x").status_code == 422, part_id
    assert told(camera, b"POST /v1/parts?part_id=" + b"p" * 10_000_000 + b" HTTP/1.1\r\n\r\n")[:12] in (
        b"HTTP/1.1 414",
        b"",
    )
    assert camera.taken == []


def test_scrapes_that_dawdle_keep_nobody_out() -> None:
    """Every place is taken by a connection that says nothing; Prometheus is answered all the same, and nobody is alarmed."""
    with closing(serve_metrics("127.0.0.1:0", CollectorRegistry())) as server, ExitStack() as crowd:
        silent = [
            crowd.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            for _ in range(2 * SIMULTANEOUS)
        ]
        assert httpx.get(f"http://127.0.0.1:{server.port}/metrics").status_code == 200
        assert silent[0].recv(1) == b""
