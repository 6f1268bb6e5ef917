"""What a worker measures of itself: speed, cameras, dropped frames, its ledger, its releases. Fulfils Meter and ReleaseMeter of service.ports."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from service.records import Look

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def tell_recipe(registry: CollectorRegistry, line: str, recipe: str, product: str) -> None:
    """Under which recipe the worker of this registry judges. line: without it."""
    told = Gauge(
        "redrabbit_recipe_info",
        "The recipe under which the worker judges, and the product that it is for; always 1.",
        ("line", "recipe", "product"),
        registry=registry,
    )
    told.labels(line, recipe, product).set(1)


class WorkerMeter:
    """One per worker process, which serves one line. Thread-safe."""

    def __init__(self, line: str, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._line = line
        self._seconds = Histogram(
            "redrabbit_part_seconds", "Time per part.", ("line", "stage"), buckets=SECONDS, registry=registry
        )
        self._dropped = Counter(
            "redrabbit_frames_dropped_total",
            "Frames that got no verdict.",
            ("line", "camera", "reason"),
            registry=registry,
        )
        self._redelivered = Counter(
            "redrabbit_frames_redelivered_total",
            "Frames of a JetStream that came again, as whoever had them did not judge them.",
            ("line", "camera"),
            registry=registry,
        )
        self._camera_up = Gauge(
            "redrabbit_camera_up", "Whether the camera delivers (1) or not (0).", ("line", "camera"), registry=registry
        )
        self._last_frame = Gauge(
            "redrabbit_camera_last_frame_timestamp_seconds",
            "Capture time of the newest frame.",
            ("line", "camera"),
            registry=registry,
        )
        self._frames = Counter(
            "redrabbit_camera_frames_total", "Pictures that arrived.", ("line", "camera"), registry=registry
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
        self._sharpness = Gauge(
            "redrabbit_camera_sharpness_ratio",
            "Fine detail in the newest pictures, as a share of what it was when the model took over.",
            ("line", "camera"),
            registry=registry,
        )
        self._brightness = Gauge(
            "redrabbit_camera_brightness_ratio",
            "Brightness of the newest pictures, as a share of what it was when the model took over.",
            ("line", "camera"),
            registry=registry,
        )
        self._overexposed = Gauge(
            "redrabbit_camera_overexposed_ratio",
            "Share of pixels at the upper end of the scale, beyond what it was when the model took over.",
            ("line", "camera"),
            registry=registry,
        )
        self._frames_waiting = Gauge(
            "redrabbit_frames_waiting",
            "Frames that wait in the JetStream for a worker; absent without one.",
            ("line", "camera"),
            registry=registry,
        )
        self._frames_dead = Gauge(
            "redrabbit_frames_dead",
            "Frames without a verdict that lie among the JetStream's dead letters; absent without one.",
            ("line", "camera"),
            registry=registry,
        )
        self._ledger_up = Gauge(
            "redrabbit_ledger_up",
            "Whether the worker can write its records (1) or not (0).",
            ("line",),
            registry=registry,
        )
        self._store_up = Gauge(
            "redrabbit_image_store_up",
            "Whether the shared store of pictures takes what is shipped (1) or not (0); absent without one.",
            ("line",),
            registry=registry,
        )
        self._waiting = Gauge(
            "redrabbit_images_waiting",
            "Kept pictures that are on this machine alone, to be shipped; absent without a shared store.",
            ("line",),
            registry=registry,
        )
        self._gated = Gauge(
            "redrabbit_model_gated",
            "Whether the model that judges has passed the release gate (1) or was let in without (0).",
            ("line",),
            registry=registry,
        )
        self._swaps = Counter(
            "redrabbit_model_swaps_total",
            "Orders for another model that were answered; outcome is taken or refused.",
            ("line", "role", "outcome"),
            registry=registry,
        )
        self._shadow_dropped = Counter(
            "redrabbit_shadow_dropped_total",
            "Parts that the shadow did not judge because it could not keep up.",
            ("line",),
            registry=registry,
        )
        self._release_up = Gauge(
            "redrabbit_release_up",
            "Whether the machine that verdicts are released to can be reached (1) or not (0).",
            ("line", "release"),
            registry=registry,
        )
        self._release_seconds = Histogram(
            "redrabbit_release_seconds",
            "Time from the record of a part until the machine had its verdict.",
            ("line", "release"),
            buckets=SECONDS,
            registry=registry,
        )
        self._failsafe = Counter(
            "redrabbit_release_failsafe_total",
            "Parts whose verdict had not reached the machine by the deadline, so that the fail-safe holds.",
            ("line", "release"),
            registry=registry,
        )

        self.ledger_up(True)  # a worker without its ledger does not start
        self.shadow_dropped(0)

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        series = self._seconds.labels(self._line, stage)
        for _ in range(parts):
            series.observe(seconds)

    def dropped(self, camera: str, reason: str) -> None:
        self._dropped.labels(self._line, camera, reason).inc()

    def redelivered(self, camera: str) -> None:
        self._redelivered.labels(self._line, camera).inc()

    def camera_waiting(self, camera: str, frames: int) -> None:
        self._frames_waiting.labels(self._line, camera).set(frames)

    def camera_dead(self, camera: str, frames: int) -> None:
        self._frames_dead.labels(self._line, camera).set(frames)

    def camera_up(self, camera: str, up: bool) -> None:
        self._camera_up.labels(self._line, camera).set(up)

    def camera_frame(self, camera: str, captured_at: float) -> None:
        self._last_frame.labels(self._line, camera).set(captured_at)
        self._frames.labels(self._line, camera).inc()

    def camera_triggers(self, camera: str, triggers: int) -> None:
        self._triggers.labels(self._line, camera).inc(triggers)

    def camera_repeats(self, camera: str, frames: int) -> None:
        self._repeats.labels(self._line, camera).set(frames)

    def camera_sight(self, camera: str, look: Look, reference: Look | None) -> None:
        """Where there is nothing to compare with, the series is absent."""
        found: dict[Gauge, float | None] = {self._sharpness: None, self._brightness: None, self._overexposed: None}
        if reference is not None:
            found[self._sharpness] = _share(look.sharpness, reference.sharpness)
            found[self._brightness] = _share(look.brightness, reference.brightness)
            found[self._overexposed] = max(0.0, look.overexposed - reference.overexposed)
        for gauge, value in found.items():
            if value is None:
                gauge.remove(self._line, camera)
            else:
                gauge.labels(self._line, camera).set(value)

    def ledger_up(self, up: bool) -> None:
        self._ledger_up.labels(self._line).set(up)

    def store_up(self, up: bool) -> None:
        self._store_up.labels(self._line).set(up)

    def pictures_waiting(self, pictures: int) -> None:
        self._waiting.labels(self._line).set(pictures)

    def gated(self, passed: bool) -> None:
        self._gated.labels(self._line).set(passed)

    def swapped(self, role: str, outcome: str) -> None:
        self._swaps.labels(self._line, role, outcome).inc()

    def shadow_dropped(self, parts: int) -> None:
        self._shadow_dropped.labels(self._line).inc(parts)

    def release_up(self, release: str, up: bool) -> None:
        self._release_up.labels(self._line, release).set(up)

    def released(self, release: str, seconds: float) -> None:
        self._release_seconds.labels(self._line, release).observe(seconds)

    def failsafe(self, release: str, parts: int) -> None:
        self._failsafe.labels(self._line, release).inc(parts)


def _share(now: float, then: float) -> float | None:
    return now / then if then > 0 else None
