"""Labelled pictures to train and judge a model on: a folder of class folders, a CSV, or the solar cells of the demo.

The files are untrusted: a path may not leave the data's folder, and what is no picture is named before anything is trained.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BadImage, InvalidInput
from service.images import decode
from service.model import elpv
from service.records import Image

GOOD_NAMES: Final = ("good", "ok", "normal", "free", "no_defect", "defect_free")
SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
COLUMNS: Final = ("path", "label", "group", "mask", "captured_at", "part")
PARTS: Final = ("train", "validation", "test")
MASKS: Final = "masks"
MAX_CLASSES: Final = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture. name: how a person finds it again. group: the part (or the lot) it shows, None: not known.

    mask: picture of the same size, where not zero there is the defect. sure: P(label), as those who labelled it said.
    part: one of PARTS where whoever made the data has split it.
    """

    name: str
    label: str
    file: Path
    group: str | None = None
    mask: Path | None = None
    captured_at: str = ""
    sure: float = 1.0
    part: str | None = None

    def read(self) -> bytes:
        """The encoded picture. Raises InvalidInput."""
        try:
            return self.file.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{self.name}: cannot be read: {error.strerror}") from error

    def image(self) -> Image:
        """uint8 BGR (H, W, 3). Raises InvalidInput."""
        try:
            return decode(self.read())
        except BadImage as fault:
            raise InvalidInput(f"{self.name}: {fault}") from fault

    def defect(self) -> NDArray[np.bool_] | None:
        """Where the defect is, bool (H, W); None where nobody drew it. Raises InvalidInput."""
        if self.mask is None:
            return None
        try:
            drawn = decode(self.mask.read_bytes())
        except (OSError, BadImage) as error:
            raise InvalidInput(f"{self.name}: its mask {self.mask.name} cannot be read: {error}") from error
        return np.asarray(cv2.cvtColor(drawn, cv2.COLOR_BGR2GRAY) > 0)


@dataclass(frozen=True)
class Data:
    """samples: by name. good: the class of parts without a defect."""

    source: str
    samples: Sequence[Sample]
    good: str

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The good one first, the others by name."""
        return (self.good, *sorted({sample.label for sample in self.samples} - {self.good}))

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each picture's file."""
        return tuple(sha256(sample.read()).hexdigest() for sample in self.samples)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over labels and pictures, whatever the files are called."""
        rows = sorted(f"{sample.label} {digest}" for sample, digest in zip(self.samples, self.digests, strict=True))
        return sha256("\n".join(rows).encode()).hexdigest()

    @cached_property
    def counts(self) -> dict[str, int]:
        """Pictures of each class."""
        found = Counter(sample.label for sample in self.samples)
        return {name: found[name] for name in self.classes}


def load(source: str, good: str | None = None) -> Data:
    """source: a folder of class folders, a CSV file with the columns path and label, or elpv. Raises InvalidInput."""
    if source == "elpv":
        samples = list(_solar_cells())
    elif (path := Path(source)).is_dir():
        samples = list(_folder(path))
    elif path.is_file():
        samples = list(_table(path))
    else:
        raise InvalidInput(f"data {source!r}: expected elpv, a folder of class folders or a CSV file")
    samples.sort(key=lambda sample: sample.name)
    names = {sample.label for sample in samples}
    if not 2 <= len(names) <= MAX_CLASSES:
        raise InvalidInput(f"{source}: {len(names)} classes with pictures; expected 2 to {MAX_CLASSES}")
    return Data(source, samples, _good(source, names, good))


def _good(source: str, names: set[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in names:
            raise InvalidInput(f"{source}: no pictures of class {wanted!r}; there are {', '.join(sorted(names))}")
        return wanted
    found = sorted(name for name in names if name.lower() in GOOD_NAMES)
    if len(found) != 1:
        raise InvalidInput(
            f"{source}: which class is good? Expected --good with one of {', '.join(sorted(names))}, or one class named "
            f"{', '.join(GOOD_NAMES[:3])}"
        )
    return found[0]


def _solar_cells() -> Iterator[Sample]:
    part_of = {cell.file: part for part, cells in elpv.split().items() for cell in cells}
    for number, cell in enumerate(elpv.cells()):
        if number in elpv.TWINS:
            continue
        label = elpv.CLASSES[cell.defective]
        sure = cell.probability if cell.defective else 1 - cell.probability
        group = f"run {number // elpv.RUN:02d}"
        yield Sample(cell.file.name, label, cell.file, group, sure=sure, part=part_of[cell.file])


def _folder(root: Path) -> Iterator[Sample]:
    """Class folders; below each any folders. A mask is STEM_mask.* or a PNG beside a JPEG of the same stem, or lies under
    masks/CLASS/ with the picture's stem."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name != MASKS):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        photographs = {path.with_suffix("") for path in files if path.suffix.lower() in (".jpg", ".jpeg")}
        masks = {path.with_suffix(""): path for path in (root / MASKS / folder.name).glob("*")}
        for file in files:
            bare = file.with_suffix("")
            if bare.name.endswith("_mask") or (file.suffix.lower() == ".png" and bare in photographs):
                masks[bare.with_name(bare.name.removesuffix("_mask"))] = file
        drawn = set(masks.values())
        for file in files:
            if file not in drawn:
                mask = masks.get(file.with_suffix("")) or masks.get(root / MASKS / folder.name / file.stem)
                yield Sample(file.relative_to(root).as_posix(), folder.name, file, mask=mask)


def _table(path: Path) -> Iterator[Sample]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: no text in UTF-8: {error}") from error
    rows = csv.DictReader(text.splitlines())
    given = rows.fieldnames or ()
    if not {"path", "label"} <= set(given) or set(given) - set(COLUMNS):
        raise InvalidInput(
            f"{path}: columns {', '.join(given) or 'none'}; expected path,label[,group,mask,captured_at,part]"
        )
    seen: set[str] = set()
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        if None in row or None in row.values():
            raise InvalidInput(f"{where}: expected {len(given)} fields")
        name, label = row["path"], row["label"]
        if not label or name in seen:
            raise InvalidInput(f"{where}: {'no label' if not label else f'{name!r} stands there twice'}")
        if (part := row.get("part") or None) not in (None, *PARTS):
            raise InvalidInput(f"{where}: part {part!r}; expected one of {', '.join(PARTS)}, or nothing")
        seen.add(name)
        mask = _inside(path, row.get("mask") or "", where)
        file = _inside(path, name, where)
        if file is None:
            raise InvalidInput(f"{where}: no path")
        yield Sample(name, label, file, row.get("group") or None, mask, row.get("captured_at") or "", part=part)


def _inside(table: Path, name: str, where: str) -> Path | None:
    """A file beside the table or below; nothing else is read because a table says so."""
    if not name:
        return None
    root = table.parent.resolve()
    file = (root / name).resolve()
    if not file.is_relative_to(root):
        raise InvalidInput(f"{where}: {name!r} lies outside {table.parent}")
    if not file.is_file():
        raise InvalidInput(f"{where}: there is no file {name!r} beside the table")
    return file
