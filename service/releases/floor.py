"""What every release to a machine on the floor has in common: deadline, fail-safe, heartbeat, coming back by itself.

A thread with an event loop of its own talks to the peer; the line hands a verdict over and never waits. A verdict that the peer has
not taken by its deadline is given up: sent later it could meet another part. In its place, and of all that were missed since, the
peer is told the fail-safe as soon as it can be told anything.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Annotated, Any, Protocol, TypeVar, runtime_checkable
from urllib.parse import SplitResult

import structlog
from pydantic import Field

from service.errors import InvalidInput
from service.options import Options, Seconds, unusable
from service.ports import ReleaseMeter
from service.records import FailSafe, NotInspected, Verdict
from service.releases.result import Say, Told
from service.yamltext import parse_mapping

log = structlog.get_logger()

AGAIN_AFTER = 0.5
"""Seconds between two attempts to reach a peer."""
OPEN_WITHIN = 5.0

T = TypeVar("T")
Positive = Annotated[Seconds, Field(gt=0.0)]


class FloorOptions(Options):
    """deadline: for the peer to take a verdict, from its record on. heartbeat: how often a sign of life is sent. stuck: the worker's loop
    has not come round for so long that it is none. divert_audits: the peer learns which parts are drawn for audit."""

    deadline: Positive = 0.25
    failsafe: FailSafe = FailSafe.REJECT
    heartbeat: Positive = 1.0
    stuck: Positive = 3.0
    divert_audits: bool = False


class Peer(Protocol):
    """The machine at the other end, one connection at a time. Whatever a call raises means that the connection is of no use.

    late_is_broken: so does a verdict that it has not taken in time. Not where its program acknowledges, beside the connection.
    """

    @property
    def late_is_broken(self) -> bool: ...

    async def open(self) -> int:
        """Connects. Returns the number of the last verdict that the peer has; 0 where that cannot be known."""
        ...

    async def tell(self, told: Told) -> None:
        """Returns once the peer has it."""
        ...

    async def beat(self, count: int) -> None:
        """The inspector is well; count goes up with every beat."""
        ...

    async def rest(self) -> None:
        """The inspector is not well, or stops."""
        ...

    async def close(self) -> None:
        """May be called at any time, more than once."""
        ...


@runtime_checkable
class AsksForRecipes(Protocol):
    """A peer whose controls say which recipe the line shall have."""

    async def recipe(self, in_force: int) -> int | None:
        """Shows the number of the recipe in force. Returns the number that is asked for; None where that is nowhere to be read."""
        ...


class RecipeControls(Protocol):
    """What the line makes of the numbers that its controls ask for. Never blocks."""

    @property
    def number(self) -> int:
        """Of the recipe in force; 0 where it has none."""
        ...

    def wanted(self, release: str, number: int) -> None:
        """This number stands in the controls now."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a release knows of the worker. behind: for how many seconds its loop has not come round. recipes: of a line that has some."""

    meter: ReleaseMeter
    behind: Callable[[], float]
    recipes: RecipeControls | None = None


@dataclass(frozen=True, slots=True)
class _Due:
    number: int
    verdict: Verdict | NotInspected
    since: float
    until: float


