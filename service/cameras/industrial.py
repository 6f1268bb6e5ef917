"""What the industrial cameras (gige, u3v, gentl) have in common: connect, set, read, notice that the camera is gone, connect again.

A thread reads. Up is a camera that answers, not one that sends: behind a trigger no picture means no part. The block id of a picture
becomes the frame's running number, the camera's clock its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import Empty
from threading import Event, Thread
from time import monotonic
from typing import Any, Protocol
from urllib.parse import SplitResult
from uuid import uuid4

import structlog
from numpy.typing import NDArray

from service.cameras.blocks import BlockCounter, CameraClock
from service.cameras.features import CameraOptions, FeatureRefused, Wanted, read_options
from service.cameras.ids import valid_part_id
from service.cameras.inbox import Inbox
from service.cameras.live import BACK_OFF
from service.cameras.options import unusable
from service.cameras.pixels import UnreadablePixels, to_bgr
from service.errors import BadImage, InvalidInput
from service.ports import Clock, Meter
from service.records import Frame, Image, Verdict
from service.urls import redacted

log = structlog.get_logger()

AHEAD = 8
"""Pictures that wait for the line; one more takes the place of the oldest."""
LOOK_EVERY = 0.2
ASK_EVERY = 1.0
STALE = 10.0


class Gone(Exception):
    """The camera is not there, does not answer, or belongs to another program: try again later."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One block as it came. device: seconds of the camera's own clock, None where it has none. values: as pixels.to_bgr takes them."""

    block: int
    device: float | None
    complete: bool
    pixel_format: str
    values: Callable[[], NDArray[Any]]


class Session(Protocol):
    """A connected camera with its features set, sending."""

    free_running: bool

    def next(self, timeout: float) -> Shot | None:
        """None: none came in so many seconds. Raises Gone."""
        ...

    def lost(self) -> Mapping[str, int]:
        """Blocks that never became a shot, by reason, since the session began."""
        ...

    def ask(self) -> None:
        """Raises Gone unless the camera answers and still obeys us."""
        ...

    def close(self) -> None:
        """Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that is there. url: as line.yaml takes it. address: where it is, by which it may be named as well. connect: raises Gone and
    FeatureRefused."""

    url: str
    serial: str
    address: str
    maker: str
    model: str
    connect: Callable[[CameraOptions, Sequence[Wanted]], Session]


Search = Callable[[], Iterator[Found]]
"""All cameras of a kind that are there now. Raises Gone."""


def picture_of(found: Found, seconds: float) -> Image | None:
    """One picture with the camera set as it stands; None when none came in so many seconds. Raises Gone, FeatureRefused, UnreadablePixels."""
    with closing(found.connect(CameraOptions(), ())) as session:
        end = monotonic() + seconds
        while monotonic() < end:
            shot = session.next(LOOK_EVERY)
            if shot is not None and shot.complete:
                return to_bgr(shot.values(), shot.pixel_format)
    return None


