"""A folder that files appear in: complete ones only, in order, once each, whatever else lies there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import pytest

from service.cameras.folder import Folder
from service.errors import BadImage, InvalidInput, LedgerUnavailable
from service.ports import Camera
from service.records import Frame
from tests.cameras.stage import NOW, CountingMeter, nothing_known, opened, png, verdict_of

SETTLE = "settle=100ms"


def put(path: Path, content: bytes, at: float = NOW) -> Path:
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def watch(
    folder: Path,
    options: str = "",
    meter: CountingMeter | None = None,
    known: Callable[[Sequence[str]], Mapping[str, float]] = nothing_known,
    clock: Callable[[], float] = lambda: NOW + 60,
) -> Camera:
    return opened(f"folder://{folder}?{SETTLE}{options}", meter, known, clock)


def full_id(name: str, at: float = NOW) -> str:
    """What a file is called where its stem alone would not do."""
    path = Path(name)
    return f"{path.stem}~{path.suffix}{int(at * 1e9):x}"


class Book:
    """A ledger's memory: what a camera gave and the line recorded."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    def known(self, part_ids: Sequence[str]) -> Mapping[str, float]:
        return {part_id: self.times[part_id] for part_id in part_ids if part_id in self.times}

    def inspect(self, camera: Camera, count: int) -> list[Frame]:
        """Takes `count` frames, records and releases each before the next."""
        stopping = Event()
        frames = []
        for frame in islice(camera.frames(stopping), count):
            assert frame.part_id not in self.times
            self.times[frame.part_id] = frame.captured_at
            camera.released(frame, verdict_of(frame))
            frames.append(frame)
        return frames


def take(camera: Camera, count: int) -> list[Frame]:
    """The next `count` frames; the camera is then stopped."""
    stopping = Event()
    frames = list(islice(camera.frames(stopping), count))
    stopping.set()
    return frames


def rest(camera: Camera, looks: int = 5) -> list[Frame]:
    """What comes until the folder has been looked at for a while and nothing more came."""
    stopping = Event()
    frames: list[Frame] = []

    def read() -> None:
        frames.extend(camera.frames(stopping))

    reader = Thread(target=read)
    reader.start()
    Event().wait(0.25 * looks)
    stopping.set()
    reader.join()
    return frames


def ids(frames: Sequence[Frame]) -> list[str]:
    return [frame.part_id for frame in frames]


def test_files_come_oldest_first_under_their_names(tmp_path: Path) -> None:
    """Order is by time, then name; the part's time is the file's."""
    for name, at in {"c.png": NOW - 9, "b.png": NOW, "a.png": NOW}.items():
        put(tmp_path / name, png(1), at)
    frames = take(watch(tmp_path), 3)
    assert [(frame.part_id, frame.captured_at) for frame in frames] == [("c", NOW - 9), ("a", NOW), ("b", NOW)]
    assert frames[0].content == png(1)


def test_a_file_that_still_grows_is_left_alone(tmp_path: Path) -> None:
    """Nothing half-written is read: it comes once it has not changed for `settle`."""
    camera = opened(f"folder://{tmp_path}?settle=600ms")
    growing = tmp_path / "p.png"
    stopping = Event()
    frames: list[Frame] = []
    reader = Thread(target=lambda: frames.extend(camera.frames(stopping)))
    reader.start()
    with growing.open("wb") as output:
        for _ in range(15):
            output.write(b"piece")
            output.flush()
            Event().wait(0.1)
    while not frames:
        Event().wait(0.05)
    stopping.set()
    reader.join()
    assert [frame.content for frame in frames] == [b"piece" * 15]


def test_hidden_unfinished_and_unwanted_names_are_not_parts(tmp_path: Path) -> None:
    """Temporary names, folders and what the pattern leaves out stay where they are."""
    for name in (".a.png", "b.png.tmp", "c.png.part", "d.txt", "e.png"):
        put(tmp_path / name, png(1))
    (tmp_path / "folder.png").mkdir()
    assert ids(rest(watch(tmp_path, "&pattern=*.png"))) == ["e"]


def test_the_same_name_with_another_time_is_another_part(tmp_path: Path) -> None:
    """A camera that counts from 1 again each day loses nothing."""
    known = {"p": NOW - 86400}
    put(tmp_path / "p.png", png(1))
    assert ids(take(watch(tmp_path, known=lambda _: known), 1)) == [full_id("p.png")]


