"""`gige://SERIAL-or-IP?exposure=5ms&trigger=Line1&packet_size=auto` and `u3v://SERIAL?…`: GigE Vision and USB3 Vision cameras.

viva-genicam speaks the protocols. A camera is looked for anew on each connection, so it may come back under another address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote

from service.cameras.features import CameraOptions, Feature, FeatureRefused, Value, Wanted, set_features
from service.cameras.industrial import Found, Gone, Industrial, Search, Session, Shot
from service.cameras.options import unusable
from service.cameras.pixels import READABLE, UnreadablePixels, readable
from service.errors import InvalidInput
from service.ports import Clock, Meter

if TYPE_CHECKING:
    import viva_genicam
    from numpy.typing import NDArray

SEARCH_MS = 400
SERIAL_REGISTER = 0x00D8
PACKET_SIZE_REGISTER = 0x0D04
TICKS_REGISTER = 0x093C
"""Of the bootstrap registers that every GigE Vision camera has."""
DEFAULT_TICKS = 10**9


def library(shown: str) -> Any:
    """viva_genicam. Raises InvalidInput, saying how to get it."""
    try:
        import viva_genicam
    except ImportError as error:
        raise InvalidInput(f"{shown}: needs the extra `gige`: pip install 'redrabbit[gige]'") from error
    return viva_genicam


def gige_cameras() -> Iterator[Found]:
    """Every GigE Vision camera that answers on one of this machine's networks, loopback included. Raises Gone."""
    viva = library("gige://")
    try:
        devices = viva.discover(timeout_ms=SEARCH_MS, all=True)
    except viva.GenicamError as error:
        raise Gone(f"no search for cameras: {error}") from error
    for device in devices:
        yield _found_gige(viva, device)


_SERIALS: dict[str, str] = {}
"""By MAC address. A search for one camera asks each of the others only once, for they are at work."""
NO_MAC = "00:00:00:00:00:00"


def _found_gige(viva: Any, device: viva_genicam.GigeDeviceInfo) -> Found:
    def connect(options: CameraOptions, wanted: Sequence[Wanted]) -> Session:
        return VisionSession(lambda: viva.connect_gige(device), options, wanted)

    serial = _SERIALS.get(device.mac, "")
    if not serial:
        with suppress(viva.GenicamError), viva.connect_gige(device, monitor=True) as camera:
            serial = _serial(viva, camera)
    if serial and device.mac != NO_MAC:
        _SERIALS[device.mac] = serial
    return Found(
        f"gige://{quote(serial or device.ip, safe='')}",
        serial,
        device.ip,
        device.manufacturer or "",
        device.model or "",
        connect,
    )


def _serial(viva: Any, camera: viva_genicam.Camera) -> str:
    """From the register that discovery shows, too; from the feature where a camera leaves that empty."""
    text = camera.read_register(SERIAL_REGISTER, 16).split(b"\0")[0].decode("ascii", "ignore").strip()
    if text:
        return text
    try:
        return camera.get("DeviceSerialNumber").strip()
    except viva.GenicamError:
        return ""


def usb_cameras() -> Iterator[Found]:
    """Every USB3 Vision camera of this machine. Raises Gone."""
    viva = library("u3v://")
    try:
        devices = viva.discover_u3v()
    except viva.GenicamError as error:
        raise Gone(f"no search for cameras: {error}") from error
    for device in devices:
        serial = device.serial or ""
        address = f"usb {device.bus}:{device.address}"

        def connect(options: CameraOptions, wanted: Sequence[Wanted], device: Any = device) -> Session:
            return VisionSession(lambda: viva.connect_u3v(device), options, wanted)

        yield Found(
            f"u3v://{quote(serial, safe='')}", serial, address, device.manufacturer or "", device.model or "", connect
        )


SEARCHES: Mapping[str, Search] = {"gige": gige_cameras, "u3v": usb_cameras}


class Vision(Industrial):
    """Fulfils ports.Camera, over GigE or USB3 Vision. `search` is what finds cameras of this kind."""

    def __init__(
        self,
        url: SplitResult,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        known: Callable[[Sequence[str]], Mapping[str, float]],
        search: Search | None = None,
    ) -> None:
        library(f"camera {name}")
        wanted = unquote(url.netloc).strip()
        if not wanted or url.path.strip("/"):
            raise unusable(name, url, f"expected {url.scheme}://SERIAL, as `redrabbit cameras find` says it")
        super().__init__(url, line, name, meter, clock, lambda _: wanted, search or SEARCHES[url.scheme])


