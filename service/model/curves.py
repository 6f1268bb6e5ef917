"""The picture of a training: loss and accuracy of training and validation, and whether scores mean what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import InvalidInput
from service.model.calibration import calibration_error, reliability
from service.model.contract import Contract
from service.model.data import Data
from service.model.detector import CPU, OnnxDetector
from service.model.judge import Judged, judge

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heldout(detector: OnnxDetector, data: Data) -> Judged:
    """The model's word on those pictures of its own data that were kept for testing."""
    kept = set(detector.contract.pictures.get("test", ()))
    return judge(detector, [one for one, digest in zip(data.samples, data.digests, strict=True) if digest[:12] in kept])


def draw(model: Path, data: Data, out: Path) -> None:
    """Writes a PNG. Raises InvalidInput where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InvalidInput("the curves need matplotlib; expected `pip install 'redrabbit[train]'`") from error
    detector = OnnxDetector(model, (CPU,))
    figure = Figure(figsize=(13, 4), layout="constrained")
    loss, accuracy, scores = figure.subplots(1, 3)
    _curves(loss, accuracy, detector.contract)
    _reliability(scores, heldout(detector, data))
    unfinished = out.with_name(f"{out.name}.new")
    figure.savefig(unfinished, dpi=110, format="png")
    unfinished.replace(out)


def _curves(loss: Axes, accuracy: Axes, contract: Contract) -> None:
    curves = contract.curves
    if curves is None:
        return
    epochs = range(1, 1 + len(curves.training_loss))
    for axes, name, training, validation in (
        (loss, "loss", curves.training_loss, curves.validation_loss),
        (accuracy, "accuracy", curves.training_accuracy, curves.validation_accuracy),
    ):
        axes.plot(epochs, training, label="training, varied pictures", color="tab:grey")
        axes.plot(epochs, validation, label="validation", color="tab:red")
        axes.set(title=f"{contract.name}: {name}", xlabel="epoch", ylabel=name)
        axes.legend()
    best = min(epochs, key=lambda epoch: curves.validation_loss[epoch - 1])
    loss.axvline(best, linestyle=":", color="black")


def _reliability(axes: Axes, judged: Judged) -> None:
    bins = reliability(1 - judged.scores[:, 0], judged.defective)
    axes.plot([0, 1], [0, 1], linestyle=":", color="black")
    axes.plot([one.said for one in bins], [one.was for one in bins], marker="o", color="tab:red")
    for one in bins:
        axes.annotate(str(one.count), (one.said, one.was), textcoords="offset points", xytext=(6, -10), fontsize=8)
    axes.set(
        title=f"held-out pictures: off by {calibration_error(bins):.3f} on the mean",
        xlabel="score of being defective",
        ylabel="share that was",
        xlim=(0, 1),
        ylim=(0, 1),
    )
