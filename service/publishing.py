"""Cameras on one machine, workers on others: every frame of a camera goes to a JetStream, and its source is let go of once the server has acknowledged it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Protocol

import structlog

from service.errors import BadImage
from service.images import encode
from service.jetstream import (
    AGAIN_AFTER,
    CAPTURED_AT,
    DUPLICATES,
    LOT,
    PART,
    JetStream,
    Unavailable,
    subject,
)
from service.ports import Camera, Meter
from service.records import Frame
from service.sight import Sight

log = structlog.get_logger()

WAITING = 32
"""Frames of a camera that may wait for the server. A live camera loses those that come on top, counted."""

PUBLISH_SECONDS = 10.0


class PublisherMeter(Meter, Protocol):
    """What a publisher measures."""

    def published(self, camera: str) -> None: ...


class Publisher:
    """Runs the cameras of one line until they end or `stop` is called; then sends what is on its way."""

    def __init__(
        self,
        line: str,
        cameras: Sequence[Camera],
        server: JetStream,
        stream: str,
        max_bytes: int,
        meter: PublisherMeter,
        alive: Callable[[], None],
    ) -> None:
        """max_bytes: of the stream, where it is made; full, it takes no more, and cameras wait. alive: called twice a second."""
        self._line = line
        self._cameras = cameras
        self._server = server
        self._stream = stream
        self._max_bytes = max_bytes
        self._meter = meter
        self._alive = alive
        self._sights = {camera.name: Sight(line, camera.name, meter, time.monotonic) for camera in cameras}
        self._stopping = Event()
        self._failure: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Blocks until all is sent, or while stopping the server takes nothing. Raises what ended a camera."""
        threads = [self._thread(camera) for camera in self._cameras]
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.5)
            self._alive()
        for camera in self._cameras:
            camera.close()
        if self._failure is not None:
            raise self._failure

    def _thread(self, camera: Camera) -> Thread:
        def guarded() -> None:
            try:
                self._follow(camera)
            except BaseException as error:  # noqa: BLE001 - raised again by run()
                self._failure = self._failure or error
                self._stopping.set()

        thread = Thread(target=guarded, name=f"camera-{camera.name}", daemon=True)
        thread.start()
        return thread

    def _follow(self, camera: Camera) -> None:
        waiting: Queue[Frame | None] = Queue(maxsize=WAITING)
        sender = Thread(target=self._send_all, args=(camera, waiting), name=f"send-{camera.name}", daemon=True)
        sender.start()
        for frame in camera.frames(self._stopping):
            self._sights[camera.name].arrived(frame)
            try:
                waiting.put(frame, block=not camera.live)
            except Full:
                self._meter.dropped(camera.name, "line_full")
        waiting.put(None)
        sender.join()

    def _send_all(self, camera: Camera, waiting: Queue[Frame | None]) -> None:
        while True:
            try:
                frame = waiting.get(timeout=0.5)
            except Empty:
                continue
            if frame is None:
                return
            try:
                sent = self._sent(camera, frame)
            except BadImage as fault:
                log.warning("not published", camera=camera.name, part=frame.part_id, why=str(fault))
                self._meter.dropped(camera.name, fault.reason)
                camera.refused(frame, fault)
                continue
            if sent:
                camera.handed_on(frame)
                self._meter.published(camera.name)

    def _sent(self, camera: Camera, frame: Frame) -> bool:
        """Tries until the server has it; while stopping, once. A frame that was not sent is still its source's."""
        content = frame.content if isinstance(frame.content, bytes) else encode(frame.content)
        where = subject(self._stream, self._line, camera.name)
        # The server knows ids by stream: two lines that share one may each have a part of this name.
        once = f"{where}/{frame.part_id}"
        headers = {PART: frame.part_id, CAPTURED_AT: repr(frame.captured_at), "Nats-Msg-Id": once}
        if frame.lot:
            headers[LOT] = frame.lot
        said = ""
        while True:
            try:
                most = self._server.max_payload - 4096  # the headers are part of it
                if len(content) > most:
                    raise BadImage(
                        "too_large", f"{len(content)} bytes; the NATS server's max_payload lets {most} through"
                    )
                self._server.ensure(self._stream, self._max_bytes, DUPLICATES)
                self._server.ask(
                    lambda server: server.publish(where, content, headers=headers, stream=self._stream), PUBLISH_SECONDS
                )
            except Unavailable as error:
                if str(error) != said:
                    said = str(error)
                    log.error("held, not published", camera=camera.name, why=said)
                self._meter.camera_up(camera.name, False)
                if self._stopping.wait(AGAIN_AFTER):
                    return False
            else:
                self._meter.camera_up(camera.name, True)
                return True