class VisionSession:
    """Fulfils industrial.Session. Raises Gone and FeatureRefused."""

    def __init__(
        self, opener: Callable[[], viva_genicam.Camera], options: CameraOptions, wanted: Sequence[Wanted]
    ) -> None:
        self._viva = library("camera")
        try:
            self._camera = opener()
        except self._viva.GenicamError as error:
            raise Gone(f"cannot be opened, another program may have it: {error}") from error
        try:
            self._begin(options, wanted)
        except self._viva.GenicamError as error:
            self._camera.close()
            raise Gone(f"went away while it was set up: {error}") from error
        except FeatureRefused:
            self._camera.close()
            raise

    def _begin(self, options: CameraOptions, wanted: Sequence[Wanted]) -> None:
        camera = self._camera
        nodes = VivaNodes(self._viva, camera)
        set_features(nodes, wanted)
        pixel_format = nodes.feature("PixelFormat")
        if pixel_format is not None and pixel_format.value is not None and not readable(str(pixel_format.value)):
            raise FeatureRefused(f"its PixelFormat {pixel_format.value} is not read; expected {READABLE}")
        trigger = nodes.feature("TriggerMode")
        self.free_running = trigger is None or trigger.value != "On"
        self._gige = camera.transport == "gige"
        self._ticks = self._ticks_per_second()
        size = options.packet_size
        self._stream = camera.stream(packet_size=size or None, auto_packet_size=size == 0, deliver_incomplete=True)
        if size and self._gige:
            used = int.from_bytes(camera.read_register(PACKET_SIZE_REGISTER, 4), "big") & 0xFFFF
            if used != size:
                self._stream.close()
                raise FeatureRefused(f"packet_size={size}: the camera has {used}")
        camera.acquisition_start()

    def _ticks_per_second(self) -> int:
        if not self._gige:
            return DEFAULT_TICKS
        ticks = int.from_bytes(self._camera.read_register(TICKS_REGISTER, 8), "big")
        if not ticks:
            feature = VivaNodes(self._viva, self._camera).feature("GevTimestampTickFrequency")
            ticks = feature.value if feature and isinstance(feature.value, int) else 0
        return ticks or DEFAULT_TICKS

    def next(self, timeout: float) -> Shot | None:
        try:
            frame = self._stream.next_frame(int(timeout * 1000))
        except self._viva.TransportError as error:
            if "timeout" in str(error):
                return None
            raise Gone(str(error)) from error
        except self._viva.GenicamError as error:
            raise Gone(str(error)) from error
        if frame is None:
            raise Gone("the stream ended")
        device = None if frame.ts_dev is None else frame.ts_dev / self._ticks
        pixel_format = "RGB8" if frame.pixel_format in _MADE_RGB else frame.pixel_format
        return Shot(frame.block_id, device, frame.is_complete, pixel_format, lambda: self._values(frame))

    def _values(self, frame: viva_genicam.Frame) -> NDArray[Any]:
        try:
            return frame.to_numpy()
        except self._viva.GenicamError as error:
            raise UnreadablePixels(str(error)) from error

    def lost(self) -> Mapping[str, int]:
        stats = self._stream.stats()
        return {
            "lost": stats.frames_missed,
            "overtaken": stats.frames_backpressure,
            "broken": stats.frames_unsupported,
        }

    def ask(self) -> None:
        try:
            if self._gige and self._camera.control_state is not self._viva.ControlState.HELD:
                raise Gone("another program took control of the camera, or its heartbeat ended")
            self._camera.read_register(0, 4)
        except self._viva.GenicamError as error:
            raise Gone(f"does not answer: {error}") from error

    def close(self) -> None:
        """The camera is told to stop only where it still answers: waiting for one that is away takes many seconds."""
        with suppress(Gone, self._viva.GenicamError):
            self.ask()
            self._camera.acquisition_stop()
        for end in (self._stream.close, self._camera.close):
            with suppress(self._viva.GenicamError):
                end()


_MADE_RGB = ("BGR8", "BGR8Packed")
"""viva-genicam gives these in the order red, green, blue."""


def _no_answer(error: Exception) -> bool:
    """Whether the camera did not answer, which says nothing of the feature."""
    return "register I/O failed" in str(error) and "status" not in str(error)


class VivaNodes:
    """Fulfils features.Nodes."""

    def __init__(self, viva: Any, camera: viva_genicam.Camera) -> None:
        self._viva = viva
        self._camera = camera

    def names(self) -> Sequence[str]:
        return self._camera.nodes()

    def feature(self, name: str) -> Feature | None:
        if name not in self._camera.nodes():
            return None
        self._camera.invalidate(name)
        try:
            state = self._camera.feature_state(name)
        except self._viva.GenicamError as error:
            if _no_answer(error):
                raise
            return Feature(None, writable=False)  # a value that the camera's own description does not have, say
        if not state.is_implemented:
            return None
        low, high = (state.range.min, state.range.max) if state.range else (None, None)
        entries = tuple(state.enum_entries or ())
        return Feature(state.value, state.access in ("RW", "WO"), low, high, state.unit or "", entries)

    def write(self, name: str, value: Value) -> None:
        try:
            self._camera.set(name, str(value).lower() if isinstance(value, bool) else str(value))
        except self._viva.GenicamError as error:
            if _no_answer(error):
                raise
            raise FeatureRefused(f"{name}={value}: {error}") from error
