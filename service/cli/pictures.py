"""What the pictures of the commands share: they are asked for by `--picture`, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import InvalidInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check(file: Path) -> None:
    """Raises InvalidInput before anything is computed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InvalidInput("--picture needs matplotlib: pip install 'redrabbit[plan]'") from error
    if file.suffix != ".png":
        raise InvalidInput(f"--picture {file}: expected a name that ends in .png")
    if not file.absolute().parent.is_dir():
        raise InvalidInput(f"--picture {file}: the folder {file.absolute().parent} does not exist")


def save(figure: Figure, file: Path) -> None:
    """Raises InvalidInput."""
    unfinished = file.with_suffix(".png.unfinished")
    try:
        figure.savefig(unfinished, format="png", dpi=120)
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InvalidInput(f"--picture {file}: cannot be written: {error.strerror}") from error
