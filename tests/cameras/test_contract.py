"""What every camera that keeps its parts promises, whatever its scheme: ids, an end, nothing twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread

import cv2
import httpx
import pytest

from service.cameras.dataset import Dataset
from service.cameras.ids import valid_part_id
from service.cameras.push import Push
from service.ports import Camera
from service.records import Frame, Image
from tests.cameras.stage import NOW, CountingMeter, opened, picture, png, verdict_of

PARTS = 6
Known = Callable[[Sequence[str]], Mapping[str, float]]
Open = Callable[[Path, Known], Camera]


class Pictures:
    """Fulfils dataset.Recording."""

    def part_id(self, number: int) -> str:
        return f"set-{number}"

    def lot(self, number: int) -> str:
        return "lot-0"

    def picture(self, number: int) -> Image:
        return picture(number)


def folder(place: Path, known: Known) -> Camera:
    for number in range(PARTS):
        path = place / f"{number // 2}.{('png', 'bmp')[number % 2]}"
        path.write_bytes(png(number))
        os.utime(path, (NOW, NOW))
    return opened(f"folder://{place}?settle=0s", known=known)


def video(place: Path, known: Known) -> Camera:
    path = place / "tape.avi"
    if not path.exists():
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 25, (64, 48))
        for number in range(PARTS):
            writer.write(picture(number))
        writer.release()
    return opened(f"video://{path}", known=known)


def push(place: Path, known: Known) -> Camera:
    return opened("push://127.0.0.1:0", known=known)


def dataset(place: Path, known: Known) -> Camera:
    return Dataset(Pictures(), "cells", "cam", CountingMeter(), lambda: NOW, known, rate=1000.0, parts=PARTS)


SCHEMES = pytest.mark.parametrize("scheme", [folder, video, push, dataset])


class Line:
    """A line with a ledger, and a sender with a list of parts for the cameras that fetch nothing themselves."""

    def __init__(self) -> None:
        self.recorded: dict[str, float] = {}
        self.to_send = [f"sent-{number}" for number in range(PARTS)]

    def known(self, part_ids: Sequence[str]) -> Mapping[str, float]:
        return {part_id: self.recorded[part_id] for part_id in part_ids if part_id in self.recorded}

    def run(self, camera: Camera, count: int) -> list[Frame]:
        """What comes from a start until the stop after `count` frames; 0: until none came for a while."""
        stopping = Event()
        frames: list[Frame] = []

        def read() -> None:
            for frame in camera.frames(stopping):
                frames.append(frame)
                self.recorded.setdefault(frame.part_id, frame.captured_at)
                camera.released(frame, verdict_of(frame))
                if len(frames) == count:
                    stopping.set()
            stopping.set()

        reader = Thread(target=read, daemon=True)
        reader.start()
        sender = Thread(target=self._send, args=(camera, stopping), daemon=True)
        sender.start()
        stopping.wait(None if count else 1.0)
        stopping.set()
        reader.join()
        camera.close()
        sender.join()
        return frames

    def _send(self, camera: Camera, stopping: Event) -> None:
        """A part is off the list once it is answered."""
        while isinstance(camera, Push) and self.to_send and not stopping.is_set():
            url = f"http://127.0.0.1:{camera.port}/v1/parts"
            try:
                answer = httpx.post(url, params={"part_id": self.to_send[0]}, content=png(0), timeout=30)
            except httpx.TransportError:
                continue  # the camera was closed
            if answer.status_code == 200:
                del self.to_send[0]


@SCHEMES
def test_every_part_has_a_valid_id_of_its_own(tmp_path: Path, scheme: Open) -> None:
    """Each part comes once, under an id that may stand in a URL, from this camera and line."""
    line = Line()
    frames = line.run(scheme(tmp_path, line.known), PARTS)
    ids = [frame.part_id for frame in frames]
    assert (len(ids), len(set(ids))) == (PARTS, PARTS)
    assert all(valid_part_id(part_id) for part_id in ids)
    assert {(frame.line, frame.camera, frame.captured_at) for frame in frames} == {("cells", "cam", NOW)}


@SCHEMES
def test_it_ends_when_told(tmp_path: Path, scheme: Open) -> None:
    """Nothing comes after `stopping`, though parts are left."""
    line = Line()
    assert len(line.run(scheme(tmp_path, line.known), 2)) == 2


@SCHEMES
def test_nothing_is_lost_or_inspected_twice_over_a_restart(tmp_path: Path, scheme: Open) -> None:
    """Stopped half-way and started again: the parts that are left come, and then no more."""
    line = Line()
    starts = [line.run(scheme(tmp_path, line.known), count) for count in (3, PARTS - 3, 0)]
    ids = [frame.part_id for frames in starts for frame in frames]
    assert [len(frames) for frames in starts] == [3, PARTS - 3, 0]
    assert len(set(ids)) == PARTS
