"""A real nats-server with JetStream on a free loopback port, with a store folder of its own; it may be stopped and started again."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection
from typing import Any, TypeVar

from tests.servers import awaited, free_port, program, until

T = TypeVar("T")


@dataclass
class Nats:
    folder: Path
    settings: str = ""
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "{self.address}"\njetstream: {{store_dir: "{self.folder}/store"}}\n{self.settings}\n'
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program("nats-server"), "-c", str(config)], stdout=log, stderr=log)
        until(self._answers, "nats-server listens")

    def stop(self) -> None:
        """In order: what it has acknowledged is on disk. Killed, it may lose the newest of it, unless told to sync each."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def kill(self) -> None:
        """As the kernel would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with suppress(OSError):
            create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def ask(self, question: Callable[[Any], Awaitable[T]], **options: Any) -> T:
        """As a client of its own would: question gets the JetStream."""

        async def asked() -> T:
            import nats

            client = await nats.connect(f"nats://{self.address}", **options)
            try:
                return await question(client.jetstream())
            finally:
                await client.close()

        return awaited(asked())

    def messages(self, stream: str) -> int:
        """How many a stream holds; 0 before there is one."""
        from nats.js.errors import NotFoundError

        try:
            return int(self.ask(lambda server: server.stream_info(stream)).state.messages)
        except NotFoundError:
            return 0

    def unacknowledged(self, stream: str, durable: str) -> int:
        """How many frames a consumer has not been given, or has not acknowledged."""
        info = self.ask(lambda server: server.consumer_info(stream, durable))
        return int(info.num_pending) + int(info.num_ack_pending)

    def lying(self, stream: str, header: str) -> list[str]:
        """What the messages of a stream have in this header."""
        from nats.js.errors import NotFoundError

        async def read(server: Any) -> list[str]:
            state = (await server.stream_info(stream)).state
            found = []
            for sequence in range(state.first_seq, state.last_seq + 1):
                with suppress(NotFoundError):
                    found.append((await server.get_msg(stream, sequence)).headers[header])
            return found

        return self.ask(read)


@contextmanager
def running(folder: Path, settings: str = "") -> Iterator[Nats]:
    """settings: more of nats-server's own configuration."""
    folder.mkdir()
    server = Nats(folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
