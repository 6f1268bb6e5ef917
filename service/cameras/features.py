"""Features of a GenICam camera: set as the URL gives them, read back, and refused in one line where the camera's value differs.

Options in small letters are ours: exposure, gain, trigger, packet_size, stale. Those that begin with a capital letter are features under
the camera's own names, written in the URL's order: `?exposure=5ms&trigger=Line1&PixelFormat=Mono8&Width=1024`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Protocol
from urllib.parse import SplitResult, parse_qsl, urlencode

from pydantic import BeforeValidator, Field

from service.cameras.options import Options, Seconds, parsed, unusable

TOLERANCE = 0.01
"""Cameras round an exposure to their sensor's lines, a gain to its steps. Integers and names are compared exactly."""

Value = bool | int | float | str


class FeatureRefused(ValueError):
    """One line: the feature, what was asked for, what the camera says."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature as it stands. value: None where it cannot be read now. low, high: of a number. entries: of an enumeration."""

    value: Value | None
    writable: bool
    low: float | None = None
    high: float | None = None
    unit: str = ""
    entries: tuple[str, ...] = ()


class Nodes(Protocol):
    """A camera's features."""

    def names(self) -> Sequence[str]: ...

    def feature(self, name: str) -> Feature | None:
        """None: the camera has none of this name. Read from the camera, not remembered."""
        ...

    def write(self, name: str, value: Value) -> None:
        """Raises FeatureRefused with the camera's reason."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """names: the first that the camera has. option: as the user wrote it. optional: left out where the camera has none."""

    names: tuple[str, ...]
    value: str
    option: str
    optional: bool = False


def _packet_size(text: object) -> object:
    return 0 if text == "auto" else text


def _source(text: str) -> str:
    if text == "Software":
        raise ValueError("nothing here fires a software trigger; expected off or an input of the camera, such as Line1")
    return text


class CameraOptions(Options):
    """exposure: seconds. gain: dB. trigger: the input that starts a picture, or off. packet_size: bytes, 0 finds out. stale: seconds
    without a picture after which the camera counts as down; None: ten where it runs freely, never where a trigger starts it."""

    exposure: Seconds | None = Field(default=None, gt=0.0)
    gain: float | None = Field(default=None, allow_inf_nan=False)
    trigger: Annotated[str, BeforeValidator(_source), Field(min_length=1)] | None = None
    packet_size: Annotated[int, BeforeValidator(_packet_size)] | None = Field(default=None, ge=0, le=65535)
    stale: Seconds | None = Field(default=None, gt=0.0)


def read_options(
    url: SplitResult, camera: str, kind: type[CameraOptions] = CameraOptions
) -> tuple[CameraOptions, tuple[Wanted, ...]]:
    """The URL's options as `kind`, and what they ask of the camera, in order: ours first. Raises InvalidInput."""
    pairs = parse_qsl(url.query, keep_blank_values=True)
    options = parsed(kind, url, camera, urlencode([pair for pair in pairs if not pair[0][:1].isupper()]))
    if options.packet_size is not None and 0 < options.packet_size < 576:
        raise unusable(camera, url, f"option packet_size: expected auto or at least 576, found {options.packet_size}")
    written = dict(pairs)
    wanted = []
    if options.exposure is not None:
        option = f"exposure={written['exposure']}"
        wanted.append(Wanted(("ExposureAuto",), "Off", option, optional=True))
        wanted.append(Wanted(("ExposureTime", "ExposureTimeAbs"), repr(options.exposure * 1e6), option))
    if options.gain is not None:
        option = f"gain={written['gain']}"
        wanted.append(Wanted(("GainAuto",), "Off", option, optional=True))
        wanted.append(Wanted(("Gain", "GainAbs"), repr(options.gain), option))
    if options.trigger is not None:
        option = f"trigger={options.trigger}"
        wanted.append(Wanted(("TriggerSelector",), "FrameStart", option, optional=True))
        if options.trigger != "off":
            wanted.append(Wanted(("TriggerSource",), options.trigger, option))
        wanted.append(Wanted(("TriggerMode",), "Off" if options.trigger == "off" else "On", option))
    for name, value in pairs:
        if name[:1].isupper():
            wanted.append(Wanted((name,), value, f"{name}={value}"))
    return options, tuple(wanted)


def set_features(nodes: Nodes, wanted: Sequence[Wanted]) -> None:
    """Writes each, and once all are written reads each back: a later one may have moved an earlier. Raises FeatureRefused."""
    for want in wanted:
        name = _name(nodes, want)
        if name is not None:
            _write(nodes, name, want)
    for want in wanted:
        name = _name(nodes, want)
        if name is not None and name.endswith("Selector"):
            _write(nodes, name, want)
        elif name is not None:
            _compare(nodes, name, want)


def _name(nodes: Nodes, want: Wanted) -> str | None:
    for name in want.names:
        if nodes.feature(name) is not None:
            return name
    if want.optional:
        return None
    like = get_close_matches(want.names[0], nodes.names(), n=3, cutoff=0.7)
    hint = f"; it has {', '.join(like)}" if like else ""
    raise FeatureRefused(f"{want.option}: the camera has no feature {' or '.join(want.names)}{hint}")


def _write(nodes: Nodes, name: str, want: Wanted) -> None:
    feature = nodes.feature(name)
    assert feature is not None  # noqa: S101  found by its name
    if want.optional and want.value not in feature.entries:
        return
    value = _typed(feature, want)
    if feature.value == value:
        return
    if not feature.writable:
        raise FeatureRefused(f"{want.option}: {name} cannot be written now; the camera has {_shown(feature)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = feature.low, feature.high
        if (low is not None and value < low) or (high is not None and value > high):
            limits = f"{_number(low)} to {_number(high)} {feature.unit}".rstrip()
            raise FeatureRefused(f"{want.option}: {name} of this camera is {limits}, found {_number(value)}")
    nodes.write(name, value)


def _typed(feature: Feature, want: Wanted) -> Value:
    if feature.entries and want.value not in feature.entries:
        raise FeatureRefused(
            f"{want.option}: expected one of {', '.join(feature.entries)[:300]}, found {want.value[:60]!r}"
        )
    try:
        if isinstance(feature.value, bool):
            return {"true": True, "1": True, "false": False, "0": False}[want.value.lower()]
        if isinstance(feature.value, int):
            return int(want.value, 0)
        if isinstance(feature.value, float):
            return float(want.value)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(feature.value)]
        raise FeatureRefused(f"{want.option}: expected {kind}, found {want.value[:60]!r}") from None
    return want.value


def _compare(nodes: Nodes, name: str, want: Wanted) -> None:
    feature = nodes.feature(name)
    assert feature is not None  # noqa: S101  found by its name
    if want.optional and want.value not in feature.entries:
        return
    value = _typed(feature, want)
    if isinstance(feature.value, float) and isinstance(value, float):
        same = abs(feature.value - value) <= TOLERANCE * abs(value)
    else:
        same = feature.value == value
    if not same:
        asked = value if isinstance(value, str | bool) else _number(value)
        raise FeatureRefused(f"{want.option}: {name} was set to {asked}, but the camera has {_shown(feature)}")


def _shown(feature: Feature) -> str:
    value = feature.value
    if value is None:
        return "no value to read"
    return f"{value if isinstance(value, bool | str) else _number(value)} {feature.unit}".rstrip()


def _number(value: float | None) -> str:
    return "any" if value is None else f"{value:.10g}"
