"""Frames over a real JetStream: from a camera's machine to whoever is there to judge them, none lost, none judged for nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Event, Thread
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from exporters.rules.health import BATCH
from service.cameras import open_camera, pulled
from service.errors import BadImage, InvalidInput
from service.jetstream import JetStream, NatsOptions
from service.ports import Camera
from service.publishing import Publisher
from service.records import Frame
from tests.cameras.stage import verdict_of
from tests.jetstream import Nats, running
from tests.line import LINE, Counts, Playlist, picture
from tests.servers import free_port, until

MANY = 10**9


class Out(Counts):
    """What a publisher measures."""

    def __init__(self) -> None:
        super().__init__()
        self.out = 0

    def published(self, camera: str) -> None:
        self.out += 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nats]:
    with running(tmp_path / "nats") as started:
        yield started


Parts = Sequence[tuple[str, bytes]]


def _parts(count: int, first: int = 0) -> Parts:
    return [(f"p{n}", picture(n % 10 / 10)) for n in range(first, first + count)]


def _publisher(server: Nats, camera: Camera, opened: ExitStack, max_bytes: int = MANY) -> tuple[Publisher, Out]:
    meter = Out()
    connection = opened.enter_context(
        closing(JetStream(urlsplit(f"nats://{server.address}/parts"), NatsOptions(), "test"))
    )
    return Publisher(LINE, [camera], connection, "parts", max_bytes, meter, lambda: None), meter


def _publish(server: Nats, parts: Parts) -> Playlist:
    camera = Playlist(parts)
    with ExitStack() as opened:
        _publisher(server, camera, opened)[0].run()
    return camera


class Worker:
    """Takes frames of the camera `left`, and does with each what it is told to."""

    def __init__(self, url: str, do: Callable[[Camera, Frame], None], clock: Callable[[], float] = time.time) -> None:
        self.meter = Counts()
        self.seen: list[Frame] = []
        self._camera = open_camera(url, line=LINE, name="left", meter=self.meter, clock=clock, known=lambda _: {})
        self._do = do
        self._stopping = Event()
        self._thread = Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        for frame in self._camera.frames(self._stopping):
            self.seen.append(frame)
            self._do(self._camera, frame)

    @property
    def parts(self) -> list[str]:
        return [frame.part_id for frame in self.seen]

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(30)
        self._camera.close()


def _judge(camera: Camera, frame: Frame) -> None:
    camera.released(frame, verdict_of(frame))


def _ignore(camera: Camera, frame: Frame) -> None:
    """As a worker that dies before its record is on disk."""


@pytest.fixture
def worker(server: Nats) -> Iterator[Callable[..., Worker]]:
    with ExitStack() as opened:

        def start(do: Callable[[Camera, Frame], None] = _judge, query: str = "", **how: object) -> Worker:
            url = f"nats://{server.address}/parts{query}"
            return opened.enter_context(closing(Worker(url, do, **how)))  # type: ignore[arg-type]

        yield start


def test_a_frame_arrives_as_it_was_given(server: Nats, worker: Callable[..., Worker]) -> None:
    """Id, time to the last bit, content, lot; its source is let go of once the server has it, and it is gone once it is judged."""

    class WithLot(Playlist):
        def frames(self, stopping: Event) -> Iterator[Frame]:
            yield Frame("p.1", LINE, "left", 1000.1 + 0.2, picture(0.3), "lot~7")

    camera = WithLot([])
    with ExitStack() as opened:
        publisher, meter = _publisher(server, camera, opened)
        publisher.run()
    assert (camera.handed, meter.out) == (["p.1"], 1)
    assert server.messages("parts") == 1
    there = worker()
    until(lambda: there.seen, "the frame")
    assert there.seen == [Frame("p.1", LINE, "left", 1000.1 + 0.2, picture(0.3), "lot~7")]
    until(lambda: server.messages("parts") == 0, "its acknowledgement")


def test_workers_share_the_frames_and_may_come_and_go(server: Nats, worker: Callable[..., Worker]) -> None:
    """Each frame is one worker's; one that joins gets its share, one that leaves gives back what it has not judged."""
    _publish(server, _parts(60))
    going = Event()
    slow = worker(lambda *_: going.wait(60) and None)
    until(lambda: slow.seen, "the first worker's frames")
    other = worker()
    until(lambda: len(other.seen) >= 40, "the second worker's frames")
    going.set()
    slow.close()
    until(lambda: server.messages("parts") == 0, "all of them judged")
    assert sorted(other.parts) == sorted(f"p{n}" for n in range(60))


