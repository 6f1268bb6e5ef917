"""How a camera sees, against how it saw when the model took over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from exporters.worker import WorkerMeter
from service.faults import damaged
from service.ledger.store import SqlLedger, open_ledger
from service.records import CameraReference, Frame, Image
from service.sight import LOOK_EVERY, NEWEST, REFERENCE, Sight, look_at
from tests.ledger.rows import Ticking

LINE, CAMERA, MODEL = "a", "left", "d" * 64


def surface(seed: int) -> Image:
    """Fine grain under uneven light."""
    dice = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(dice.normal(0, 40, (300, 300)), (0, 0), 1.5)
    light = np.linspace(110, 150, 300)[np.newaxis, :]
    return cv2.cvtColor((light + grain).clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


class Watch:
    """A sight on a clock that is moved by hand, over a real ledger and the real metrics."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.now = 0.0
        self._ledger = ledger
        self._seed = 0
        self.restart()

    def restart(self) -> None:
        self.registry = CollectorRegistry()
        self.sight = Sight(LINE, CAMERA, WorkerMeter(LINE, self.registry), lambda: self.now)

    def see(self, pictures: int, fault: str = "", model: str = MODEL) -> None:
        """So many pictures, one a second, with the worker looking after the camera meanwhile."""
        for _ in range(pictures):
            self._seed += 1
            image = surface(self._seed)
            self.now += LOOK_EVERY
            self.sight.seen(damaged(fault, image) if fault else image)
            self.sight.follow(model, self._ledger)

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"redrabbit_camera_{name}", {"line": LINE, "camera": CAMERA})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", Ticking())) as opened:
        yield opened


def test_more_light_makes_no_picture_sharper() -> None:
    """Sharpness is relative to brightness; a picture without any detail has none."""
    dark, flat = surface(1) // 2, np.full((50, 50, 3), 255, np.uint8)
    assert look_at(dark).sharpness == pytest.approx(look_at(surface(1)).sharpness, rel=0.2)
    assert look_at(flat).sharpness == 0 and look_at(flat).brightness == 1 and look_at(flat).overexposed == 1


def test_a_large_picture_is_looked_at_in_its_middle() -> None:
    """Sixteen megapixels cost no more than one; a line of one pixel is a picture too."""
    large = np.zeros((4096, 4096, 3), np.uint8)
    large[1536:2560, 1536:2560] = 255 * (np.indices((1024, 1024)).sum(axis=0) % 2)[..., np.newaxis]
    assert look_at(large).sharpness > 1
    assert look_at(np.zeros((1, 1, 3), np.uint8)).brightness == 0


@pytest.mark.parametrize(
    ("fault", "worse", "unchanged"),
    [("defocus", "sharpness_ratio", "brightness_ratio"), ("dim", "brightness_ratio", None)],
)
def test_a_fault_shows_against_the_reference(ledger: SqlLedger, fault: str, worse: str, unchanged: str | None) -> None:
    """Nothing is said before there is a reference; then a fault shows within NEWEST pictures, and a healthy camera stays at 1."""
    watch = Watch(ledger)
    watch.see(REFERENCE - 1)
    assert watch.value("sharpness_ratio") is None
    watch.see(NEWEST)
    assert watch.value("sharpness_ratio") == pytest.approx(1, rel=0.1)
    assert watch.value("brightness_ratio") == pytest.approx(1, rel=0.1)
    watch.see(NEWEST, fault)
    found = watch.value(worse)
    assert found is not None and found < 0.5
    if unchanged:
        assert watch.value(unchanged) == pytest.approx(1, rel=0.1)


def test_overexposed_pixels_count_beyond_those_of_the_reference(ledger: SqlLedger) -> None:
    """A bright spot that was there when the model took over is no fault."""
    ledger.keep_camera_reference(CameraReference(LINE, CAMERA, MODEL, 100, 0.1, 0.5, 0.25, ""))
    watch, image = Watch(ledger), surface(1)
    for top, expected in ((75, 0.0), (150, 0.25)):
        image[:top] = 255
        for _ in range(NEWEST):
            watch.now += LOOK_EVERY
            watch.sight.seen(image)
        watch.sight.follow(MODEL, ledger)
        assert watch.value("overexposed_ratio") == pytest.approx(expected, abs=0.01)


def test_the_reference_survives_a_restart_and_belongs_to_its_model(ledger: SqlLedger) -> None:
    """A worker that starts again compares at once; under another model a new one is taken; rolling back finds the old one."""
    watch = Watch(ledger)
    watch.see(REFERENCE + 1)
    watch.restart()
    watch.see(1, "defocus")
    assert (watch.value("sharpness_ratio") or 1) < 0.5
    watch.see(1, "defocus", model="e" * 64)
    assert watch.value("sharpness_ratio") is None
    watch.see(REFERENCE + 1, "defocus", model="e" * 64)
    assert watch.value("sharpness_ratio") == pytest.approx(1, rel=0.1)
    watch.see(1, "defocus")
    assert (watch.value("sharpness_ratio") or 1) < 0.5


def test_a_reference_is_taken_anew_when_somebody_asks_for_it(ledger: SqlLedger) -> None:
    """After a lens was cleaned, say. Who asked stands beside it."""
    watch = Watch(ledger)
    watch.see(REFERENCE + 1)
    ledger.keep_camera_reference(CameraReference(LINE, CAMERA, MODEL, 0, 0.0, 0.0, 0.0, "eva"))
    watch.see(REFERENCE + 2, "defocus")
    assert watch.value("sharpness_ratio") == pytest.approx(1, rel=0.1)
    assert ledger.camera_references(LINE, MODEL)[CAMERA].by == "eva"


def test_one_picture_a_second_is_looked_at(ledger: SqlLedger) -> None:
    """However many come: a reference of a thousand parts in a second would be one of a second."""
    watch = Watch(ledger)
    watch.sight.follow(MODEL, ledger)
    for _ in range(REFERENCE + 1):
        watch.sight.seen(surface(1))
    watch.sight.follow(MODEL, ledger)
    assert ledger.camera_references(LINE, MODEL) == {}


def test_a_frozen_picture_is_counted(ledger: SqlLedger) -> None:
    """The very same picture again and again, encoded or decoded; another one ends it."""
    watch = Watch(ledger)
    for content, expected in ((b"one", 0), (b"one", 1), (b"one", 2), (b"two", 0)):
        watch.sight.arrived(Frame("p", LINE, CAMERA, 0.0, content))
        assert watch.value("repeated_frames") == expected
    for seed, expected in ((1, 0), (1, 1), (2, 0)):
        watch.sight.arrived(Frame("p", LINE, CAMERA, 0.0, surface(seed)))
        assert watch.value("repeated_frames") == expected


def test_triggers_without_a_picture_show(ledger: SqlLedger) -> None:
    """A gap in the running number counts; a late picture is no gap, a counter that begins anew is none either."""
    watch = Watch(ledger)
    for trigger, expected in ((500, 1), (501, 2), (504, 5), (503, 5), (505, 6), (1, 7), (2, 8)):
        watch.sight.arrived(Frame(f"p{trigger}", LINE, CAMERA, 0.0, b"x", trigger=trigger))
        assert watch.value("triggers_total") == expected
