"""A NATS server with JetStream, for threads that wait: its client lives in an event loop in a thread of its own.

Reconnects for ever. What a frame is called on the wire stands here, once, for who publishes and who pulls.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult

import structlog

from service.errors import InvalidInput
from service.options import AbsolutePath, Options
from service.urls import redacted

if TYPE_CHECKING:
    from nats.js import JetStreamContext

log = structlog.get_logger()

SCHEMES = ("nats", "tls")
CONNECT_SECONDS = 5
AGAIN_AFTER = 1.0
DUPLICATES = 600.0
"""Seconds in which the server takes a part id once. Later the ledger does."""

PART, CAPTURED_AT, LOT = "Redrabbit-Part", "Redrabbit-Captured-At", "Redrabbit-Lot"
CAMERA, REASON = "Redrabbit-Camera", "Redrabbit-Reason"
"""Headers of a frame; the last two of a dead letter. Who pulls them believes none."""

DEAD_AGE = 30 * 86400.0

T = TypeVar("T")


class Unavailable(Exception):
    """The server is away, or takes nothing just now. Wait, and try again."""


class NatsOptions(Options):
    """How one is let in; each by file, none is for an open server. ca_file: of a private authority."""

    creds_file: AbsolutePath | None = None
    nkey_file: AbsolutePath | None = None
    token_file: AbsolutePath | None = None
    ca_file: AbsolutePath | None = None


def stream_of(url: SplitResult) -> str:
    """The stream that the URL names. Raises ValueError."""
    stream = url.path.strip("/")
    if not url.hostname or not stream.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"expected {url.scheme}://HOST:4222/STREAM, a stream of letters, digits, - and _")
    return stream


def token(name: str) -> str:
    """A name as one token of a subject, which a dot would divide. No name of a line or camera has a `=` or a `+`."""
    return name.replace(".", "=")


def subject(stream: str, line: str, camera: str) -> str:
    """Where the frames of a camera go."""
    return f"{stream}.frames.{token(line)}.{token(camera)}"


def consumer(line: str, camera: str) -> str:
    """The durable consumer that the workers of a line share for a camera."""
    return f"workers+{token(line)}+{token(camera)}"


def dead_stream(stream: str) -> str:
    """Where those lie that nobody could judge."""
    return f"{stream}-dead"


def dead_subject(stream: str, line: str, camera: str) -> str:
    """What those of a camera go by there."""
    return f"{stream}.dead.{token(line)}.{token(camera)}"


class JetStream:
    """One connection. Any thread may call it; `close` when done."""

    def __init__(
        self, url: SplitResult, access: NatsOptions, name: str, quiet: bool = False, connect: bool = True
    ) -> None:
        """name: shown in the server's list of clients. quiet: logs nothing of the connection. connect: at once, not with `start`. Raises InvalidInput: what cannot be read, or is not installed."""
        try:
            from nats.aio.client import Client
        except ImportError as error:
            raise InvalidInput(f"{redacted(url)}: needs the extra `nats`: pip install 'redrabbit[nats]'") from error
        self.shown = redacted(url)
        self._options = connection(url, access, self.shown)
        self._name = name
        self._client = Client()
        self._said = ""
        self._quiet = quiet
        self._ensured: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = Thread(target=self._run, name="nats", daemon=True)
        if connect:
            self.start()

    def start(self) -> None:
        """Connects, again and again until it does. Once."""
        self._thread.start()

    @property
    def up(self) -> bool:
        return bool(self._client.is_connected)

    @property
    def max_payload(self) -> int:
        """Bytes that the server takes in one message. Raises Unavailable before it has said so."""
        if not self.up:
            raise Unavailable(f"{self.shown}: {self._said or 'not connected yet'}")
        return int(self._client.max_payload)

    def ask(self, question: Callable[[JetStreamContext], Awaitable[T]], timeout: float = 5.0) -> T:
        """The answer to what is asked of JetStream, within so many seconds. Raises Unavailable, also for what the server refuses:
        a stream that is full, or not there yet, may be mended while we wait."""
        from nats.errors import Error

        if not self.up:
            raise Unavailable(f"{self.shown}: {self._said or 'not connected yet'}")

        async def asked() -> T:
            return await asyncio.wait_for(question(self._client.jetstream(timeout=timeout)), timeout)

        waiting: Future[T] = self._submit(asked())
        try:
            return waiting.result(timeout + 1)
        except (Error, TimeoutError, Late, OSError) as error:
            waiting.cancel()
            raise Unavailable(f"{self.shown}: {str(error) or type(error).__name__}") from error

    def check(self) -> None:
        """Waits for the connection. Raises InvalidInput where it does not come, or no JetStream answers. Writes nothing."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while not self.up and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            self.ask(lambda server: server.account_info())
        except Unavailable as error:
            raise InvalidInput(str(error)) from error

    def ensure(self, stream: str, max_bytes: int, duplicates: float) -> None:
        """Makes the stream, and that of its dead letters, where they are not there; as somebody has made them, they stay. Once."""
        if stream in self._ensured:
            return
        from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig
        from nats.js.errors import NotFoundError

        frames = StreamConfig(
            name=stream,
            subjects=[f"{stream}.frames.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,  # full, it refuses: cameras wait or drop, counted, and no frame is gone in silence
            max_bytes=max_bytes,
            duplicate_window=duplicates,
        )
        dead = StreamConfig(
            name=dead_stream(stream), subjects=[f"{stream}.dead.>"], max_bytes=max_bytes, max_age=DEAD_AGE
        )

        async def ensured(server: JetStreamContext) -> None:
            for config in (frames, dead):
                try:
                    await server.stream_info(str(config.name))
                except NotFoundError:
                    await server.add_stream(config)

        self.ask(ensured)
        self._ensured.add(stream)

    def tell(self, word: Callable[[JetStreamContext], Awaitable[Any]]) -> None:
        """Has something done without waiting for it; what fails is logged."""

        async def told() -> None:
            try:
                await word(self._client.jetstream())
            except Exception as error:  # noqa: BLE001 - an acknowledgement that is lost comes again by redelivery
                log.warning("not told", to=self.shown, why=str(error) or type(error).__name__)

        with suppress(Unavailable):
            self._submit(told())

    def close(self) -> None:
        """What was told is sent first."""
        with suppress(RuntimeError):  # closed already
            self._loop.call_soon_threadsafe(self._ended.set)
        if self._thread.ident is None:
            self._loop.close()
        else:
            self._thread.join(2 * CONNECT_SECONDS)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Has the loop do it. Raises Unavailable once it has ended."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise Unavailable(f"{self.shown}: closed") from error

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        """Until `close`; leaves no task behind."""
        connecting = asyncio.create_task(self._connect())
        await self._ended.wait()
        connecting.cancel()
        if self.up and (told := asyncio.all_tasks() - {asyncio.current_task(), connecting}):
            await asyncio.wait(told, timeout=1.0)
        with suppress(Exception):  # it is put away, whatever it says to that
            await asyncio.wait_for(self._client.close(), CONNECT_SECONDS)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _connect(self) -> None:
        async def wrong(error: Exception) -> None:
            self._say(str(error) or type(error).__name__)

        async def back() -> None:
            self._said = ""
            log.info("connected again", to=self.shown)

        await self._client.connect(
            name=self._name,
            connect_timeout=CONNECT_SECONDS,
            reconnect_time_wait=AGAIN_AFTER,  # type: ignore[arg-type]
            max_reconnect_attempts=-1,
            error_cb=wrong,
            reconnected_cb=back,
            **self._options,
        )
        if not self._quiet:
            log.info("connected", to=self.shown)

    def _say(self, why: str) -> None:
        if why != self._said and not self._quiet:
            log.warning("not connected", to=self.shown, why=why)
        self._said = why


def connection(url: SplitResult, access: NatsOptions, shown: str) -> Mapping[str, Any]:
    """What nats.connect is told. Raises InvalidInput for a file that cannot be used."""
    options: dict[str, Any] = {"servers": f"{url.scheme}://{url.netloc}"}
    if access.creds_file is not None:
        options["user_credentials"] = str(_readable(access.creds_file, shown))
    if access.nkey_file is not None:
        options["nkeys_seed"] = str(_readable(access.nkey_file, shown))
    if access.token_file is not None:
        options["token"] = _readable(access.token_file, shown).read_text(encoding="utf-8").strip()
    if access.ca_file is not None or url.scheme == "tls":
        authority = None if access.ca_file is None else str(_readable(access.ca_file, shown))
        try:
            options["tls"] = ssl.create_default_context(cafile=authority)
        except ssl.SSLError as error:
            raise InvalidInput(f"{shown}: ca_file {authority}: expected certificates in PEM") from error
    return options


def _readable(file: Path, shown: str) -> Path:
    try:
        file.open("rb").close()
    except OSError as error:
        raise InvalidInput(f"{shown}: {file}: cannot be read: {error.strerror}") from error
    return file
