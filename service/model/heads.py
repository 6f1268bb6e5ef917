"""Which output of a classifier that others exported holds its scores, and what they are: found out from its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import expit, softmax

from service.errors import InvalidInput
from service.model.foreign import Outputs

ROUNDING: Final = 0.01
"""By which the probabilities of one picture may miss a sum of 1; those of a float16 softmax over a hundred classes do."""
RESHAPING: Final = ("Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze")
"""Operators that hand values on."""
SIGMOIDS: Final = ("HardSigmoid", "QLinearSigmoid", "Sigmoid")


@dataclass(frozen=True, slots=True)
class Head:
    """The output that holds the scores. count: values per picture; one value is the score of the second of two classes.

    sums: whether the scores of a picture add up to 1, so that one class is chosen; else each class has a score of its own.
    """

    name: str
    count: int
    kind: Outputs
    sums: bool

    def scores(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The plain way that the graph must equal. values: (N, count), as the network gives them. Returns (N, classes)."""
        if self.kind is not Outputs.PROBABILITIES:
            values = expit(values) if self.kind is Outputs.SIGMOID else softmax(values, axis=1)
        return np.hstack([1 - values, values]) if self.count == 1 else values


def scores_among(shapes: Sequence[tuple[str, str, tuple[int, ...]]], classes: int) -> int:
    """Which output holds the scores. shapes: name, onnxruntime's word for the type, and shape of each for one picture."""
    fits = [number for number, output in enumerate(shapes) if not _why_not(output, classes)]
    if len(fits) == 1:
        return fits[0]
    if len(shapes) == 1:
        raise InvalidInput(_why_not(shapes[0], classes))
    found = ", ".join(f"{name!r} {kind} {' x '.join(map(str, shape))}" for name, kind, shape in shapes[:9])
    raise InvalidInput(
        f"{len(fits)} of its {len(shapes)} outputs could be the scores of {classes} classes: {found}; expected one"
    )


def _why_not(output: tuple[str, str, tuple[int, ...]], classes: int) -> str:
    name, kind, shape = output
    if kind not in ("tensor(float)", "tensor(float16)"):
        return f"output {name!r} is {kind}; expected float32 or float16 scores"
    count = max(shape, default=0)
    if not shape or shape[0] != 1 or np.prod(shape) != count:
        sizes = " x ".join(map(str, shape)) or "no axis"
        return (
            f"output {name!r} has {sizes} for one picture; expected one score per class: boxes and masks are not taken"
        )
    if count != classes and (count, classes) != (1, 2):
        return f"output {name!r} gives {count} scores; {classes} classes are named"
    return ""


def head(name: str, values: NDArray[np.float64], graph: onnx.GraphProto, wished: Outputs | None) -> Head:
    """What the output of that name is, from its values (N, count) for many pictures. Raises InvalidInput where they leave it open."""
    if not np.isfinite(values).all():
        raise InvalidInput(f"output {name!r} gives numbers that are not finite")
    lowest, highest, count = float(values.min()), float(values.max()), values.shape[1]
    reaches = f"output {name!r} reaches from {lowest:.3g} to {highest:.3g}"
    shares = lowest >= 0 and highest <= 1
    sums = count > 1 and bool((np.abs(values.sum(axis=1) - 1) <= ROUNDING).all())
    if wished is Outputs.PROBABILITIES and not shares:
        raise InvalidInput(f"{reaches}; --outputs says probabilities")
    if wished is None and shares != sums and not (shares and _last(graph, name) in SIGMOIDS):
        adds = "adds" if sums else "does not add"
        raise InvalidInput(f"{reaches} and {adds} up to 1: logits or probabilities? expected --outputs to say it")
    kind = wished or (Outputs.PROBABILITIES if shares else Outputs.LOGITS)
    if count == 1 and kind is Outputs.LOGITS:
        kind = Outputs.SIGMOID
    return Head(name, count, kind, count == 1 or kind is Outputs.LOGITS or (kind is Outputs.PROBABILITIES and sums))


def _last(graph: onnx.GraphProto, name: str) -> str:
    """The operator that computed the values of that name."""
    makers = {output: node for node in graph.node for output in node.output}
    while name in makers and makers[name].op_type in RESHAPING:
        name = makers[name].input[0]
    return makers[name].op_type if name in makers else ""