class FloorRelease:
    """Fulfils ports.Release."""

    def __init__(
        self,
        shown: str,
        peer: Peer,
        options: FloorOptions,
        around: Surroundings | None,
        open_within: float = OPEN_WITHIN,
    ) -> None:
        """shown: its name in logs and metrics. around: None where it is only checked, and never started. open_within: seconds."""
        self._shown = shown
        self._open_within = open_within
        self._peer = peer
        self._options = options
        self._number = 0
        self._first: int | None = None
        self._waiting: deque[_Due] = deque()
        self._missed = 0
        self._missed_ever = 0
        self._last_missed: _Due | None = None
        self._beats = 0
        self._next_beat = 0.0
        self._resting = False
        self._closing = False
        self._said = ""
        self._thread: Thread | None = None
        if around is not None:
            self._around = around
            self._loop = asyncio.new_event_loop()
            self._more = asyncio.Event()
            around.meter.release_up(shown, False)
            around.meter.failsafe(shown, 0)
            self._thread = Thread(target=self._loop.run_until_complete, args=(self._drive(),), name=shown, daemon=True)
            self._thread.start()

    def release(self, verdicts: Sequence[Verdict]) -> None:
        self._release(verdicts)

    def release_not_inspected(self, missing: Sequence[NotInspected]) -> None:
        self._release(missing)

    def _release(self, verdicts: Sequence[Verdict | NotInspected]) -> None:
        now = monotonic()
        due = []
        for verdict in verdicts:
            self._number += 1
            due.append(_Due(self._number, verdict, now, now + self._options.deadline))
        self._loop.call_soon_threadsafe(self._take, due)

    def close(self) -> None:
        """Sends what waits, until its deadline."""
        if self._thread is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(self._options.deadline + 2.0 * OPEN_WITHIN)

    def _take(self, due: Sequence[_Due]) -> None:
        self._waiting.extend(due)
        self._more.set()
        for one in due[-1:]:
            self._loop.call_at(one.until, self._expire)

    def _expire(self) -> None:
        """Also while the peer hangs, or is not there: what is late is late."""
        while self._waiting and self._waiting[0].until <= self._loop.time():
            self._miss(self._waiting.popleft())

    def _miss(self, due: _Due) -> None:
        if not self._missed:
            log.warning("fail-safe: a verdict has not arrived in time", to=self._shown, part=due.verdict.part_id)
        self._missed += 1
        self._missed_ever += 1
        if self._last_missed is None or due.number > self._last_missed.number:
            self._last_missed = due  # what waits behind a verdict under way expires before that has failed
        self._around.meter.failsafe(self._shown, 1)
        self._more.set()

    def _end(self) -> None:
        self._closing = True
        self._more.set()

    async def _drive(self) -> None:
        while not self._closing or self._waiting:
            began = monotonic()
            try:
                self._opened(await _within(self._open_within, self._peer.open()))
                await self._talk()
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the release goes on and comes back
                self._lost(error)
            finally:
                await self._shut()
            if not self._closing or self._waiting:
                # A connection that had worked is made anew at once: the verdict at hand may still be in time.
                await asyncio.sleep(max(0.0, began + AGAIN_AFTER - monotonic()))

    def _opened(self, last: int) -> None:
        if self._first is None:
            self._first = last
        self._around.meter.release_up(self._shown, True)
        self._next_beat = 0.0
        if self._said:
            log.info("release is back", to=self._shown, missed=self._missed_ever)
            self._said = ""

    def _lost(self, error: Exception) -> None:
        self._around.meter.release_up(self._shown, False)
        why = f"{type(error).__name__}: {str(error)[:200]}".removesuffix(": ")
        if why != self._said:
            log.warning("release does not work", to=self._shown, why=why)
            self._said = why

    async def _shut(self) -> None:
        try:
            if self._closing:
                await _within(self._options.deadline, self._peer.rest())
        except Exception as error:  # noqa: BLE001 - what is broken may break again while it is put away
            log.debug("not closed in order", to=self._shown, why=str(error))
        try:
            await _within(OPEN_WITHIN, self._peer.close())
        except Exception as error:  # noqa: BLE001 - likewise
            log.debug("not closed in order", to=self._shown, why=str(error))

    async def _talk(self) -> None:
        """Until something fails, or the end."""
        while True:
            self._more.clear()
            self._expire()
            if (until_beat := self._next_beat - monotonic()) <= 0:
                await self._sign_of_life()
            elif self._missed and not self._closing:
                await self._tell_failsafe()
            elif self._waiting:
                await self._tell(self._waiting.popleft())
            elif self._closing:
                return
            else:
                await self._sleep(until_beat)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._more.wait()
        except TimeoutError:
            return

    async def _sign_of_life(self) -> None:
        self._next_beat = monotonic() + self._options.heartbeat
        if self._around.behind() < self._options.stuck:
            self._beats += 1
            await _within(self._options.deadline, self._peer.beat(self._beats))
            self._resting = False
        elif not self._resting:
            log.error("no heartbeat: the worker's loop is stuck", to=self._shown)
            await _within(self._options.deadline, self._peer.rest())
            self._resting = True
        if (recipes := self._around.recipes) is not None and isinstance(self._peer, AsksForRecipes):
            wanted = await _within(self._options.deadline, self._peer.recipe(recipes.number))
            if wanted is not None:
                recipes.wanted(self._shown, wanted)

    async def _tell(self, due: _Due) -> None:
        say = Say[due.verdict.outcome.name]
        if say is Say.AUDIT and not self._options.divert_audits:
            say = Say.PASS
        try:
            await _within(due.until - monotonic(), self._peer.tell(self._told(due, say, 0)))
        except Exception as error:
            self._waiting.appendleft(due)  # it may still be in time over a new connection
            self._expire()
            if self._broken(error):
                raise
            return
        self._around.meter.released(self._shown, monotonic() - due.since)

    async def _tell_failsafe(self) -> None:
        assert self._last_missed is not None  # noqa: S101 - set with the first that is missed
        missed = self._missed
        told = self._told(self._last_missed, Say[self._options.failsafe.name], missed)
        try:
            await _within(self._options.deadline, self._peer.tell(told))
        except TimeoutError as error:
            if self._broken(error):
                raise
            return  # and again, until it is taken
        self._missed -= missed

    def _broken(self, error: Exception) -> bool:
        return self._peer.late_is_broken or not isinstance(error, TimeoutError)

    def _told(self, due: _Due, say: Say, missed: int) -> Told:
        return Told((self._first or 0) + due.number, say, due.verdict, missed, self._missed_ever)


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns. Raises TimeoutError, also where a library makes of our cancellation an error of its own: nobody else cancels."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except asyncio.CancelledError as error:
        raise TimeoutError from error


