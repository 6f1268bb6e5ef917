"""The models folder: what was once on the line can come back."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from service.errors import InvalidInput
from service.model.shelf import Shelf


def test_a_model_is_kept_under_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """The same bytes again are no change; nothing else lies in the folder."""
    folder = tmp_path / "new" / "models"
    shelf = Shelf(folder)
    digest = shelf.keep(b"model")
    before = shelf.file(digest).stat().st_mtime_ns
    assert digest == shelf.keep(b"model") == sha256(b"model").hexdigest()
    assert [file.name for file in folder.iterdir()] == [f"{digest}.onnx"]
    assert shelf.file(digest).read_bytes() == b"model" and shelf.file(digest).stat().st_mtime_ns == before


def test_a_file_is_what_its_name_says_or_it_is_none(tmp_path: Path) -> None:
    """Missing, cut off or changed: one line that says which; keeping the model again makes it whole."""
    shelf = Shelf(tmp_path)
    digest = shelf.keep(b"model")
    shelf.file(digest).write_bytes(b"mod")
    with pytest.raises(InvalidInput, match="3 bytes that are not those of its name"):
        shelf.file(digest)
    assert shelf.keep(b"model") == digest and shelf.file(digest).read_bytes() == b"model"
    shelf.file(digest).unlink()
    with pytest.raises(InvalidInput, match="no such file"):
        shelf.file(digest)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "models").write_text("")
    with pytest.raises(InvalidInput, match="models: the model cannot be kept"):
        Shelf(tmp_path / "models").keep(b"model")