class Industrial:
    """Fulfils ports.Camera. wanted: serial or address, by its options (of `kind`), of the camera among those that `search` finds."""

    live = True

    def __init__(
        self,
        url: SplitResult,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        wanted: Callable[[Any], str],
        search: Search,
        kind: type[CameraOptions] = CameraOptions,
    ) -> None:
        """A camera that is there is tried once, so that what it refuses is said at the start. Raises InvalidInput."""
        self.name = name
        self._line = line
        self._meter = meter
        self._clock = clock
        self._url = url
        self._search = search
        self._options, self._features = read_options(url, name, kind)
        self._wanted = wanted(self._options)
        self._shown = redacted(url)
        self._up: bool | None = None
        self._said = ""
        self._blocks = BlockCounter()
        if not valid_part_id(self._part_id(0.0, 0)):
            raise unusable(name, url, "the camera's name makes no part ids; expected letters, digits and ._~:@-")
        try:
            self._connect().close()
        except Gone as why:
            self._say(str(why))

    def _connect(self) -> Session:
        """Looks for it anew, since it may come back elsewhere. Raises Gone, or InvalidInput where it refuses what is asked of it."""
        there: list[str] = []
        for found in self._search():
            if self._wanted in (found.serial, found.address):
                try:
                    return found.connect(self._options, self._features)
                except FeatureRefused as why:
                    raise unusable(self.name, self._url, str(why)) from why
            there.append(f"{found.serial or 'no serial'} ({found.address})")
        raise Gone(f"no camera {self._wanted} answers; there: {', '.join(there) or 'none'}")

    def _part_id(self, captured_at: float, number: int) -> str:
        return f"{self.name}-{int(captured_at * 1000)}-{number}-{uuid4().hex[:8]}"

    def frames(self, stopping: Event) -> Iterator[Frame]:
        inbox: Inbox[tuple[float, int, Shot]] = Inbox(AHEAD, self.name, self._meter)
        reader = Thread(target=self._read, args=(inbox, stopping), name=f"read-{self.name}", daemon=True)
        reader.start()
        while not stopping.is_set():
            try:
                captured_at, number, shot = inbox.get(timeout=LOOK_EVERY)
            except Empty:
                continue
            try:
                image = to_bgr(shot.values(), shot.pixel_format)
            except UnreadablePixels as why:
                self._say(str(why))
                self._meter.dropped(self.name, "broken")
            else:
                yield Frame(
                    self._part_id(captured_at, number), self._line, self.name, captured_at, image, trigger=number
                )
        reader.join(timeout=0.7)
        self._is_up(False)

    def _is_up(self, up: bool) -> None:
        if up is not self._up:
            self._up = up
            log.info("camera up" if up else "camera down", camera=self.name, url=self._shown)
            self._meter.camera_up(self.name, up)

    def _say(self, why: str) -> None:
        """Once for each reason in a row: a camera that is away for a night fills no log."""
        if why != self._said:
            self._said = why
            log.warning("camera gives no picture", camera=self.name, url=self._shown, why=why)

    def _read(self, inbox: Inbox[tuple[float, int, Shot]], stopping: Event) -> None:
        """Connects, reads until the camera is gone, waits, again. The wait is short again after a connection."""
        failures = 0
        while not stopping.is_set():
            try:
                session = self._connect()
            except (Gone, InvalidInput) as why:
                failures += 1
                self._say(str(why))
                self._is_up(False)
            else:
                failures = 1
                try:
                    self._read_from(session, inbox, stopping)
                except Gone as why:
                    self._is_up(False)
                    self._say(str(why))
                finally:
                    session.close()
            stopping.wait(BACK_OFF[min(failures, len(BACK_OFF)) - 1])

    def _read_from(self, session: Session, inbox: Inbox[tuple[float, int, Shot]], stopping: Event) -> None:
        """Raises Gone when the camera no longer answers, or does not send although nothing has to start its pictures."""
        stale = self._options.stale or (STALE if session.free_running else float("inf"))
        camera_clock, counted = CameraClock(), dict(session.lost())
        self._blocks.begin()
        self._is_up(True)
        self._said = ""
        came = asked = monotonic()
        while not stopping.is_set():
            shot = session.next(LOOK_EVERY)
            arrived, now = self._clock(), monotonic()
            self._count(session.lost(), counted)
            if shot is not None:
                came = now
                number = self._blocks.number(shot.block)
                at = arrived if shot.device is None else camera_clock.at(shot.device, arrived)
                if shot.complete:
                    inbox.put((at, number, shot))
                else:
                    self._meter.dropped(self.name, "incomplete")
            if now - came > stale:
                raise Gone(f"no picture for {stale:g} s")
            if now - asked > ASK_EVERY:
                asked = now
                session.ask()

    def _count(self, lost: Mapping[str, int], counted: dict[str, int]) -> None:
        for reason, total in lost.items():
            for _ in range(total - counted.get(reason, 0)):
                self._meter.dropped(self.name, reason)
            counted[reason] = total

    def released(self, frame: Frame, verdict: Verdict) -> None:
        """Nothing to answer."""

    def refused(self, frame: Frame, fault: BadImage) -> None:
        """Nothing to set aside: the picture is gone."""

    def handed_on(self, frame: Frame) -> None:
        """Nothing to forget: the picture is gone."""

    def close(self) -> None:
        """The reader ends by itself once it is told to stop."""
