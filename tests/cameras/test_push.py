"""A worker's own HTTP server: pictures in, verdicts out, and senders that misbehave."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from service.cameras import open_camera
from service.cameras.http import CONNECTIONS, Answer, Pushed, PushServer
from service.cameras.push import Push
from service.errors import BadImage, InvalidInput
from tests.cameras.stage import NOW, CountingMeter, opened, verdict_of
from tests.servers import until


class Sender:
    """A push camera whose line answers every part: pictures that begin with "bad" are refused."""

    def __init__(self, options: str) -> None:
        self.stopping = Event()
        camera = opened(f"push://127.0.0.1:0{options}")
        assert isinstance(camera, Push)
        self.camera = camera
        self.url = f"http://127.0.0.1:{camera.port}/v1/parts"
        self.contents: dict[str, bytes] = {}
        self.frames: list[object] = []
        self._line = Thread(target=self._inspect)
        self._line.start()
        while not camera._taking:  # the line is there once it reads
            Event().wait(0.01)

    def _inspect(self) -> None:
        for frame in self.camera.frames(self.stopping):
            assert isinstance(frame.content, bytes)
            self.frames.append(frame)
            if frame.content.startswith(b"bad"):
                self.camera.refused(frame, BadImage("broken", "cannot be decoded"))
            else:
                self.contents.setdefault(frame.part_id, frame.content)
                self.camera.released(frame, verdict_of(frame))

    def close(self) -> None:
        self.stopping.set()
        self._line.join()
        self.camera.close()


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender("?limit=1MB")
    yield sender
    sender.close()


def test_a_picture_is_answered_with_its_verdict(sender: Sender) -> None:
    """The answer carries part, verdict, class, scores and model."""
    answer = httpx.post(sender.url, params={"part_id": "p-1", "lot": "L7"}, content=b"picture")
    assert answer.status_code == 200
    assert answer.json() == {
        "part_id": "p-1",
        "verdict": "reject",
        "predicted": "crack",
        "scores": [0.1, 0.9],
        "model": "digest",
    }


def test_the_number_of_the_trigger_comes_with_the_picture(sender: Sender) -> None:
    """Where the sender knows it; a gap in it is a part that was never photographed."""
    for params in ({"part_id": "p-1", "trigger": "4711"}, {"part_id": "p-2"}):
        assert httpx.post(sender.url, params=params, content=b"picture").status_code == 200
    assert [frame.trigger for frame in sender.frames] == [4711, None]  # type: ignore[attr-defined]


def test_a_part_without_a_name_is_given_one(sender: Sender) -> None:
    """Two pictures without part_id are two parts."""
    ids = {httpx.post(sender.url, content=b"same").json()["part_id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_form_carries_the_picture_byte_by_byte(sender: Sender) -> None:
    """Every byte value and every line end comes through a multipart form as it was sent."""
    content = bytes(range(256)) * 40 + b"\r\n\n\r--\r\n"
    answer = httpx.post(sender.url, params={"part_id": "form"}, files={"image": ("x.png", content)})
    assert answer.status_code == 200
    assert sender.contents["form"] == content


def test_a_form_of_two_files_is_refused(sender: Sender) -> None:
    """A form must hold one picture."""
    answer = httpx.post(sender.url, files=[("a", b"1"), ("b", b"2")])
    assert (answer.status_code, "one, the picture" in answer.json()["detail"]) == (422, True)


def test_a_picture_that_cannot_be_judged_is_answered_with_the_reason(sender: Sender) -> None:
    """refused() reaches the sender as 422."""
    answer = httpx.post(sender.url, content=b"bad")
    assert (answer.status_code, answer.json()["reason"]) == (422, "broken")


@pytest.mark.parametrize(
    "parameters",
    [
        {"part_id": "../../etc/passwd"},
        {"part_id": ""},
        {"captured_at": "yesterday"},
        {"captured_at": "nan"},
        {"captured_at": "2026-01-01T00:00:00"},
        {"captured_at": str(NOW + 3600)},
        {"captured_at": str(NOW - 2 * 86400)},
        {"lot": "a\nb"},
        {"trigger": "-1"},
        {"trigger": "9" * 19},
        {"other": "1"},
    ],
)
def test_fields_that_make_no_sense_are_refused(sender: Sender, parameters: dict[str, str]) -> None:
    """Ids that look like paths, times without zone, in the future or long gone, control characters: 422, nothing inspected."""
    answer = httpx.post(sender.url, params=parameters, content=b"x")
    assert (answer.status_code, sender.frames) == (422, [])


@pytest.mark.parametrize("text", [str(NOW - 1.5), "2026-03-01T11:59:58.5Z", "2026-03-01T12:59:58.5+01:00"])
def test_capture_times_are_understood(sender: Sender, text: str) -> None:
    """Seconds since 1970 and ISO 8601 with a zone mean the same moment."""
    assert httpx.post(sender.url, params={"captured_at": text}, content=b"x").status_code == 200
    assert [frame.captured_at for frame in sender.frames] == [NOW - 1.5]  # type: ignore[attr-defined]


def test_a_body_too_large_is_refused(sender: Sender) -> None:
    """413, and it never reaches the line."""
    answer = httpx.post(sender.url, content=bytes(1_000_001))
    assert (answer.status_code, sender.frames) == (413, [])


def test_a_body_without_length_is_refused(sender: Sender) -> None:
    """Chunked bodies have no bound that can be checked first: 411."""
    assert httpx.post(sender.url, content=iter([b"a", b"b"])).status_code == 411


def test_many_senders_are_each_answered_with_their_own_part(sender: Sender) -> None:
    """Answers do not get mixed up."""

    def send(number: int) -> str:
        answer = httpx.post(sender.url, params={"part_id": f"p{number}"}, content=b"x", timeout=30)
        return str(answer.json()["part_id"])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(send, range(100))) == [f"p{number}" for number in range(100)]


def test_a_sender_that_stops_half_way_leaves_the_server_alive(sender: Sender) -> None:
    """A body that ends early is no part; the next one is served."""
    with socket.create_connection(("127.0.0.1", sender.camera.port)) as connection:
        connection.sendall(b"POST /v1/parts HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert httpx.post(sender.url, params={"part_id": "after"}, content=b"x").status_code == 200
    assert list(sender.contents) == ["after"]


def test_health_is_served(sender: Sender) -> None:
    """GET /healthz says ok; other pages are not there."""
    assert httpx.get(sender.url.replace("/v1/parts", "/healthz")).json() == {"status": "ok"}
    assert httpx.get(sender.url).status_code == 404


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    """Without the token 401; with it 200."""
    (tmp_path / "token").write_text("0123456789abcdef0123\n")
    sender = Sender(f"?token_file={tmp_path}/token")
    try:
        assert httpx.post(sender.url, content=b"x").status_code == 401
        wrong = {"Authorization": "Bearer 0123456789abcdef0124"}
        assert httpx.post(sender.url, content=b"x", headers=wrong).status_code == 401
        right = {"Authorization": "Bearer 0123456789abcdef0123"}
        assert httpx.post(sender.url, content=b"x", headers=right).status_code == 200
    finally:
        sender.close()


def test_before_and_after_the_line_runs_senders_are_told_to_come_again() -> None:
    """503 with Retry-After while nobody takes parts."""
    camera = opened("push://127.0.0.1:0")
    assert isinstance(camera, Push)
    answer = httpx.post(f"http://127.0.0.1:{camera.port}/v1/parts", content=b"x")
    camera.close()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_full_line_says_busy_and_a_stopped_one_answers_who_waits() -> None:
    """64 may wait; the others get 503 at once, and those who wait get theirs when the worker closes the camera."""
    meter = CountingMeter()
    camera = opened("push://127.0.0.1:0", meter=meter)
    assert isinstance(camera, Push)
    frames = camera.frames(Event())
    first = ThreadPoolExecutor(1).submit(next, frames)
    url = f"http://127.0.0.1:{camera.port}/v1/parts"
    with ThreadPoolExecutor(80) as pool:
        answers = [pool.submit(httpx.post, url, content=b"x", timeout=60) for _ in range(80)]
        first.result()
        while meter.drops["line_full"] < 15:
            Event().wait(0.01)
        camera.close()
        assert [answer.result().status_code for answer in answers] == [503] * 80
    assert meter.drops["line_full"] == 15


@pytest.fixture
def server() -> Iterator[PushServer]:
    """The HTTP side alone, with little patience."""
    server = PushServer(
        ("127.0.0.1", 0), lambda pushed: Answer(200, {}), lambda: NOW, b"", limit=1000, max_age=60, read_within=0.3
    )
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_slow_sender_is_cut_off(server: PushServer) -> None:
    """Byte after byte, each in good time, is still too slow: the request as a whole has its limit."""
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(b"POST /v1/parts HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        connection.settimeout(0.05)
        answer = b""
        while True:
            try:
                connection.sendall(b"x")
                if not (piece := connection.recv(1000)):
                    break
                answer += piece
            except TimeoutError:
                continue
            except OSError:
                break
    assert b" 200 " not in answer
    url = f"http://127.0.0.1:{server.server_port}/v1/parts"
    assert httpx.post(url, content=b"x").status_code == 200


def test_who_says_nothing_makes_room(server: PushServer) -> None:
    """Where all places are taken by connections that send nothing, the oldest of them is cut off and the picture is inspected."""
    address = ("127.0.0.1", server.server_port)
    server.clients.within = 600.0
    with ExitStack() as idle:
        silent = [idle.enter_context(socket.create_connection(address, timeout=20)) for _ in range(CONNECTIONS)]
        until(lambda: server.clients.full, "all places are taken")
        assert httpx.post(f"http://127.0.0.1:{server.server_port}/v1/parts", content=b"x").status_code == 200
        assert silent[0].recv(1) == b""


def test_one_picture_too_many_is_told_to_come_again() -> None:
    """503 with Retry-After where every place is taken by a picture that is being inspected."""
    go = Event()

    def slow(pushed: Pushed) -> Answer:
        go.wait(60)
        return Answer(200, {})

    server = PushServer(("127.0.0.1", 0), slow, lambda: NOW, b"", limit=1000, max_age=60)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/v1/parts"
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        inspected = [pool.submit(httpx.post, url, content=b"x", timeout=60) for _ in range(CONNECTIONS)]
        until(lambda: server.clients.full and not server.clients._sending, "all are being inspected")
        answer = httpx.post(url, content=b"x")
        go.set()
        assert {one.result().status_code for one in inspected} == {200}
    server.shutdown()
    server.server_close()
    thread.join()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_addresses_that_cannot_be_served_are_one_line(tmp_path: Path) -> None:
    """A port in use, an open address without a token, a token file that is not there."""
    taken = opened("push://127.0.0.1:0")
    assert isinstance(taken, Push)
    for url, why in {
        f"push://127.0.0.1:{taken.port}": "cannot listen there",
        "push://0.0.0.0:0": "needs the option token_file",
        f"push://127.0.0.1:0?token_file={tmp_path}/none": "cannot be read",
        "push://127.0.0.1": "expected push://host:port",
        "push://127.0.0.1:0?limit=lots": "expected a number with one of the units",
    }.items():
        with pytest.raises(InvalidInput, match=why) as caught:
            opened(url)
        assert "\n" not in str(caught.value)
    taken.close()


def test_open_camera_is_the_same_builder() -> None:
    """The table knows push."""
    camera = open_camera(
        "push://127.0.0.1:0", line="l", name="c", meter=CountingMeter(), clock=lambda: NOW, known=lambda ids: {}
    )
    assert camera.live is False
    camera.close()
