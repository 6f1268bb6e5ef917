"""`inspect`: what the convolutions of a model do to a picture, with warnings in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.errors import InvalidInput

if TYPE_CHECKING:
    from service.model.geometry import Layer


def register(app: typer.Typer) -> None:
    app.command()(inspect)


def inspect(
    model: Annotated[Path, typer.Argument(help="Any ONNX file, redrabbit's or not.")],
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the picture, where the graph leaves it open.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="A folder of masks, not zero where the defect is: can the model see the smallest?"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of layers for machines.")] = False,
) -> None:
    """Show every convolution: sizes, padding, weights, work, what it sees; warn of what cannot be meant."""
    from service.model.contract import load
    from service.model.geometry import layers
    from service.model.masks import smallest

    graph, _ = load(model)
    wanted = _size(size)
    found = layers(graph, wanted)
    if masks is not None and found:
        if found[0].input is None:
            raise InvalidInput("--masks: the graph leaves the picture's size open; give it with --size")
        found = layers(graph, wanted, smallest(masks, _picture(found)))
    if as_json:
        typer.echo(json.dumps([layer.plain() for layer in found], indent=1))
    elif not found:
        typer.echo(f"{model}: no convolution of pictures in it")
    else:
        _table(found)


def _picture(found: list[Layer]) -> tuple[int, int]:
    """Height and width of what the first convolution is given."""
    return found[0].input or (0, 0)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or not all(0 < int(side) <= 65536 for side in match.groups()):
        raise InvalidInput(f"--size {text!r}: expected HEIGHTxWIDTH in pixels, such as 224x224")
    return int(match[1]), int(match[2])


def _table(found: list[Layer]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in (
        "",
        "layer",
        "in",
        "out",
        "kernel",
        "stride",
        "pad",
        "dil",
        "groups",
        "from",
        "to",
        "weights",
        "MACs",
        "sees",
        "keeps",
    ):
        table.add_column(name, justify="left" if name == "layer" else "right", overflow="fold")
    for number, layer in enumerate(found, 1):
        said = layer.plain()
        table.add_row(
            *(str(number), layer.name[-18:], str(layer.in_channels), str(layer.out_channels)),
            *(_short(said[key]) for key in ("kernel", "stride", "padding", "dilation")),
            *(str(layer.groups), _by(layer.input), _by(layer.output), f"{layer.weights:,}"),
            *(
                "?" if layer.macs is None else f"{layer.macs:,}",
                _short(said["receptive_field"]),
                _short(said["same_padding"]),
            ),
        )
    macs = [layer.macs for layer in found if layer.macs is not None]
    table.add_section()
    total = [
        "",
        "together",
        *[""] * 9,
        f"{sum(layer.weights for layer in found):,}",
        f"{sum(macs):,}" if macs else "?",
        "",
        "",
    ]
    table.add_row(*total)
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    console.print(table)
    console.print(
        "sees: pixels of the picture that one output sees; keeps: the padding that keeps the size (with a stride: size / stride)."
    )
    if any(layer.input is None for layer in found):
        console.print("?: the graph leaves the picture's size open; give it with --size.")
    for number, layer in enumerate(found, 1):
        for warning in layer.warnings:
            console.print(f"warning: layer {number}, {layer.name}: {warning}.", soft_wrap=True)


def _by(sides: tuple[int, int] | None) -> str:
    return "?" if sides is None else f"{sides[0]}x{sides[1]}"


def _short(value: int | list[int] | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else ",".join(map(str, value))