def test_fewer_than_a_fetch_make_no_ticket() -> None:
    """The alarm knows how many frames may lie there while the workers keep up."""
    assert BATCH == pulled.AT_ONCE


def test_how_many_wait_is_told(server: Nats, worker: Callable[..., Worker]) -> None:
    """While the workers are busy, and that there are none any more."""
    _publish(server, _parts(60))
    going = Event()

    def slowly(camera: Camera, frame: Frame) -> None:
        going.wait(60)
        _judge(camera, frame)

    with patch.object(pulled, "ACK_WAIT", 2.0):
        slow = worker(slowly)
        until(
            lambda: slow.meter.lag and slow.meter.lag[-1] == 60 - pulled.AT_ONCE,
            "those that wait behind its first ones",
        )
        going.set()
        until(lambda: slow.meter.lag[-1] == 0, "none left")


def test_what_a_dead_worker_had_comes_again(server: Nats, worker: Callable[..., Worker]) -> None:
    """Nobody gives anything back: the server waits, and delivers it to whoever is there."""
    _publish(server, _parts(5))
    with patch.object(pulled, "ACK_WAIT", 1.0), patch.object(pulled.Pulled, "_hold", lambda *_: None):
        dead = worker(_ignore)
        until(lambda: len(dead.seen) == 5, "all frames with the first worker")
        dead._stopping.set()
        other = worker()
        until(lambda: server.messages("parts") == 0, "all of them judged by the other")
    assert sorted(other.parts) == [f"p{n}" for n in range(5)]
    assert other.meter.drops["redelivered"] == 5


def test_a_line_that_is_held_keeps_its_frames(server: Nats, worker: Callable[..., Worker]) -> None:
    """Its ledger may be away for longer than the server waits: it says that somebody is at it."""
    _publish(server, _parts(3))
    with patch.object(pulled, "ACK_WAIT", 0.9):
        held = worker(_ignore)
        until(lambda: len(held.seen) == 3, "all frames")
        time.sleep(3)  # three times what the server waits: there is nothing else to wait for
        assert len(held.seen) == 3
        for frame in list(held.seen):
            _judge(held._camera, frame)
        until(lambda: server.messages("parts") == 0, "they are judged after all")


def test_what_three_workers_died_over_goes_to_the_dead_letters(server: Nats, worker: Callable[..., Worker]) -> None:
    """With the reason, and the picture; the others are judged."""
    _publish(server, _parts(3))

    def fatal(camera: Camera, frame: Frame) -> None:
        if frame.part_id != "p1":
            _judge(camera, frame)

    with patch.object(pulled, "ACK_WAIT", 0.75), patch.object(pulled.Pulled, "_hold", lambda *_: None):
        there = worker(fatal)
        until(lambda: server.messages("parts") == 0, "the stream is empty")
    # A delivery that meets the end of a fetch is a delivery that nobody sees.
    assert 2 <= there.parts.count("p1") <= 3
    until(lambda: there.meter.drops["given_up"] == 1, "it is counted")
    letter = server.ask(lambda js: js.get_last_msg("parts-dead", "parts.dead.a.left"))
    assert letter.headers["Redrabbit-Part"] == "p1" and letter.headers["Redrabbit-Reason"].startswith("given_up: 3 ")
    assert letter.data == _parts(1, 1)[0][1]


def test_what_is_no_picture_goes_there_at_once(server: Nats, worker: Callable[..., Worker]) -> None:
    """It will not be one the next time."""
    _publish(server, [("rubbish", b"no picture")])
    with patch.object(pulled, "ACK_WAIT", 0.6):
        there = worker(lambda camera, frame: camera.refused(frame, BadImage("not_an_image", "10 bytes")))
        until(lambda: server.messages("parts-dead") == 1, "the dead letter")
        until(lambda: server.messages("parts") == 0, "the stream is empty")
        until(lambda: there.meter.dead == 1, "the worker tells of it")
        server.ask(lambda js: js.purge_stream("parts-dead"))
        until(lambda: there.meter.dead == 0, "somebody has taken it out")
    assert there.parts == ["rubbish"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Redrabbit-Part": "../../etc/passwd", "Redrabbit-Captured-At": "1.0"},
        {"Redrabbit-Part": "p", "Redrabbit-Captured-At": "nan"},
        {"Redrabbit-Part": "p", "Redrabbit-Captured-At": "yesterday"},
        {"Redrabbit-Part": "p", "Redrabbit-Captured-At": "1.0", "Redrabbit-Lot": "x" * 200},
    ],
)
def test_headers_are_not_believed(server: Nats, worker: Callable[..., Worker], headers: dict[str, str]) -> None:
    """Whoever may publish may write anything into them."""
    _publish(server, [])
    with ExitStack() as opened:
        publisher, _ = _publisher(server, Playlist(_parts(1)), opened)
        publisher.run()
    server.ask(lambda js: js.publish("parts.frames.a.left", b"x", headers=headers or None))
    there = worker()
    until(lambda: server.messages("parts-dead") == 1, "the dead letter")
    until(lambda: server.messages("parts") == 0, "the stream is empty")
    assert there.parts == ["p0"]


