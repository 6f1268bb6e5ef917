"""The HTTP side of `push://`: one request a connection, everything bounded - bodies, connections, and how long they may take."""

from __future__ import annotations

import hmac
import json
import re
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit
from uuid import uuid4

import structlog
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from service.cameras.forms import NoForm, file_of
from service.cameras.ids import PATTERN, valid_part_id
from service.clients import Clients
from service.ports import Clock

log = structlog.get_logger()

CONNECTIONS = 128
READ_WITHIN = 15.0
BODIES = 16
"""So many of the largest pictures may be on their way at once, in bytes: what a line holds at most before it has looked."""
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
LONGEST_LOT = 128


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
        self.clients = Clients(CONNECTIONS, read_within)
        self._room = BODIES * limit
        self._lock = Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """As the base class, without its look-up of our own name, which may hang."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.clients.let_in(request):
            self._turn_away(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread is to be had
            self.clients.leave(request)
            self._turn_away(request)

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
            self.clients.leave(request)

    def take(self, size: int) -> None:
        """Room for so many bytes more. Raises Refused: all bodies together are no larger than BODIES of the largest."""
        with self._lock:
            if size > self._room:
                raise Refused(503, "too many pictures at once; come again")
            self._room -= size

    def give_back(self, size: int) -> None:
        with self._lock:
            self._room += size

    def service_actions(self) -> None:
        """Called twice a second."""
        self.clients.cut_off_late()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that went away is worth a line; what else goes wrong is a fault of ours. The base class prints."""
        error = sys.exc_info()[1]
        ours = not isinstance(error, OSError)
        log.warning("request failed", client=str(client_address[0]), why=type(error).__name__, exc_info=ours)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "redrabbit"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self._push.clients.within)

    @property
    def _push(self) -> PushServer:
        return cast(PushServer, self.server)

    def do_GET(self) -> None:
        healthy = self._url().path == "/healthz"
        self._send(Answer(200, {"status": "ok"}) if healthy else Answer(404, {"detail": "no such page"}))

    def do_POST(self) -> None:
        self._held = 0
        try:
            self._refuse_strangers()
            pushed = self._pushed()
            self._push.clients.has_sent(self.connection)
            answer = self._push.inspect(pushed)
        except Refused as refused:
            answer = refused.answer
        finally:
            self._push.give_back(self._held)
        self._send(answer)

    def _url(self) -> SplitResult:
        try:
            return urlsplit(self.path)
        except ValueError:  # half an IPv6 address, for one
            return SplitResult("", "", "", "", "")

    def _refuse_strangers(self) -> None:
        if self._url().path != "/v1/parts":
            raise Refused(404, "no such page; expected POST /v1/parts")
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if self._push.token and not hmac.compare_digest(given, b"Bearer " + self._push.token):
            raise Refused(401, "expected the header Authorization: Bearer with this camera's token")

    def _pushed(self) -> Pushed:
        content = self._body()
        fields = _fields(self._url().query)
        part_id = fields.get("part_id", uuid4().hex)
        if not valid_part_id(part_id):
            raise Refused(422, f"part_id: expected {PATTERN} without ..")
        lot = fields.get("lot", "")
        if len(lot) > LONGEST_LOT or not lot.isprintable():
            raise Refused(422, f"lot: expected at most {LONGEST_LOT} printable characters")
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
        pieces = []
        while self._held < int(length) and (piece := self.rfile.read1(min(PIECE, int(length) - self._held))):
            self._push.take(len(piece))  # what has come, not what was announced: that costs a sender nothing
            self._held += len(piece)
            pieces.append(piece)
        if self._held != int(length):
            raise Refused(400, f"{self._held} of {length} bytes came")
        content = b"".join(pieces)
        kind = self.headers.get("Content-Type", "")
        if not kind.lower().startswith("multipart/"):
            return content
        try:
            return file_of(kind, content)
        except NoForm as error:
            raise Refused(422, str(error)) from error

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
