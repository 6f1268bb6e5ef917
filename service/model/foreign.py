"""What a classifier that others exported wants to be fed with: what its file shows, and what was said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidInput
from service.model.contract import Input, first

Ratio = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Colour(StrEnum):
    """In which order a network wants its channels. grey for a network of three channels: the same picture three times."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"


class Outputs(StrEnum):
    """logits want a softmax, sigmoid outputs a sigmoid each, probabilities nothing."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    SIGMOID = "sigmoid"


class Wishes(BaseModel):
    """What a file does not say of itself. classes: in the order of the outputs; of a network with one output, what 0 and 1 mean.

    size: (height, width), where the graph leaves it open. A pixel of 0 to 255 enters the network as
    (pixel * scale / 255 - mean) / std; mean and std: one for all channels or one per channel, in the network's order.
    thresholds: per defect, where they shall not be the default. None: found out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    classes: tuple[str, ...]
    good: str
    size: tuple[int, int] | None = None
    colour: Colour | None = None
    mean: tuple[Ratio, ...] = (0.0,)
    std: tuple[Positive, ...] = (1.0,)
    scale: Positive = 1.0
    outputs: Outputs | None = None
    thresholds: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feed:
    """What a network wants to be fed with. single: batches of 1 only. input: what the line hands in. scale, mean, std: as in Wishes."""

    name: str
    dtype: np.dtype[np.floating]
    single: bool
    channels_first: bool
    channels: int
    colour: Colour
    input: Input
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepared(self, fitted: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The plain way that the graph must equal. fitted: uint8 (h, w, c), BGR or grey. Returns a batch of one picture."""
        pixels = fitted.astype(np.float64)
        if self.colour is Colour.RGB:
            pixels = pixels[:, :, ::-1]
        if pixels.shape[2] < self.channels:
            pixels = np.repeat(pixels, self.channels, axis=2)
        pixels = (pixels * self.scale / 255 - np.array(self.mean)) / np.array(self.std)
        if self.channels_first:
            pixels = np.moveaxis(pixels, 2, 0)
        return pixels[np.newaxis].astype(self.dtype)

    def __str__(self) -> str:
        picture = (self.input.height, self.input.width)
        sizes = (self.channels, *picture) if self.channels_first else (*picture, self.channels)
        order = "N x C x H x W" if self.channels_first else "N x H x W x C"
        return f"{self.dtype} {order}, {' x '.join(map(str, sizes))}, {self.colour}"


def feed(model: onnx.ModelProto, wishes: Wishes) -> Feed:
    """Raises InvalidInput, without the file's name, where it cannot be fed with pictures."""
    entry = _entry(model.graph)
    tensor = entry.type.tensor_type
    if tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        kinds = {number: name for name, number in onnx.TensorProto.DataType.items()}
        kind = kinds.get(tensor.elem_type, "of no known type")
        raise InvalidInput(f"input {entry.name!r} is {kind}; expected FLOAT or FLOAT16")
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    axis = next((axis for axis in (1, 3) if len(dims) == 4 and dims[axis] in (1, 3)), None)
    if axis is None:
        shape = " x ".join("?" if dim is None else str(dim) for dim in dims)
        raise InvalidInput(
            f"input {entry.name!r} ({shape}) is no picture; expected N x C x H x W or N x H x W x C, C 1 or 3"
        )
    if dims[0] not in (None, 1):
        raise InvalidInput(f"takes batches of {dims[0]} only; expected 1 or a batch of any size")
    channels = dims[axis] or 0
    colour = _colour(channels, wishes.colour)
    return Feed(
        name=entry.name,
        dtype=helper.tensor_dtype_to_np_dtype(tensor.elem_type),
        single=dims[0] is not None,
        channels_first=axis == 1,
        channels=channels,
        colour=colour,
        input=_input(dims[2:] if axis == 1 else dims[1:3], wishes.size, colour),
        scale=wishes.scale,
        mean=_each(wishes.mean, channels, "--mean"),
        std=_each(wishes.std, channels, "--std"),
    )


def _entry(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    weights = {tensor.name for tensor in graph.initializer}  # old files list them among the inputs
    entries: list[onnx.ValueInfoProto] = [entry for entry in graph.input if entry.name not in weights]
    if len(entries) != 1:
        names = ", ".join(repr(entry.name) for entry in entries[:9])
        raise InvalidInput(f"has {len(entries)} inputs ({names}); expected one, the picture")
    return entries[0]


def _input(found: Sequence[int | None], wished: tuple[int, int] | None, colour: Colour) -> Input:
    """found: (height, width) of the graph, which must be what was said."""
    height, width = (dim or (wished[axis] if wished else None) for axis, dim in enumerate(found))
    if height is None or width is None:
        raise InvalidInput("leaves the size of its pictures open; expected --size HEIGHTxWIDTH")
    if wished not in (None, (height, width)):
        raise InvalidInput(f"takes pictures of {height}x{width}; --size says {'x'.join(map(str, wished or ()))}")
    try:
        return Input(height=height, width=width, colour="grey" if colour is Colour.GREY else "bgr")
    except ValidationError as error:
        raise InvalidInput(f"takes pictures of {height}x{width}: {first(error)}") from error


def _colour(channels: int, wished: Colour | None) -> Colour:
    if channels == 1 and wished not in (None, Colour.GREY):
        raise InvalidInput(f"takes one channel; --colour says {wished}, expected grey")
    return wished or (Colour.GREY if channels == 1 else Colour.RGB)


def _each(values: tuple[float, ...], channels: int, option: str) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise InvalidInput(f"takes {channels} channels; {option} has {len(values)} numbers, expected 1 or {channels}")
    return values * (channels // len(values))