def test_the_same_part_twice_is_one(server: Nats, worker: Callable[..., Worker]) -> None:
    """A publisher that was killed before it heard that the server has it publishes again."""
    for _ in range(2):
        assert _publish(server, _parts(4)).handed == ["p0", "p1", "p2", "p3"]
    assert server.messages("parts") == 4


def test_two_lines_may_share_a_stream(server: Nats) -> None:
    """Parts of the same name, and lines and cameras whose names run into each other: nothing is taken for the other's."""
    with ExitStack() as opened:
        names = (("a-b", "c.d"), ("a", "b-c.d"))
        for line, camera in names:
            playing = Playlist([("p", line.encode())], line=line)
            playing.name = camera
            connection = opened.enter_context(
                closing(JetStream(urlsplit(f"nats://{server.address}/parts"), NatsOptions(), "t"))
            )
            Publisher(line, [playing], connection, "parts", MANY, Out(), lambda: None).run()
            assert playing.handed == ["p"]
        assert server.messages("parts") == 2
        for line, camera in names:
            stopping = Event()
            there = open_camera(
                f"nats://{server.address}/parts",
                line=line,
                name=camera,
                meter=Counts(),
                clock=time.time,
                known=lambda _: {},
            )
            opened.callback(there.close)
            opened.callback(stopping.set)
            frame = next(there.frames(stopping))
            assert (frame.part_id, frame.content) == ("p", line.encode())


def test_another_limit_of_frames_on_their_way_is_taken_up(server: Nats, worker: Callable[..., Worker]) -> None:
    """A consumer that is there already is changed."""
    _publish(server, _parts(12))
    few = worker(_ignore, "?ahead=3")
    until(lambda: len(few.seen) == 3, "three frames")
    few.close()
    many = worker(_ignore, "?ahead=20")
    until(lambda: len(many.seen) == 12, "all of them")


def test_frames_that_were_fetched_and_wait_are_held_too(server: Nats, worker: Callable[..., Worker]) -> None:
    """A line that is held takes none of them: they come to nobody else, and are not delivered anew."""
    _publish(server, _parts(5))
    going = Event()

    def waits(camera: Camera, frame: Frame) -> None:
        going.wait(60)
        _judge(camera, frame)

    with patch.object(pulled, "ACK_WAIT", 0.9):
        held = worker(waits)
        until(lambda: held.seen, "the first")
        time.sleep(3)  # three times what the server waits: there is nothing else to wait for
        going.set()
        until(lambda: server.messages("parts") == 0, "all judged")
    assert held.parts == [f"p{n}" for n in range(5)] and not held.meter.drops["redelivered"]


def test_a_frame_that_is_too_old_is_not_judged(server: Nats, worker: Callable[..., Worker]) -> None:
    """Its part has gone long ago. It is counted, and not silently gone."""
    _publish(server, _parts(4))  # captured at 1000, 1001, 1002, 1003
    there = worker(query="?expire=10s", clock=lambda: 1011.5)
    until(lambda: server.messages("parts") == 0, "the stream is empty")
    assert sorted(there.parts) == ["p2", "p3"]
    until(lambda: there.meter.drops["expired"] == 2, "both are counted")
    assert server.messages("parts-dead") == 2