def name_of(url: SplitResult) -> str:
    """What a release is called in logs and metrics: the URL without its login and options."""
    host = url.netloc.rpartition("@")[2]
    return f"{url.scheme}://{host}{url.path.rstrip('/')}"


def checked_host(url: SplitResult, example: str) -> str:
    """The URL's host. Raises InvalidInput where there is none, or a login beside it."""
    if "@" in url.netloc:
        raise unusable("release", url, "expected no login in the URL: username= and password_file= are options")
    if not url.hostname:
        raise unusable("release", url, f"expected a host, such as {example}")
    return url.hostname


def secret(file: Path | None, url: SplitResult) -> str | None:
    """What the file says, without the end of its line. Raises InvalidInput."""
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise unusable("release", url, f"{file}: cannot be read: {getattr(error, 'strerror', '') or error}") from error


def mapped(file: Path, url: SplitResult, known: Collection[str], needed: Sequence[str]) -> dict[str, str]:
    """A map file: YAML, {field: where it lies at the PLC}. Raises InvalidInput."""
    where = f"release: {file}"
    found = parse_mapping(secret(file, url) or "", where)
    for field, place in found.items():
        if field not in known:
            raise InvalidInput(f"{where}: unknown field {str(field)[:40]!r}; known fields: {', '.join(known)}")
        if not isinstance(place, str):
            raise InvalidInput(f"{where}: {field}: expected where it lies, as text, found {str(place)[:40]!r}")
    if absent := [field for field in needed if field not in found]:
        raise InvalidInput(f"{where}: {absent[0]} is missing; it cannot do without")
    return found


def missing(url: SplitResult, extra: str) -> InvalidInput:
    """The line for a library that is not installed."""
    return unusable("release", url, f"needs the extra `{extra}`: pip install 'redrabbit[{extra}]'")


def tls_context(
    url: SplitResult, ca_file: Path | None, certificate_file: Path | None, key_file: Path | None, wanted: bool
) -> ssl.SSLContext | None:
    """How the peer is trusted, and who we are; None where TLS is not wanted. Raises InvalidInput."""
    if not wanted:
        if ca_file or certificate_file or key_file:
            raise unusable(
                "release", url, f"options of TLS need {url.scheme}s:// or the like; {url.scheme}:// is plain"
            )
        return None
    if bool(certificate_file) != bool(key_file):
        raise unusable("release", url, "expected certificate_file and key_file, both or neither")
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate_file and key_file:
            context.load_cert_chain(certificate_file, key_file)
    except OSError as error:
        raise unusable("release", url, f"TLS files cannot be used: {error}") from error
    return context
