"""`push://127.0.0.1:8081?token_file=/secret&limit=32MB`: pictures are sent to us, the answer is the verdict.

`POST /v1/parts` with the picture as body, or as the one file of a multipart form. `part_id`, `captured_at` (ISO 8601 with
zone, or seconds since 1970), `lot` and `trigger` (the running number of the line's trigger: a gap is a part that was not
inspected) are optional query parameters. The answer leaves once the record is on disk; the
same part id again answers the verdict of record. Without a token only this machine may send.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread
from urllib.parse import SplitResult

from service.cameras.http import Answer, Pushed, PushServer
from service.cameras.options import AbsolutePath, Bytes, Options, Seconds, parsed, unusable
from service.errors import BadImage
from service.ports import Clock, Meter
from service.records import Frame, Verdict

WAITING = 64
ANSWER_WITHIN = 30.0


class PushOptions(Options):
    """limit: bytes of one request's body. max_age: how old a picture may be."""

    token_file: AbsolutePath | None = None
    limit: Bytes = 32_000_000
    max_age: Seconds = 86400.0


class _Waiting:
    """A request that waits for its verdict."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.answer: Answer | None = None
        self.answered = Event()

    def settle(self, answer: Answer) -> None:
        """The first answer holds: a verdict that was released is not taken back by closing."""
        self.answer = self.answer or answer
        self.answered.set()


def _busy(why: str) -> Answer:
    return Answer(503, {"detail": why})


class Push:
    """Fulfils ports.Camera. Listens from the start, takes parts while `frames` is read."""

    live = False

    def __init__(
        self,
        url: SplitResult,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        known: Callable[[Sequence[str]], Mapping[str, float]],
    ) -> None:
        self.name = name
        options = parsed(PushOptions, url, name)
        if not url.hostname or url.port is None or url.path not in ("", "/") or url.username is not None:
            raise unusable(name, url, "expected push://host:port")
        token = _token(url, name, options)
        if not token and not _is_loopback(url.hostname):
            raise unusable(name, url, "another address than this machine's own needs the option token_file")
        self._line = line
        self._meter = meter
        self._inbox: Queue[_Waiting] = Queue(maxsize=WAITING)
        self._waiting: dict[int, _Waiting] = {}
        self._lock = Lock()
        self._taking = False
        try:
            self._server = PushServer(
                (url.hostname, url.port), self._inspect, clock, token, options.limit, options.max_age
            )
        except OSError as error:
            raise unusable(name, url, f"cannot listen there: {error.strerror}") from error
        self._thread = Thread(target=self._server.serve_forever, name=f"push-{name}", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens; of use when the URL asked for port 0."""
        return int(self._server.server_address[1])

    def frames(self, stopping: Event) -> Iterator[Frame]:
        self._meter.camera_up(self.name, True)
        self._taking = True
        while not stopping.is_set():
            try:
                yield self._inbox.get(timeout=0.2).frame
            except Empty:
                continue
        self._taking = False
        self._meter.camera_up(self.name, False)

    def _inspect(self, pushed: Pushed) -> Answer:
        """Runs in the request's own thread: hands the picture to the line and waits for what becomes of it."""
        frame = Frame(
            pushed.part_id, self._line, self.name, pushed.captured_at, pushed.content, pushed.lot, pushed.trigger
        )
        waiting = _Waiting(frame)
        if not self._taking:
            return _busy("the line takes no parts just now")
        with self._lock:
            self._waiting[id(frame)] = waiting
        try:
            self._inbox.put_nowait(waiting)
            waiting.answered.wait(ANSWER_WITHIN)
        except Full:
            self._meter.dropped(self.name, "line_full")
            return _busy("the line is full")
        finally:
            with self._lock:
                self._waiting.pop(id(frame), None)
        return waiting.answer or _busy("no verdict yet: ask again with the same part_id")

    def _settle(self, frame: Frame, answer: Answer) -> None:
        with self._lock:
            waiting = self._waiting.get(id(frame))
        if waiting is not None:
            waiting.settle(answer)

    def released(self, frame: Frame, verdict: Verdict) -> None:
        body = {
            "part_id": verdict.part_id,
            "verdict": verdict.outcome.value,
            "predicted": verdict.predicted,
            "scores": list(verdict.scores),
            "model": verdict.model,
        }
        self._settle(frame, Answer(200, {**body, "image": verdict.image} if verdict.image else body))

    def refused(self, frame: Frame, fault: BadImage) -> None:
        self._settle(frame, Answer(422, {"detail": str(fault), "reason": fault.reason, "part_id": frame.part_id}))

    def handed_on(self, frame: Frame) -> None:
        """202: it will be judged, elsewhere; the verdict is in the ledger, and where the workers release it."""
        self._settle(frame, Answer(202, {"part_id": frame.part_id, "verdict": None}))

    def close(self) -> None:
        """Whoever still waits is told to come again."""
        self._taking = False
        with self._lock:
            waiting = list(self._waiting.values())
        for one in waiting:
            one.settle(_busy("the line has stopped"))
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _token(url: SplitResult, name: str, options: PushOptions) -> bytes:
    if options.token_file is None:
        return b""
    try:
        token = options.token_file.read_bytes().strip()
    except OSError as error:
        raise unusable(name, url, f"option token_file: cannot be read: {error.strerror}") from error
    if len(token) < 16:
        raise unusable(name, url, "option token_file: expected a token of 16 characters or more")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