def test_a_file_replaced_while_running_is_another_part(tmp_path: Path) -> None:
    """Overwritten in place: both pictures are inspected."""
    camera = watch(tmp_path)
    stopping = Event()
    frames = camera.frames(stopping)
    put(tmp_path / "p.png", png(1))
    first = next(frames)
    put(tmp_path / "p.png", png(2), NOW + 5)
    camera_known = take(watch(tmp_path, known=lambda _: {"p": NOW}), 1)
    assert (first.part_id, ids(camera_known)) == ("p", [full_id("p.png", NOW + 5)])
    assert next(frames).content == png(2)


def test_one_name_with_two_endings_is_two_parts(tmp_path: Path) -> None:
    """p.png and p.bmp do not share an id."""
    put(tmp_path / "p.png", png(1))
    put(tmp_path / "p.bmp", png(2))
    frames = take(watch(tmp_path), 2)
    assert len(set(ids(frames))) == 2
    assert {frame.content for frame in frames} == {png(1), png(2)}


@pytest.mark.parametrize(("move", "restart"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("second", ["a.jpg", "a.webp"])
def test_another_ending_and_the_same_time_is_another_part(
    tmp_path: Path, second: str, move: bool, restart: bool
) -> None:
    """After a.png is recorded, a.jpg of the same second is inspected, once, with and without `done`."""
    book = Book()
    options = f"&done={tmp_path}/done" if move else ""
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder / "a.png", png(1))
    camera = watch(folder, options, known=book.known)
    first = book.inspect(camera, 1)
    put(folder / second, png(2))
    other = book.inspect(watch(folder, options, known=book.known) if restart else camera, 1)
    assert [(frame.part_id, frame.content) for frame in first + other] == [("a", png(1)), (full_id(second), png(2))]
    assert rest(watch(folder, options, known=book.known)) == []
    left, moved = {path.name for path in folder.iterdir()}, {path.name for path in (tmp_path / "done").glob("*")}
    assert (left, moved) == ((set(), {"a.png", second}) if move else ({"a.png", second}, set()))


@pytest.mark.parametrize("second", ["a.jpg", "a.webp"])
def test_what_came_while_nobody_watched_is_rather_inspected_twice_than_never(tmp_path: Path, second: str) -> None:
    """Without `done`, nothing says which of two endings is the one recorded: both get a record, and then it is known."""
    book = Book()
    put(tmp_path / "a.png", png(1))
    book.inspect(watch(tmp_path, known=book.known), 1)
    put(tmp_path / second, png(2))
    assert sorted(ids(rest(watch(tmp_path, known=book.known)))) == sorted([full_id("a.png"), full_id(second)])
    book.times[full_id(second)] = NOW
    assert ids(rest(watch(tmp_path, known=book.known))) == []


def test_two_endings_hold_after_a_restart_half_way(tmp_path: Path) -> None:
    """Of p.png and p.bmp one is recorded: after a restart the other one comes, alone."""
    book = Book()
    put(tmp_path / "p.png", png(1))
    put(tmp_path / "p.bmp", png(2))
    assert ids(book.inspect(watch(tmp_path, known=book.known), 1)) == [full_id("p.bmp")]
    assert ids(rest(watch(tmp_path, known=book.known))) == [full_id("p.png")]


def test_a_file_from_the_future_is_inspected_once_and_dated_now(tmp_path: Path) -> None:
    """A camera PC whose clock runs ahead: captured now, and known again before and after its time has come."""
    book = Book()
    put(tmp_path / "p.png", png(1), NOW + 3600)
    frames = book.inspect(watch(tmp_path, known=book.known, clock=lambda: NOW), 1)
    assert [(frame.part_id, frame.captured_at) for frame in frames] == [(full_id("p.png", NOW + 3600), NOW)]
    for later in (NOW + 1, NOW + 7200):
        assert rest(watch(tmp_path, known=book.known, clock=lambda now=later: now)) == []  # type: ignore[misc]


def test_a_file_from_the_future_is_not_taken_for_an_earlier_one(tmp_path: Path) -> None:
    """Yesterday's p.png is recorded; today's, dated tomorrow, is another part."""
    put(tmp_path / "p.png", png(1), NOW + 3600)
    camera = watch(tmp_path, known=lambda _: {"p": NOW - 86400}, clock=lambda: NOW)
    assert ids(take(camera, 1)) == [full_id("p.png", NOW + 3600)]


def test_recorded_files_are_not_inspected_again(tmp_path: Path) -> None:
    """After a restart the ledger says what is done; files that were recorded and not yet moved are moved."""
    put(tmp_path / "old.png", png(1))
    put(tmp_path / "new.png", png(2), NOW + 1)
    done = tmp_path / "done"
    assert ids(rest(watch(tmp_path, f"&done={done}", known=lambda _: {"old": NOW}))) == ["new"]
    assert [path.name for path in done.iterdir()] == ["old.png"]


def test_released_files_are_moved_never_over_another(tmp_path: Path) -> None:
    """`done` keeps both files of the same name."""
    done = tmp_path / "done"
    done.mkdir()
    put(done / "p.png", b"earlier")
    put(tmp_path / "p.png", png(1))
    camera = watch(tmp_path, f"&done={done}")
    frame = take(camera, 1)[0]
    camera.released(frame, verdict_of(frame))
    assert (done / "p.png").read_bytes() == b"earlier"
    assert (done / f"p~{int(NOW * 1e9):x}.png").read_bytes() == png(1)
    assert not (tmp_path / "p.png").exists()


def test_a_picture_that_cannot_be_judged_is_set_aside_with_the_reason(tmp_path: Path) -> None:
    """refused() moves it into .refused and says why."""
    put(tmp_path / "p.png", b"rubbish")
    camera = watch(tmp_path)
    camera.refused(take(camera, 1)[0], BadImage("not_an_image", "7 bytes; expected a picture"))
    assert (tmp_path / ".refused" / "p.png").read_bytes() == b"rubbish"
    assert (tmp_path / ".refused" / "p.png.txt").read_text() == "7 bytes; expected a picture\n"


def test_rubbish_is_set_aside_and_the_line_goes_on(tmp_path: Path) -> None:
    """Empty, huge, unnameable files, pipes and links are refused, counted, and the good one comes."""
    outside = put(tmp_path / "secret", b"secret")
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder / "empty.png", b"")
    put(folder / "huge.png", bytes(3000))
    put(folder / "no id.png", b"x")
    put(folder / "no..id.png", b"x")
    (folder / "link.png").symlink_to(outside)
    (folder / "broken.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.png")
    put(folder / "good.png", b"good")
    meter = CountingMeter()
    assert ids(rest(watch(folder, "&limit=2KB", meter), looks=8)) == ["good"]
    assert meter.drops == {"empty": 1, "too_large": 1, "unreadable": 5}
    assert outside.read_bytes() == b"secret"
    refused = {path.name for path in (folder / ".refused").iterdir() if path.suffix != ".txt"}
    assert refused == {
        "empty.png",
        "huge.png",
        "no id.png",
        "no..id.png",
        "link.png",
        "broken.png",
        "pipe.png",
    }


