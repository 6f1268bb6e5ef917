"""The sign of life of a process, for systemd and for whoever asks its /healthz and /readyz.

systemd is told with one datagram to the socket that $NOTIFY_SOCKET names (sd_notify): less than a library for it would bring.
"""

from __future__ import annotations

import socket
import time

import structlog

log = structlog.get_logger()

EVERY = 1.0
LATE = 60.0
"""Seconds without a beat after which a process hangs; WatchdogSec of the systemd unit says the same. SQLite may wait half of it for its lock."""
PATIENCE = 1.0


class Pulse:
    """Beaten by the loop that matters, and by nothing beside it. address: of systemd's socket, "" where there is none."""

    def __init__(self, address: str = "") -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._last: float | None = None
        self._told = 0.0

    def beat(self) -> None:
        """The loop has come round. The first time says that the process is ready; systemd is told once a second at most."""
        now = time.monotonic()
        if self._last is None:
            self._tell("READY=1")
        self._last = now
        if now - self._told >= EVERY:
            self._told = now
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The process drains: from now on nobody waits for a beat."""
        self._tell("STOPPING=1")

    @property
    def alive(self) -> bool:
        """Whether it beats, or has not begun to."""
        return self._last is None or time.monotonic() - self._last < LATE

    @property
    def ready(self) -> bool:
        """Whether it beats."""
        return self._last is not None and self.alive

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(PATIENCE)
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            log.warning("systemd not told", state=state, why=str(error))
