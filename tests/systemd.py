"""The receiving end of $NOTIFY_SOCKET, as systemd has it."""

from __future__ import annotations

import socket
import time


class Systemd:
    """The receiving end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(60.0)

    def next(self) -> str:
        return self._socket.recv(4096).decode()

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing comes for so long, once what has been sent already is read."""
        self._socket.settimeout(seconds)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 10.0:
                self.next()
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(60.0)
        return False

    def close(self) -> None:
        self._socket.close()
