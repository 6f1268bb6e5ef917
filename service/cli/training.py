"""`train` and `export`: labelled pictures become a model file that says all of itself."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError

from service.errors import InvalidInput

if TYPE_CHECKING:
    from service.model.course import History
    from service.model.data import Data
    from service.model.recipe import Recipe

DATA = typer.Argument(
    help="A folder of class folders, a CSV (path,label[,group,mask,captured_at,part]), or elpv: the demo's solar cells."
)
GOOD = typer.Option(help="The class of parts without a defect; needed where none is named good, ok or normal.")


def register(app: typer.Typer) -> None:
    for command in (train, export):
        app.command()(command)


def train(
    data: Annotated[str, DATA],
    out: Annotated[Path, typer.Option(help="Write the model there; its card, curves and checkpoint beside it.")],
    good: Annotated[str | None, GOOD] = None,
    name: Annotated[str | None, typer.Option(help="What the model is called; the file's stem when not given.")] = None,
    backbone: Annotated[
        Literal["efficientnet-lite0", "scratch"], typer.Option(help="Pretrained on ImageNet, or from scratch.")
    ] = "efficientnet-lite0",
    cut: Annotated[
        int, typer.Option(help="Blocks of the backbone that are kept, 1 to 16: fewer are quicker and see finer detail.")
    ] = 8,
    fine_tune: Annotated[
        bool | None, typer.Option("--fine-tune/--frozen", help="Whether the backbone learns too; from scratch it does.")
    ] = None,
    size: Annotated[int, typer.Option(help="Height and width at which pictures are looked at, pixels.")] = 224,
    colour: Annotated[
        Literal["auto", "grey", "bgr"],
        typer.Option(help="Whether the model sees colour; auto: where the pictures have any."),
    ] = "auto",
    mirror: Annotated[
        Literal["none", "sideways", "both"], typer.Option(help="Which mirror images of a part are parts again.")
    ] = "both",
    recall: Annotated[float, typer.Option(help="Share of each defect that the thresholds are to catch.")] = 0.9,
    failing_camera: Annotated[
        float | None,
        typer.Option(
            help="Learn from pictures of a failing camera too, weighted to a line with this share of bad parts."
        ),
    ] = None,
    mixup: Annotated[
        float, typer.Option(help="Blend pictures in pairs, against learning by heart: 0.2 to 0.4; 0 does not.")
    ] = 0.0,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 60,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without a better validation loss.")] = 12,
    batch: Annotated[int, typer.Option(help="Pictures a step.")] = 64,
    rate: Annotated[float, typer.Option(help="Learning rate of the head.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of split, initial weights and variations.")] = 1,
) -> None:
    """Train a model on labelled pictures. Broken off, the same command goes on where it was. Needs the extra `train`."""
    from service.model.card import write_card
    from service.model.curves import draw
    from service.model.data import load
    from service.model.export import export
    from service.model.recipe import Recipe
    from service.model.train import train, unfinished

    if out.suffix != ".onnx":
        raise InvalidInput(f"--out {out}: expected a name that ends in .onnx")
    if not out.parent.is_dir():
        raise InvalidInput(f"{out}: the folder {out.parent} does not exist")
    loaded = load(data, good)
    try:
        recipe = Recipe.model_validate(
            {
                "name": name or out.stem,
                "backbone": backbone,
                "cut": cut,
                "fine_tune": backbone == "scratch" if fine_tune is None else fine_tune,
                "input": {"height": size, "width": size, "colour": _colour(loaded) if colour == "auto" else colour},
                "mirror": mirror,
                "recall": recall,
                "failing_camera": failing_camera,
                "mixup": mixup,
                "epochs": epochs,
                "patience": patience,
                "batch": batch,
                "rate": rate,
                "seed": seed,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise InvalidInput(f"--{where}: {first['msg'].removeprefix('Value error, ')}") from error
    checkpoint = out.with_suffix(".pt")
    with Bar(loaded.classes, recipe) as bar:
        train(loaded, recipe, checkpoint, bar, typer.echo)
    export(checkpoint, out, "float32", typer.echo)
    draw(out, loaded, out.with_suffix(".png"))
    write_card(out, loaded, recipe, out.with_suffix(".md"))
    unfinished(checkpoint).unlink(missing_ok=True)
    typer.echo(f"wrote {out.with_suffix('.md')}, {out.with_suffix('.png')} and {checkpoint}")
    typer.echo(f"next: redrabbit gate {out} {data}")


def _colour(data: Data) -> str:
    """Grey where the first pictures of each class have three equal channels."""
    shown: dict[str, int] = {}
    for sample in data.samples:
        shown[sample.label] = shown.get(sample.label, 0) + 1
        if shown[sample.label] <= 5:
            image = sample.image()
            if (image.max(axis=2) != image.min(axis=2)).any():
                return "bgr"
    return "grey"


class Bar:
    """A progress bar with loss, accuracy and recall of every class; one line an epoch stays on the screen."""

    def __init__(self, classes: tuple[str, ...], recipe: Recipe) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._classes, self._epochs = classes, recipe.epochs
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._task = self._bar.add_task("begins", total=None)

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def features(self, done: int, total: int) -> None:
        self._bar.update(self._task, description=f"looks once, {total} pictures", completed=done, total=total)

    def batch(self, epoch: int, share: float) -> None:
        self._bar.update(self._task, description=f"epoch {epoch + 1}", completed=epoch + share, total=self._epochs)

    def epoch(self, number: int, history: History) -> None:
        recalls = ", ".join(
            f"{name} {value:.2f}" for name, value in zip(self._classes, history.recalls[-1], strict=True)
        )
        self._bar.console.print(
            f"epoch {number + 1}: loss {history.training_loss[-1]:.4f}, validation {history.validation_loss[-1]:.4f}; accuracy "
            f"{history.training_accuracy[-1]:.3f}, validation {history.validation_accuracy[-1]:.3f}; recall {recalls}",
            highlight=False,
            soft_wrap=True,
        )


def export(
    checkpoint: Annotated[Path, typer.Argument(help="What `redrabbit train` wrote beside its model.")],
    out: Annotated[Path, typer.Option(help="Write the ONNX file there.")],
    precision: Annotated[
        Literal["float32", "float16", "int8"], typer.Option(help="Of weights and sums: what is smaller is quicker.")
    ] = "float32",
) -> None:
    """Write a trained model as ONNX that says all of itself, in another precision. Needs the extra `train`."""
    from service.model.export import export

    export(checkpoint, out, precision, typer.echo)
