"""Labelled pictures from folders and tables, and what is wrong with them in one line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from service.errors import InvalidInput
from service.model.data import Data, load


def picture(file: Path, shade: int = 100) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), np.full((8, 8), shade, np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shade, name in enumerate(["good/a.png", "good/b.png", "crack/deep/c.jpg", "hole/d.png"]):
        picture(tmp_path / name, 50 * shade)
    return tmp_path


def test_class_folders(folder: Path) -> None:
    """The folder is the class, whatever lies below; the good one comes first."""
    data = load(str(folder))
    assert data.classes == ("good", "crack", "hole")
    assert [(one.name, one.label) for one in data.samples][:2] == [
        ("crack/deep/c.jpg", "crack"),
        ("good/a.png", "good"),
    ]
    assert data.counts == {"good": 2, "crack": 1, "hole": 1}


@pytest.mark.parametrize("mask", ["crack/deep/c_mask.png", "crack/deep/c.png", "masks/crack/c.png"])
def test_a_mask_is_found_beside_its_picture_or_under_masks(folder: Path, mask: str) -> None:
    """And is no picture of its own."""
    picture(folder / mask, 255)
    (crack,) = [one for one in load(str(folder)).samples if one.label == "crack"]
    drawn = crack.defect()
    assert crack.name == "crack/deep/c.jpg" and drawn is not None and drawn.all()


def test_the_digest_is_of_labels_and_pictures(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Names do not matter; a label does, a pixel does."""
    before = load(str(folder)).digest
    (folder / "good/a.png").rename(folder / "good/z.png")
    assert load(str(folder)).digest == before
    (folder / "good/z.png").rename(folder / "hole/z.png")
    assert load(str(folder)).digest != before


def test_a_table(folder: Path) -> None:
    """Groups, masks and parts as its columns say; what is empty is not known."""
    picture(folder / "m.png", 255)
    table = folder / "table.csv"
    table.write_text("path,label,group,mask,part\ngood/a.png,ok,7,,train\nhole/d.png,hole,,m.png,test\n")
    first, second = load(str(table)).samples
    assert (first.label, first.group, first.mask, first.part) == ("ok", "7", None, "train")
    assert (second.group, second.part, second.mask) == (None, "test", (folder / "m.png").resolve())


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("file,label\na,b\n", "columns file, label; expected path,label"),
        ("path,label,colour\na,b,c\n", "columns path, label, colour"),
        ("path,label\ngood/a.png\n", "line 2: expected 2 fields"),
        ("path,label\ngood/a.png,ok,more\n", "line 2: expected 2 fields"),
        ("path,label\ngood/a.png,\n", "line 2: no label"),
        ("path,label\n,ok\n", "line 2: no path"),
        ("path,label\ngood/a.png,ok\ngood/a.png,ok\n", "line 3: 'good/a.png' stands there twice"),
        ("path,label\n../secret.png,ok\n", "line 2: '../secret.png' lies outside"),
        ("path,label\n/etc/passwd,ok\n", "line 2: '/etc/passwd' lies outside"),
        ("path,label\nmissing.png,ok\n", "line 2: there is no file 'missing.png'"),
        ("path,label,part\ngood/a.png,ok,middle\n", "line 2: part 'middle'; expected one of train, validation, test"),
        ("path,label\ngood/a.png,ok\n", "1 classes with pictures; expected 2"),
        ("path,label\ngood/a.png,a\ngood/b.png,b\n", "which class is good? Expected --good with one of a, b"),
    ],
)
def test_a_bad_table_is_one_line(folder: Path, rows: str, says: str) -> None:
    """It names the file, the line and what was expected."""
    table = folder / "table.csv"
    table.write_text(rows)
    with pytest.raises(InvalidInput) as refused:
        load(str(table))
    assert says in str(refused.value) and str(table) in str(refused.value)


def test_which_class_is_good_can_be_said(folder: Path) -> None:
    """And must be there."""
    assert load(str(folder), "hole").classes[0] == "hole"
    with pytest.raises(InvalidInput, match="no pictures of class 'fine'"):
        load(str(folder), "fine")


def test_what_is_no_picture_is_named(folder: Path) -> None:
    """Broken, cut off or gone since."""
    (folder / "good/a.png").write_bytes(b"no picture")
    samples = {one.name: one for one in load(str(folder)).samples}
    with pytest.raises(InvalidInput, match=r"good/a\.png: "):
        samples["good/a.png"].image()
    (folder / "good/b.png").unlink()
    with pytest.raises(InvalidInput, match=r"good/b\.png: cannot be read"):
        samples["good/b.png"].image()


def test_the_solar_cells() -> None:
    """All but the twins, each in its part, with how sure its label is."""
    data: Data = load("elpv")
    assert data.classes == ("good", "defective")
    assert len(data.samples) == 2544
    assert {one.part for one in data.samples} == {"train", "validation", "test"}
    assert {round(one.sure, 2) for one in data.samples} == {0.67, 1.0}
