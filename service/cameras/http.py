"""The HTTP side of `push://`: one request a connection, everything bounded - bodies, connections, and how long they may take."""

from __future__ import annotations

import hmac
import json
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import structlog
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from service.cameras.ids import PATTERN, valid_part_id
from service.ports import Clock

log = structlog.get_logger()

CONNECTIONS = 128
READ_WITHIN = 15.0
FUTURE = 60.0
PIECE = 65536
_DETAIL = b'{"detail": "too many connections; come again"}'
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_DETAIL), _DETAIL)
)
_TIME: TypeAdapter[Any] = TypeAdapter(AwareDatetime)
FIELDS = ("part_id", "captured_at", "lot", "trigger")
_TRIGGER = re.compile(r"[0-9]{1,18}")
_LOT = re.compile(r"[^\x00-\x1f\x7f]{0,128}")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A part as it was sent: its fields checked, its picture not."""

    part_id: str
    captured_at: float
    lot: str
    trigger: int | None
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told. A 503 carries Retry-After."""

    status: int
    body: Mapping[str, object]


class Refused(Exception):
    """The request is not taken; says what the sender is told."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.answer = Answer(status, {"detail": detail})


class PushServer(ThreadingHTTPServer):
    """Raises OSError when it cannot listen. token: b"" for none. limit: bytes. max_age: seconds.

    read_within: seconds in which a request must be here as a whole.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(
        self,
        address: tuple[str, int],
        inspect: Callable[[Pushed], Answer],
        clock: Clock,
        token: bytes,
        limit: int,
        max_age: float,
        read_within: float = READ_WITHIN,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.inspect = inspect
        self.clock = clock
        self.token = token
        self.limit = limit
        self.max_age = max_age
        self.read_within = read_within
        self._slots = BoundedSemaphore(CONNECTIONS)
        self._reading: dict[socket.socket, float] = {}
        self._lock = Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """As the base class, without its look-up of our own name, which may hang."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self._turn_away(request)
            return
        with self._lock:
            self._reading[request] = monotonic() + self.read_within
        super().process_request(request, client_address)

    def _turn_away(self, request: socket.socket) -> None:
        """Says so without a thread and without waiting: the answer fits into any socket's buffer."""
        request.setblocking(False)
        with suppress(OSError):  # it has gone by itself
            request.recv(PIECE)  # closing with bytes unread would cut off the answer
        with suppress(OSError):
            request.sendall(TOO_MANY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.has_read(request)
            self._slots.release()

    def has_read(self, request: socket.socket) -> None:
        """The request is here as a whole: from now on it is we who take time."""
        with self._lock:
            self._reading.pop(request, None)

    def service_actions(self) -> None:
        """Called twice a second: cuts off who sends too slowly."""
        with self._lock:
            late = [request for request, until in self._reading.items() if monotonic() > until]
        for request in late:
            self.has_read(request)
            with suppress(OSError):  # it has gone by itself
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that went away; the base class prints a traceback."""
        log.warning("request failed", client=str(client_address[0]), exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "redrabbit"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self._push.read_within)

    @property
    def _push(self) -> PushServer:
        return cast(PushServer, self.server)

    def do_GET(self) -> None:
        healthy = urlsplit(self.path).path == "/healthz"
        self._send(Answer(200, {"status": "ok"}) if healthy else Answer(404, {"detail": "no such page"}))

    def do_POST(self) -> None:
        try:
            pushed = self._pushed()
        except Refused as refused:
            self._send(refused.answer)
            return
        self._push.has_read(self.connection)
        self._send(self._push.inspect(pushed))

    def _pushed(self) -> Pushed:
        url = urlsplit(self.path)
        if url.path != "/v1/parts":
            raise Refused(404, "no such page; expected POST /v1/parts")
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if self._push.token and not hmac.compare_digest(given, b"Bearer " + self._push.token):
            raise Refused(401, "expected the header Authorization: Bearer with this camera's token")
        content = self._body()
        fields = _fields(url.query)
        part_id = fields.get("part_id", uuid4().hex)
        if not valid_part_id(part_id):
            raise Refused(422, f"part_id: expected {PATTERN} without ..")
        lot = fields.get("lot", "")
        if _LOT.fullmatch(lot) is None:
            raise Refused(422, "lot: expected at most 128 printable characters")
        trigger = fields.get("trigger")
        if trigger is not None and _TRIGGER.fullmatch(trigger) is None:
            raise Refused(422, "trigger: expected a running number of at most 18 digits")
        captured_at = self._captured_at(fields.get("captured_at"))
        return Pushed(part_id, captured_at, lot, None if trigger is None else int(trigger), content)

    def _captured_at(self, text: str | None) -> float:
        now = self._push.clock()
        if text is None:
            return now
        try:
            captured_at = float(_TIME.validate_python(text).timestamp())
        except (ValidationError, OverflowError):
            raise Refused(422, "captured_at: expected ISO 8601 with a zone, or seconds since 1970") from None
        if captured_at > now + FUTURE:
            raise Refused(422, f"captured_at: {captured_at - now:.0f} s in the future; expected at most {FUTURE:.0f} s")
        if captured_at < now - self._push.max_age:
            raise Refused(
                422, f"captured_at: {now - captured_at:.0f} s old; expected at most {self._push.max_age:.0f} s"
            )
        return captured_at

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,18}", length) or "Transfer-Encoding" in self.headers:
            raise Refused(411, "expected the header Content-Length")
        if int(length) > self._push.limit:
            self._forget(min(int(length), 4 * self._push.limit))
            raise Refused(413, f"{length} bytes; expected at most {self._push.limit}")
        content = self.rfile.read(int(length))
        if len(content) != int(length):
            raise Refused(400, f"{len(content)} of {length} bytes came")
        kind = self.headers.get("Content-Type", "")
        return _file_of(kind, content) if kind.lower().startswith("multipart/") else content

    def _forget(self, length: int) -> None:
        """Reads what is refused anyway: most senders look at the answer only when they have sent all."""
        while length > 0 and (piece := self.rfile.read(min(length, PIECE))):
            length -= len(piece)

    def _send(self, answer: Answer) -> None:
        content = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        if answer.status == 503:
            self.send_header("Retry-After", "1")
        if answer.status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are counted, not logged."""


def _fields(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, _ in pairs:
        if name not in FIELDS:
            raise Refused(422, f"unknown query parameter; expected {', '.join(FIELDS)}")
    if len(dict(pairs)) != len(pairs):
        raise Refused(422, "a query parameter is given twice")
    return dict(pairs)


def _file_of(kind: str, content: bytes) -> bytes:
    """The one file of a multipart form."""
    head = b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + content)
    files = [part for part in message.iter_parts() if not part.is_multipart()] if message.is_multipart() else []
    if len(files) != 1:
        raise Refused(422, f"a form of {len(files)} parts; expected one, the picture")
    return cast(bytes, files[0].get_payload(decode=True))
