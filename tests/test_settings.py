"""line.yaml and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import InvalidInput
from service.records import FailSafe
from service.settings import Parts, load

ROOT = Path(__file__).parents[1]
LEAST = "line: a\nmodel: m.onnx\ncameras: {left: 'folder:///in'}\n"


def _write(folder: Path, text: str) -> Path:
    file = folder / "line.yaml"
    file.write_text(text)
    return file


def test_the_shipped_file_is_valid() -> None:
    """deploy/line.yaml can be loaded."""
    assert load(ROOT / "deploy/line.yaml", {}).line == "el-cells"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Wherever the process was started."""
    settings = load(_write(tmp_path, LEAST), {})
    assert settings.model == tmp_path / "m.onnx"
    assert settings.ledger == f"sqlite:///{tmp_path}/var/redrabbit.db"
    assert settings.images.folder == tmp_path / "var/images"


def test_an_absolute_ledger_stays_where_it_is(tmp_path: Path) -> None:
    """Four slashes name the root."""
    settings = load(_write(tmp_path, f"{LEAST}ledger: sqlite:////srv/parts.db\n"), {})
    assert settings.ledger == "sqlite:////srv/parts.db"


def test_the_environment_overrides_single_keys(tmp_path: Path) -> None:
    """Levels are separated by two underscores; the rest stays as written."""
    environment = {
        "REDRABBIT_STATION__LISTEN": "127.0.0.1:18080",
        "REDRABBIT_BATCH__SIZE": "4",
        "REDRABBIT_PROVIDERS": "[CUDAExecutionProvider]",
        "REDRABBIT_CONFIG": "line.yaml",
        "UNRELATED": "x",
    }
    settings = load(_write(tmp_path, LEAST), environment)
    assert settings.station.listen == "127.0.0.1:18080"
    assert (settings.batch.size, settings.batch.wait) == (4, 0.02)
    assert settings.providers == ("CUDAExecutionProvider",)


def test_a_section_that_stands_there_empty_has_its_defaults(tmp_path: Path) -> None:
    """And without it there is none: a part that nobody judged is then no record."""
    assert load(_write(tmp_path, LEAST), {}).parts is None
    assert (
        load(_write(tmp_path, f"{LEAST}parts: {{}}\n"), {}).parts
        == Parts(missing=FailSafe.REJECT)
        == Parts(wait="500ms")
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("camera: {}", ["camera"]),
        ("station: {listen: '8080'}", ["station.listen", "HOST:PORT"]),
        ("station: {listen: '127.0.0.1:99999'}", ["station.listen", "65535"]),
        ("images: {ring: 500}", ["images.ring", "unit"]),
        ("batch: {size: 0}", ["batch.size", "0"]),
        ("batch: {wait: 20}", ["batch.wait", "unit"]),
        ("providers: []", ["providers"]),
        ("parts: {wait: 500}", ["parts.wait", "unit"]),
        ("parts: {wait: 2m}", ["parts.wait", "60"]),
        ("parts: {missing: ignore}", ["parts.missing", "'reject', 'stop' or 'pass'"]),
        ("parts: {views: [top]}", ["parts.views"]),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, extra: str, words: list[str]) -> None:
    """File, key and what was expected."""
    with pytest.raises(InvalidInput) as caught:
        load(_write(tmp_path, f"{LEAST}{extra}\n"), {})
    message = str(caught.value)
    assert "\n" not in message and "line.yaml" in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "text", ["", "line: a\n", "line: '../a'\nmodel: m\ncameras: {a: b}\n", "line: a\nmodel: m\ncameras: {}\n"]
)
def test_what_a_line_cannot_do_without_is_asked_for(tmp_path: Path, text: str) -> None:
    """Line, model and at least one camera; a name is no path."""
    with pytest.raises(InvalidInput, match=r"line\.yaml"):
        load(_write(tmp_path, text), {})
