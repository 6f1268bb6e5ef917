"""`adopt`: a classifier that others exported becomes a file for the line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.errors import InvalidInput

FOREIGN_HELP = (
    "A classifier as ONNX: float32 or float16, N x C x H x W or N x H x W x C, one score per class or one for two."
)


def register(app: typer.Typer) -> None:
    app.command()(adopt)


def adopt(
    foreign: Annotated[Path, typer.Argument(help=FOREIGN_HELP)],
    out: Annotated[Path, typer.Option(help="Write the adopted model there.")],
    classes: Annotated[
        str, typer.Option(help="good,crack,dent: in the order of the outputs; of one output: 0, then 1.")
    ],
    good: Annotated[str, typer.Option(help="Which of the classes is the good one.")] = "good",
    name: Annotated[str, typer.Option(help="Of the model; without it, the name of the file it is written to.")] = "",
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH, where the graph leaves it open.")] = "",
    colour: Annotated[str, typer.Option(help="rgb, bgr or grey; without it, rgb, and grey for one channel.")] = "",
    mean: Annotated[str, typer.Option(help="0.485,0.456,0.406: one per channel in its order, or one for all.")] = "0",
    std: Annotated[str, typer.Option(help="Deviation, as --mean. In goes (pixel * scale / 255 - mean) / std.")] = "1",
    scale: Annotated[float, typer.Option(help="What white is before --mean is taken off: 1, or 255.")] = 1.0,
    outputs: Annotated[
        str, typer.Option(help="logits, probabilities or sigmoid; without it, found out by running.")
    ] = "",
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="crack=0.5: flagged from there on. Default 1/classes; 0.5 if each class has its own sigmoid."
        ),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="Folder of pictures to prove it with; without it, random ones.")
    ] = None,
) -> None:
    """Take in a classifier that others exported, and prove that it says the same as before.

    Adds to the graph what the line expects (uint8 pictures in, scores out, any batch) and compares the scores with the foreign
    model's. A wrong order of classes, wrong colour or wrong --mean, --std, --scale cannot be seen that way: `redrabbit gate`
    judges them on labelled pictures.
    """
    from pydantic import ValidationError

    from service.model.adopt import adopt as take_in
    from service.model.contract import first
    from service.model.foreign import Wishes

    said = {"size": _size(size) if size else None, "colour": colour or None, "outputs": outputs or None}
    try:
        wishes = Wishes.model_validate(
            {
                **said,
                "name": name or out.stem,
                "classes": classes.split(","),
                "good": good,
                "mean": mean.split(","),
                "std": std.split(","),
                "scale": scale,
                "thresholds": dict(_threshold(text) for text in threshold or ()),
            }
        )
    except ValidationError as error:
        raise InvalidInput(f"--{first(error)}") from error
    take_in(foreign, out, wishes, samples, typer.echo)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width)
    except ValueError as error:
        raise InvalidInput(f"--size {text}: expected HEIGHTxWIDTH, as 224x224") from error


def _threshold(text: str) -> tuple[str, float]:
    defect, _, number = text.partition("=")
    try:
        return defect, float(number)
    except ValueError as error:
        raise InvalidInput(f"--threshold {text}: expected DEFECT=SCORE, as crack=0.5") from error
