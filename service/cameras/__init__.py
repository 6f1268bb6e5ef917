"""Where pictures come from: one file per kind, chosen by the scheme of its URL.

Another camera is one file, one line in KINDS, its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import SplitResult

from service.cameras.folder import Folder
from service.cameras.gentl import Gentl
from service.cameras.gige import Vision
from service.cameras.live import LiveVideo
from service.cameras.options import split, unusable
from service.cameras.pulled import Pulled
from service.cameras.push import Push
from service.cameras.video import VideoFile
from service.ports import Camera, Clock, Meter


class Kind(Protocol):
    """How every class of camera is made. known: which of these part ids are recorded already, with their capture time.

    Raises InvalidInput: one line that names the camera and the URL without its password.
    """

    def __call__(
        self,
        url: SplitResult,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        known: Callable[[Sequence[str]], Mapping[str, float]],
        /,
    ) -> Camera: ...


KINDS: Final[Mapping[str, Kind]] = {
    "folder": Folder,
    "video": VideoFile,
    "usb": LiveVideo,
    "rtsp": LiveVideo,
    "gige": Vision,
    "u3v": Vision,
    "gentl": Gentl,
    "push": Push,
    "nats": Pulled,
    "tls": Pulled,
}
NO_MORE: Final[Mapping[str, Kind]] = {}


def open_camera(
    url: str,
    *,
    line: str,
    name: str,
    meter: Meter,
    clock: Clock,
    known: Callable[[Sequence[str]], Mapping[str, float]],
    more: Mapping[str, Kind] = NO_MORE,
) -> Camera:
    """The camera behind `url`; `more` are kinds that the caller adds. Raises InvalidInput."""
    kinds = {**KINDS, **more}
    parts = split(url, name)
    if parts.scheme not in kinds:
        raise unusable(name, parts, f"unknown scheme {parts.scheme!r}; known schemes: {', '.join(sorted(kinds))}")
    return kinds[parts.scheme](parts, line, name, meter, clock, known)
