"""Who is served by a server of plain threads: so many at once, each within a time, and who dawdles makes room for who comes."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import BoundedSemaphore, Lock
from time import monotonic

MOMENT = 0.25
"""Seconds in which one that was cut off is gone."""


class Clients:
    """Thread-safe. most: at once. within: seconds in which a request must be here as a whole.

    Where all places are taken, the one that has been sending for longest loses its place: a crowd of connections that say nothing
    keeps nobody out who does.
    """

    def __init__(self, most: int, within: float) -> None:
        self.within = within
        self._places = BoundedSemaphore(most)
        self._lock = Lock()
        self._sending: dict[socket.socket, float] = {}  # until when, the oldest first

    @property
    def full(self) -> bool:
        """Whether all places are taken, by whomever."""
        if not self._places.acquire(blocking=False):
            return True
        self._places.release()
        return False

    def let_in(self, client: socket.socket) -> bool:
        """Whether there is a place; whoever gets one gives it back by `leave`."""
        if not self._places.acquire(blocking=False):
            with self._lock:
                oldest = next(iter(self._sending), None)
            if oldest is None:
                return False
            self._cut_off(oldest)
            if not self._places.acquire(timeout=MOMENT):
                return False
        with self._lock:
            self._sending[client] = monotonic() + self.within
        return True

    def has_sent(self, client: socket.socket) -> None:
        """The request is here as a whole: from now on it is we who take time."""
        with self._lock:
            self._sending.pop(client, None)

    def leave(self, client: socket.socket) -> None:
        self.has_sent(client)
        self._places.release()

    def cut_off_late(self) -> None:
        """To be called every so often: whoever sends too slowly is cut off, however busily."""
        with self._lock:
            late = [client for client, until in self._sending.items() if monotonic() > until]
        for client in late:
            self._cut_off(client)

    def _cut_off(self, client: socket.socket) -> None:
        self.has_sent(client)
        with suppress(OSError):  # it has gone by itself
            client.shutdown(socket.SHUT_RDWR)
