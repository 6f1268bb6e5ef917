"""A real mosquitto on a free loopback port; it may be stopped and started again. And a client that keeps all it hears."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection
from typing import Any

import paho.mqtt.client as paho

from tests.servers import free_port, program, until


@dataclass
class Mosquitto:
    """more: lines of its configuration."""

    folder: Path
    more: str = "allow_anonymous true"
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nuser root\npersistence false\n{self.more}\n")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program("mosquitto"), "-c", str(config)], stdout=log, stderr=log)
        until(self._answers, f"mosquitto listens: {self.folder / 'log'}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        with suppress(OSError):
            create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False


@contextmanager
def broker(folder: Path, more: str = "allow_anonymous true") -> Iterator[Mosquitto]:
    folder.mkdir()
    server = Mosquitto(folder, more)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Listener:
    """results: of NDATA, states: of STATE, as they arrived; it comes back when the broker does."""

    def __init__(self, port: int) -> None:
        self.results: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.subscribed = 0
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("redrabbit/#", qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed += 1

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        kept = self.results if "/NDATA/" in message.topic else self.states
        kept.append(json.loads(message.payload))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        until(lambda: listener.subscribed, "subscribed")
        yield listener
    finally:
        listener.close()
