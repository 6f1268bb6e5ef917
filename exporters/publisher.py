"""What `redrabbit camera` measures: cameras whose frames go to a JetStream. Fulfils service.publishing.PublisherMeter.

It says nothing of pictures that arrived, which the workers count, nor of a ledger, which it has not: their series would hide the workers'.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from service.records import Look


class PublisherMeter:
    """One per process, which serves one line. Thread-safe."""

    def __init__(self, line: str, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._line = line
        self._published = Counter(
            "redrabbit_frames_published_total",
            "Frames that the JetStream has on disk.",
            ("line", "camera"),
            registry=registry,
        )
        self._dropped = Counter(
            "redrabbit_frames_dropped_total",
            "Frames that got no verdict.",
            ("line", "camera", "reason"),
            registry=registry,
        )
        self._up = Gauge(
            "redrabbit_camera_up", "Whether the camera delivers (1) or not (0).", ("line", "camera"), registry=registry
        )
        self._triggers = Counter(
            "redrabbit_camera_triggers_total",
            "Triggers by their running number; those without a picture included.",
            ("line", "camera"),
            registry=registry,
        )
        self._repeats = Gauge(
            "redrabbit_camera_repeated_frames",
            "Newest pictures in a row that are the very same as the one before them; a sensor gives none.",
            ("line", "camera"),
            registry=registry,
        )

    def published(self, camera: str) -> None:
        self._published.labels(self._line, camera).inc()

    def dropped(self, camera: str, reason: str) -> None:
        self._dropped.labels(self._line, camera, reason).inc()

    def camera_up(self, camera: str, up: bool) -> None:
        self._up.labels(self._line, camera).set(up)

    def camera_triggers(self, camera: str, triggers: int) -> None:
        self._triggers.labels(self._line, camera).inc(triggers)

    def camera_repeats(self, camera: str, frames: int) -> None:
        self._repeats.labels(self._line, camera).set(frames)

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        """The workers', like all that follows."""

    def redelivered(self, camera: str) -> None: ...

    def camera_waiting(self, camera: str, frames: int) -> None: ...

    def camera_dead(self, camera: str, frames: int) -> None: ...

    def camera_frame(self, camera: str, captured_at: float) -> None: ...

    def camera_sight(self, camera: str, look: Look, reference: Look | None) -> None: ...

    def ledger_up(self, up: bool) -> None: ...

    def store_up(self, up: bool) -> None: ...

    def pictures_waiting(self, pictures: int) -> None: ...

    def gated(self, passed: bool) -> None: ...

    def swapped(self, role: str, outcome: str) -> None: ...

    def shadow_dropped(self, parts: int) -> None: ...
