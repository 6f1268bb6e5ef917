"""`nats://host:4222/STREAM?expire=10m&ahead=256`: frames that `redrabbit camera` published, pulled by any number of workers.

The workers of a line share one durable consumer for each camera. A frame is acknowledged once its record is on disk; one whose worker
dies is delivered again, to whoever is there, and the ledger records no part twice. What three workers have died over, what is too
old, and what is no picture goes to the subject of the dead letters, with the reason. ahead: frames that may be on their way in all
workers together. expire: older frames are not judged any more. Also creds_file, nkey_file, token_file and ca_file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

import structlog
from pydantic import Field

from service.cameras.ids import valid_part_id
from service.cameras.options import Bytes, Seconds, parsed, unusable
from service.errors import BadImage
from service.jetstream import (
    AGAIN_AFTER,
    CAMERA,
    CAPTURED_AT,
    LOT,
    PART,
    REASON,
    JetStream,
    NatsOptions,
    Unavailable,
    consumer,
    dead_stream,
    dead_subject,
    stream_of,
    subject,
)
from service.ports import Clock, Meter
from service.records import Frame, Verdict

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

log = structlog.get_logger()

Word = Callable[["JetStreamContext"], Awaitable[Any]]

AT_ONCE = 16
WAIT = 0.5
SOON = 0.02
ACK_WAIT = 30.0
"""Seconds after which the server gives a frame to somebody else. While its worker lives it says so six times as often."""

TRIES = 3
LONGEST_LOT = 128


class PulledOptions(NatsOptions):
    """ahead: frames on their way in all workers. expire: seconds."""

    ahead: int = Field(default=256, ge=1, le=100_000)
    expire: Seconds | None = Field(default=None, gt=0.0)


class PublishOptions(NatsOptions):
    """max_bytes: of the stream, where it has to be made."""

    max_bytes: Bytes = 10_000_000_000


class Pulled:
    """Fulfils ports.Camera."""

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
        self._options = parsed(PulledOptions, url, name)
        try:
            self._stream = stream_of(url)
        except ValueError as error:
            raise unusable(name, url, str(error)) from error
        self._line = line
        self._meter = meter
        self._clock = clock
        self._lock = Lock()
        self._mine: dict[int, Msg] = {}
        self._of: dict[int, Msg] = {}
        self._ended = Event()
        self._server = JetStream(url, self._options, f"redrabbit worker {line}", connect=False)
        Thread(target=self._hold, args=(self._ended,), name=f"hold-{name}", daemon=True).start()

    def frames(self, stopping: Event) -> Iterator[Frame]:
        self._server.start()
        pulling: JetStreamContext.PullSubscription | None = None
        while not stopping.is_set():
            try:
                if pulling is None:
                    pulling = self._server.ask(self._subscribed)
                    self._meter.camera_up(self.name, True)
                found = self._server.ask(_fetching(pulling), timeout=WAIT + 5)
            except Unavailable as error:
                if pulling is not None or self._server.up:
                    log.warning("no frames", camera=self.name, why=str(error))
                self._meter.camera_up(self.name, False)
                pulling = None
                stopping.wait(AGAIN_AFTER)
                continue
            with self._lock:
                self._mine.update({id(message): message for message in found})
            for message in found:  # stopping or not: who has fetched a frame judges it
                frame = self._frame(message)
                if frame is not None:
                    yield frame
        self._meter.camera_up(self.name, False)

    async def _subscribed(self, server: JetStreamContext) -> JetStreamContext.PullSubscription:
        from nats.js.api import AckPolicy, ConsumerConfig

        durable = consumer(self._line, self.name)
        config = ConsumerConfig(
            durable_name=durable,
            filter_subject=subject(self._stream, self._line, self.name),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=-1,
            max_ack_pending=self._options.ahead,
        )
        await server.add_consumer(self._stream, config)  # or changes it, where the options have changed
        return await server.pull_subscribe_bind(durable, self._stream)

    def _frame(self, message: Msg) -> Frame | None:
        """The frame of a message, which is under way from now on; None for one that goes to the dead letters."""
        headers = message.headers or {}
        part_id, lot = headers.get(PART, ""), headers.get(LOT, "")
        try:
            captured_at = float(headers.get(CAPTURED_AT, ""))
        except ValueError:
            captured_at = float("nan")
        if not valid_part_id(part_id) or not isfinite(captured_at) or len(lot) > LONGEST_LOT or not lot.isprintable():
            self._bury(message, "broken", "headers that are none of ours")
            return None
        deliveries = message.metadata.num_delivered or 1
        if deliveries > 1:
            self._meter.redelivered(self.name)
        if deliveries > TRIES:
            self._bury(message, "given_up", f"{TRIES} workers have ended over it")
            return None
        if self._options.expire is not None and self._clock() - captured_at > self._options.expire:
            self._bury(message, "expired", f"older than {self._options.expire:g} s")
            return None
        frame = Frame(part_id, self._line, self.name, captured_at, bytes(message.data), lot)
        with self._lock:
            self._of[id(frame)] = message
        return frame

    def _bury(self, message: Msg, reason: str, why: str) -> None:
        """To the dead letters, and then out of the stream. Whoever dies in between has it delivered again, and buries it once."""
        log.error("a frame without a verdict", camera=self.name, part=(message.headers or {}).get(PART, ""), why=why)
        with self._lock:
            self._mine.pop(id(message), None)
        headers = {name: value for name, value in (message.headers or {}).items() if name in (PART, CAPTURED_AT, LOT)}
        once = f"{self._stream}/{message.metadata.sequence.stream}"
        headers |= {REASON: f"{reason}: {why}"[:500], CAMERA: self.name, "Nats-Msg-Id": once}
        where = dead_subject(self._stream, self._line, self.name)

        async def buried(server: JetStreamContext) -> None:
            await server.publish(where, message.data, headers=headers)
            await message.ack_sync()
            self._meter.dropped(self.name, reason)

        self._server.tell(buried)

    def _hold(self, ended: Event) -> None:
        """Says of all that are under way that somebody is at it, also while the line is held because its ledger is away; and how many
        wait, or are dead."""
        while not ended.wait(ACK_WAIT / 6):
            with self._lock:
                messages = list(self._mine.values())
            for message in messages:
                self._server.tell(_in_progress(message))
            if self._server.up:
                self._server.tell(self._count)

    async def _count(self, server: JetStreamContext) -> None:
        found = await server.consumer_info(self._stream, consumer(self._line, self.name))
        self._meter.camera_waiting(self.name, found.num_pending or 0)
        dead = dead_subject(self._stream, self._line, self.name)
        lying = await server.stream_info(dead_stream(self._stream), subjects_filter=dead)
        self._meter.camera_dead(self.name, (lying.state.subjects or {}).get(dead, 0))

    def _settled(self, frame: Frame) -> Msg | None:
        with self._lock:
            message = self._of.pop(id(frame), None)
            self._mine.pop(id(message), None)
        return message

    def released(self, frame: Frame, verdict: Verdict) -> None:
        self.handed_on(frame)

    def refused(self, frame: Frame, fault: BadImage) -> None:
        message = self._settled(frame)
        if message is not None:
            self._bury(message, fault.reason, str(fault))

    def handed_on(self, frame: Frame) -> None:
        """Out of the stream."""
        message = self._settled(frame)
        if message is not None:
            self._server.tell(_done(message))

    def close(self) -> None:
        """What was not judged goes to another worker at once."""
        with self._lock:
            messages, self._mine = list(self._mine.values()), {}
        for message in messages:
            self._server.tell(_back(message))
        self._ended.set()
        self._server.close()


def _in_progress(message: Msg) -> Word:
    return lambda _: message.in_progress()


def _back(message: Msg) -> Word:
    return lambda _: message.nak()


def _done(message: Msg) -> Word:
    return lambda _: message.ack()


def _fetching(pulling: JetStreamContext.PullSubscription) -> Callable[[Any], Any]:
    """The next frame as soon as there is one, and those that wait behind it. Who asks for more than there are may wait for the rest."""

    async def fetched(_: JetStreamContext) -> list[Msg]:
        try:
            found: list[Msg] = await pulling.fetch(1, timeout=WAIT)
        except TimeoutError:  # nothing there
            return []
        behind = min(AT_ONCE - 1, found[0].metadata.num_pending or 0)
        if behind:
            with suppress(TimeoutError):  # another worker has taken them
                found += await pulling.fetch(behind, timeout=SOON)
        return found

    return fetched