def test_a_folder_that_vanishes_is_waited_for(tmp_path: Path) -> None:
    """The camera is down, then up again, and goes on."""
    folder = tmp_path / "in"
    folder.mkdir()
    meter = CountingMeter()
    camera = watch(folder, meter=meter)
    stopping = Event()
    frames: list[Frame] = []
    reader = Thread(target=lambda: frames.extend(camera.frames(stopping)))
    reader.start()
    while meter.ups != [True]:
        Event().wait(0.02)
    folder.rename(tmp_path / "away")
    while meter.ups != [True, False]:
        Event().wait(0.02)
    (tmp_path / "away").rename(folder)
    put(folder / "p.png", b"x")
    while not frames:
        Event().wait(0.02)
    stopping.set()
    reader.join()
    assert (ids(frames), meter.ups[:3]) == (["p"], [True, False, True])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("folder://{0}/none", "no such folder"),
        ("folder://in", "expected folder:///an/absolute/path"),
        ("folder://{0}?settle=1", "option settle: expected a number with one of the units"),
        ("folder://{0}?setle=1s", "unknown option 'setle'; known options: settle, done, pattern, limit"),
        ("folder://{0}?limit=1MB&limit=2MB", "option 'limit' is given twice"),
        ("folder://{0}?done=moved", "option done: expected an absolute path"),
        ("folder://{0}?done={0}", "expected another folder"),
    ],
)
def test_bad_urls_are_one_line(place: Path, url: str, why: str) -> None:
    """The line names the camera, the option and what was expected."""
    with pytest.raises(InvalidInput) as caught:
        opened(url.format(place))
    assert why in str(caught.value)
    assert str(caught.value).startswith("camera cam: folder://")
    assert "\n" not in str(caught.value)


def test_the_table_knows_it(tmp_path: Path) -> None:
    """folder:// is a Folder and waits for the line."""
    camera = watch(tmp_path)
    assert isinstance(camera, Folder)
    assert camera.live is False


def test_while_the_ledger_does_not_answer_files_wait(tmp_path: Path) -> None:
    """A full disk, a database that is away: the camera must outlive it, or the line ends."""
    answers = iter([LedgerUnavailable("full"), LedgerUnavailable("full")])

    def known(part_ids: Sequence[str]) -> Mapping[str, float]:
        for error in answers:
            raise error
        return {}

    for name in ("a", "b"):
        put(tmp_path / f"{name}.png", png(1))
    assert ids(take(watch(tmp_path, known=known), 2)) == ["a", "b"]
