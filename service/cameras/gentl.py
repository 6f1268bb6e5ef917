"""`gentl:///opt/maker/producer.cti?serial=22187313&exposure=4ms&trigger=Line1`: cameras behind the GenTL producer of their maker.

harvesters reads. A producer is loaded once in a process, whatever the number of its cameras, and its code runs in this process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import SplitResult, quote

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.cameras.features import CameraOptions, Feature, FeatureRefused, Value, Wanted, set_features
from service.cameras.industrial import AHEAD, Found, Gone, Industrial, Session, Shot
from service.cameras.options import local_path, unusable
from service.cameras.pixels import READABLE, UnreadablePixels, readable
from service.errors import InvalidInput
from service.ports import Clock, Meter

SEARCH_MS = 1000
READ_ONLY, READ_WRITE, WRITE_ONLY = 3, 4, 2
"""GenApi's access modes; what is less is not there."""


def library(shown: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """harvesters.core, and what it raises. Raises InvalidInput, saying how to get it."""
    try:
        from genicam import genapi, gentl
        from harvesters import core
    except ImportError as error:
        raise InvalidInput(f"{shown}: needs the extra `gentl`: pip install 'redrabbit[gentl]'") from error
    return core, (genapi.GenericException, gentl.GenericException)


class GentlOptions(CameraOptions):
    """serial: of the camera, or its id, as `redrabbit cameras find --producer` says it."""

    serial: str = Field(min_length=1)


class Gentl(Industrial):
    """Fulfils ports.Camera."""

    def __init__(
        self,
        url: SplitResult,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        known: Callable[[Sequence[str]], Mapping[str, float]],
    ) -> None:
        library(f"camera {name}")
        path = local_path(url, name)
        if not path.is_file():
            raise unusable(name, url, "no such file; expected the GenTL producer of the camera's maker, a .cti file")
        producer = producer_of(path)
        super().__init__(url, line, name, meter, clock, lambda options: options.serial, producer.cameras, GentlOptions)


class Producer:
    """One .cti file in this process. harvesters' own update ends every session, so it is for when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._harvester: Any = None
        self._sessions = 0

    def cameras(self) -> Iterator[Found]:
        """Raises Gone; InvalidInput where the file is no producer."""
        core, faults = library(f"gentl://{self._path}")
        with self._lock:
            try:
                if self._sessions:
                    self._look_again(core)
                else:
                    self._load(core)
            except faults as error:
                raise Gone(f"no search for cameras: {error}") from error
            except OSError as error:
                raise InvalidInput(
                    f"gentl://{self._path}: no GenTL producer: {str(error) or 'no such file'}"
                ) from error
            infos = list(self._harvester.device_info_list)
        for info in infos:
            yield self._found(info)
        self._rest()

    def _load(self, core: Any) -> None:
        silent = logging.getLogger("harvesters.silent")
        silent.addHandler(logging.NullHandler())
        silent.propagate = False
        if self._harvester is not None:
            self._harvester.reset()
        self._harvester = core.Harvester(logger=silent)
        self._harvester.add_file(str(self._path), check_existence=True, check_validity=True)
        self._harvester.update()

    def _look_again(self, core: Any) -> None:
        """Adds what has come since, without disturbing the cameras that are read."""
        known = self._harvester.device_info_list
        for interface in {id(info.parent): info.parent for info in known}.values():
            interface.update_device_info_list(SEARCH_MS)
            for raw in interface.device_info_list:
                info = core.DeviceInfo(module=raw, parent=interface)
                for old in [old for old in known if old.property_dict["id_"] == info.property_dict["id_"]]:
                    known.remove(old)
                known.append(info)

    def _found(self, info: Any) -> Found:
        said = info.property_dict
        identity, serial = said["id_"] or "", said.get("serial_number") or ""
        url = f"gentl://{quote(str(self._path))}?serial={quote(serial or identity)}"

        def connect(options: CameraOptions, wanted: Sequence[Wanted]) -> Session:
            return GentlSession(lambda: self._acquire(identity), self._release, options, wanted)

        return Found(url, serial, identity, said.get("vendor") or "", said.get("model") or "", connect)

    def _acquire(self, identity: str) -> Any:
        core, _ = library("gentl")
        with self._lock:
            if self._harvester is None:
                self._load(core)
            for info in self._harvester.device_info_list:
                if info.property_dict["id_"] == identity:
                    acquirer = self._harvester.create(info)
                    self._sessions += 1
                    return acquirer
        raise Gone(f"{identity} has gone")

    def _release(self, acquirer: Any) -> None:
        _, faults = library("gentl")
        with self._lock:
            self._sessions -= 1
            with suppress(*faults):
                acquirer.destroy()
        self._rest()

    def _rest(self) -> None:
        """Another program may have the producer's cameras while none is read here."""
        with self._lock:
            if not self._sessions and self._harvester is not None:
                self._harvester.reset()
                self._harvester = None


_PRODUCERS: dict[Path, Producer] = {}
_PRODUCERS_LOCK = Lock()


def producer_of(path: Path) -> Producer:
    """The one of this process."""
    with _PRODUCERS_LOCK:
        return _PRODUCERS.setdefault(path.resolve(), Producer(path.resolve()))


class GentlSession:
    """Fulfils industrial.Session. Raises Gone and FeatureRefused."""

    def __init__(
        self,
        acquire: Callable[[], Any],
        release: Callable[[Any], None],
        options: CameraOptions,
        wanted: Sequence[Wanted],
    ) -> None:
        core, self._faults = library("gentl")
        self._ends: tuple[type[Exception], ...] = (*self._faults, IndexError)
        self._release = release
        self._last: int | None = None
        self._missed = self._incomplete = 0
        try:
            self._acquirer = acquire()
        except self._faults as error:
            raise Gone(f"cannot be opened, another program may have it: {error}") from error
        try:
            self._begin(core, options, wanted)
        except self._faults as error:
            self.close()
            raise Gone(f"went away while it was set up: {error}") from error
        except FeatureRefused:
            self.close()
            raise

    def _begin(self, core: Any, options: CameraOptions, wanted: Sequence[Wanted]) -> None:
        self._nodes = GenapiNodes(self._acquirer.remote_device.node_map, self._faults)
        if options.packet_size == 0:
            raise FeatureRefused("packet_size=auto: the producer sees to that; expected a number, or nothing")
        if options.packet_size:
            size = str(options.packet_size)
            wanted = (*wanted, Wanted(("GevSCPSPacketSize",), size, f"packet_size={size}"))
        set_features(self._nodes, wanted)
        pixel_format = self._nodes.feature("PixelFormat")
        if pixel_format is not None and pixel_format.value is not None and not readable(str(pixel_format.value)):
            raise FeatureRefused(f"its PixelFormat {pixel_format.value} is not read; expected {READABLE}")
        trigger = self._nodes.feature("TriggerMode")
        self.free_running = trigger is None or trigger.value != "On"
        self._acquirer.num_buffers = max(AHEAD, self._acquirer.min_num_buffers)
        counted = self

        class Incomplete(core.Callback):  # type: ignore[misc]
            def emit(self, context: object = None) -> None:
                counted._incomplete += 1

        self._acquirer.add_callback(core.ImageAcquirer.Events.INCOMPLETE_BUFFER, Incomplete())
        self._acquirer.start()

    def next(self, timeout: float) -> Shot | None:
        from genicam.gentl import TimeoutException

        try:
            with self._acquirer.fetch(timeout=timeout) as buffer:
                return self._shot(buffer)
        except TimeoutException:
            return None
        except self._ends as error:
            raise Gone(f"gives no more pictures: {error}") from error

    def _shot(self, buffer: Any) -> Shot:
        """Copies the picture: its place is the producer's, which fills it again."""
        block = int(buffer.module.frame_id)
        if self._last is not None and 1 < block - self._last < 0x8000:
            self._missed += block - self._last - 1
        self._last = block
        parts = [part for part in buffer.payload.components if part is not None and part.data is not None]
        if not parts:
            return Shot(block, self._seconds(buffer.module), True, "without a picture", lambda: np.empty(0))
        part = parts[0]
        data, height, width = np.array(part.data), part.height, part.width
        pixel_format = str(part.data_format)

        def values() -> NDArray[Any]:
            channels, rest = divmod(data.size, height * width)
            if rest or channels not in (1, 3, 4):
                raise UnreadablePixels(f"{pixel_format} came as {data.size} values for {width} x {height} pixels")
            return data.reshape((height, width) if channels == 1 else (height, width, channels))

        return Shot(block, self._seconds(buffer.module), True, pixel_format, values)

    def _seconds(self, module: Any) -> float | None:
        try:
            return int(module.timestamp_ns) / 1e9
        except self._faults:
            return None

    def lost(self) -> Mapping[str, int]:
        """harvesters keeps what is incomplete to itself, so its numbers are among those that are missing."""
        return {"lost": max(0, self._missed - self._incomplete), "incomplete": self._incomplete}

    def ask(self) -> None:
        try:
            self._nodes.feature("Width")
        except self._faults as error:
            raise Gone(f"does not answer: {error}") from error

    def close(self) -> None:
        self._release(self._acquirer)


class GenapiNodes:
    """Fulfils features.Nodes."""

    def __init__(self, nodes: Any, faults: tuple[type[Exception], ...]) -> None:
        self._nodes = nodes
        self._faults = faults

    def names(self) -> Sequence[str]:
        return [name for name in dir(self._nodes) if name[:1].isupper()]

    def feature(self, name: str) -> Feature | None:
        if not self._nodes.has_node(name):
            return None
        node = self._nodes.get_node(name)
        access = node.get_access_mode()
        if access not in (READ_ONLY, READ_WRITE, WRITE_ONLY):
            return None
        kind = type(node).__name__
        value: Value | None = None
        if access != WRITE_ONLY and kind in ("IInteger", "IFloat", "IBoolean", "IString"):
            value = node.get_value(False, True)  # from the camera, not from the cache
        elif access != WRITE_ONLY and kind == "IEnumeration":
            value = str(node.get_current_entry(False, True).symbolic)
        numeric = kind in ("IInteger", "IFloat")
        low, high = (node.min, node.max) if numeric else (None, None)
        entries = tuple(node.symbolics) if kind == "IEnumeration" else ()
        return Feature(value, access != READ_ONLY, low, high, (node.unit or "") if numeric else "", entries)

    def write(self, name: str, value: Value) -> None:
        try:
            self._nodes.get_node(name).set_value(value)
        except self._faults as error:
            raise FeatureRefused(f"{name}={value}: {str(error).splitlines()[0][:200]}") from error