def test_a_server_that_goes_and_comes_back(server: Nats, worker: Callable[..., Worker]) -> None:
    """What it had is there, what came meanwhile waited at its source; publisher and worker go on by themselves."""
    _publish(server, _parts(10))
    server.stop()
    camera = Playlist(_parts(10, 10))
    with ExitStack() as opened:
        publisher, _ = _publisher(server, camera, opened)
        publishing = Thread(target=publisher.run)
        publishing.start()
        there = worker()
        time.sleep(1.5)
        assert (camera.handed, there.seen) == ([], []), "nobody has what the server has not"
        server.start()
        publishing.join(60)
        until(lambda: len(there.seen) == 20 and server.messages("parts") == 0, "all frames, of before and since")
    assert sorted(there.parts) == sorted(f"p{n}" for n in range(20))
    assert len(camera.handed) == 20 - 10


def test_a_live_camera_loses_what_comes_while_the_server_is_away_and_says_so(tmp_path: Path) -> None:
    """It does not wait: so many are held, the rest are counted."""
    nobody = Nats(tmp_path)
    with ExitStack() as opened:
        camera = Playlist(_parts(100), live=True)
        publisher, meter = _publisher(nobody, camera, opened)
        running_ = Thread(target=publisher.run)
        running_.start()
        until(lambda: meter.drops["line_full"] >= 100 - 32 - 1, "the drops")
        publisher.stop()
        running_.join(30)
        assert not running_.is_alive()
    assert camera.handed == []


def test_a_stream_that_is_full_makes_cameras_wait(server: Nats, worker: Callable[..., Worker]) -> None:
    """Nothing is pushed out of it; when workers have made room, it goes on."""
    camera = Playlist([(f"p{n}", bytes(10_000)) for n in range(30)])
    with ExitStack() as opened:
        publisher, _ = _publisher(server, camera, opened, max_bytes=120_000)
        publishing = Thread(target=publisher.run)
        publishing.start()
        until(lambda: server.messages("parts") >= 10, "the stream is full")
        time.sleep(1.5)
        assert publishing.is_alive() and len(camera.handed) < 15
        there = worker()
        publishing.join(120)
        until(lambda: len(there.seen) == 30, "every frame")
    assert sorted(camera.handed) == sorted(f"p{n}" for n in range(30))


def test_a_picture_that_the_server_does_not_take_is_refused(tmp_path: Path) -> None:
    """With what it would take, and the next one goes out."""
    with running(tmp_path / "small", "max_payload: 20000") as server:
        camera = _publish(server, [("large", bytes(30_000)), ("p", picture(0.5))])
        assert (camera.set_aside, camera.handed) == ([("large", "too_large")], ["p"])
        assert server.messages("parts") == 1


def test_a_server_with_a_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By file. Without it, or with another, the log says so; the URL shows none."""
    with running(tmp_path / "closed", "authorization: {token: hush}") as server, ExitStack() as opened:
        secret, wrong = tmp_path / "token", tmp_path / "wrong"
        secret.write_text("hush\n")
        wrong.write_text("loud\n")
        url = urlsplit(f"nats://{server.address}/parts")
        good = opened.enter_context(closing(JetStream(url, NatsOptions(token_file=secret), "test")))
        bad = opened.enter_context(closing(JetStream(url, NatsOptions(token_file=wrong), "test")))
        until(lambda: good.up, "the right token")
        until(lambda: "authorization violation" in capsys.readouterr().out.lower(), "what is wrong with the other")
        assert not bad.up


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nats://127.0.0.1:4222", "expected nats://HOST:4222/STREAM"),
        ("nats://127.0.0.1:4222/a.b", "a stream of letters, digits, - and _"),
        ("nats:///parts", "expected nats://HOST:4222/STREAM"),
        ("nats://127.0.0.1/parts?aheed=3", "unknown option 'aheed'"),
        ("nats://127.0.0.1/parts?ahead=0", "option ahead"),
        ("nats://127.0.0.1/parts?token_file=/no/where", "/no/where: cannot be read"),
        ("tls://127.0.0.1/parts?ca_file=/etc/hostname", "expected certificates in PEM"),
    ],
)
def test_bad_input_is_one_line(url: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused, suppress(AttributeError):
        open_camera(url, line=LINE, name="left", meter=Counts(), clock=time.time, known=lambda _: {})
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_nobody_runs_is_a_camera_that_is_down() -> None:
    """It may come; a line starts without it, and ends without it."""
    there = Worker(f"nats://127.0.0.1:{free_port()}/parts", _judge)
    time.sleep(0.5)
    started = time.monotonic()
    there.close()
    assert not there._thread.is_alive()
    assert time.monotonic() - started < 30
