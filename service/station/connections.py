"""One connection of the station, bounded: how large a head may be, how long a request and a reader may take, how many there may be."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST: Final = 256
HEAD: Final = 65_536
"""Bytes of a request that are none of its body: its head, what frames its chunks, what trails behind."""
HEAD_WITHIN: Final = 10.0
"""Seconds for a head, and for the next request on a connection that is kept."""
WHOLE_WITHIN: Final = 60.0
"""Seconds for a whole request."""
TAKEN_WITHIN: Final = 30.0
"""Seconds in which who is answered must have taken some of it."""


class Bounded(HttpToolsProtocol):
    """A client is waited for by one timer at a time. Where all places are taken, the one that has been waited for longest loses its place: a
    crowd of connections that say nothing keeps nobody out who does. The times are attributes, for tests."""

    head_within, whole_within, taken_within = HEAD_WITHIN, WHOLE_WITHIN, TAKEN_WITHIN

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._no_body = 0
        self._too_large = False
        self._waits: asyncio.TimerHandle | None = None
        self._writes: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._make_room()
        self._wait(self.head_within)

    def _make_room(self) -> None:
        waited_for = {one: one._waits.when() for one in self.connections if isinstance(one, Bounded) and one._waits}
        if len(self.connections) > MOST and waited_for:
            oldest = min(waited_for, key=lambda one: waited_for[one])
            oldest.transport.abort()
            self.connections.discard(oldest)  # it does so itself, later

    def _wait(self, seconds: float) -> None:
        """Then nobody waits any more."""
        self._wait_no_more()
        self._waits = self.loop.call_later(seconds, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._no_body += len(data)
        super().data_received(data)
        if self._no_body > HEAD and not self.transport.is_closing():
            self.send_400_response("The head is too large.")

    def send_400_response(self, msg: str) -> None:
        """Of what is no HTTP, too."""
        kind = STATUS_LINE[431 if self._too_large or self._no_body > HEAD else 400]
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(msg)
        self.transport.write(kind + head + msg.encode("ascii"))
        self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait(self.head_within)

    def on_headers_complete(self) -> None:
        self._too_large = len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD
        if self._too_large:
            raise ValueError("the head is too large")
        super().on_headers_complete()
        self._wait(self.whole_within)

    def on_body(self, body: bytes) -> None:
        self._no_body -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._no_body = 0
        super().on_message_complete()
        if self.cycle.response_complete:
            self._wait(self.head_within)
        else:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # no other request waits behind it
            self._wait(self.head_within)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writes = self.loop.call_later(self.taken_within, self.transport.abort)

    def resume_writing(self) -> None:
        if self._writes is not None:
            self._writes.cancel()
            self._writes = None
        super().resume_writing()
