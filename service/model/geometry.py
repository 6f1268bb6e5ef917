"""What the convolutions of an ONNX graph do to a picture: sizes, weights, work, and how far each of them sees.

Any graph is looked at, ours or not. Sizes by floor((n + 2 p - d (k - 1) - 1) / s) + 1 along each axis; receptive fields by A. Araujo,
W. Norris, J. Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from service.errors import InvalidInput

CONVOLUTIONS: Final = ("Conv", "ConvInteger", "QLinearConv")
POOLS: Final = ("MaxPool", "AveragePool", "LpPool")
MOST_NODES: Final = 200_000
LARGEST: Final = 1 << 20  # pixels along one side, channels: beyond it a graph is nonsense

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution. Along height and width; padding as (top, left, bottom, right), Pad nodes in front of it counted.

    input, output: (height, width) in pixels, None where the graph leaves them open. weights: kernel and bias. macs: multiply-adds
    a picture. receptive_field: pixels of the picture that one output sees. same_padding: what would keep the size (with a stride:
    give size / stride), all around; None where no even padding does.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    input: tuple[int, int] | None
    output: tuple[int, int] | None
    weights: int
    macs: int | None
    receptive_field: tuple[int, int]
    same_padding: tuple[int, int] | None
    warnings: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """For JSON: sizes as [height, width]; of everything else one number where all sides agree."""
        sizes = {"input": self.input and list(self.input), "output": self.output and list(self.output)}
        return {name: _plain(getattr(self, name)) for name in self.__slots__} | sizes


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and all(isinstance(one, int) for one in value):
        return value[0] if len(set(value)) == 1 else list(value)
    return list(value) if isinstance(value, tuple) else value


class _Reach(NamedTuple):
    """How much of the picture one value sees along height and width, and how far apart neighbours look."""

    field: tuple[int, int]
    jump: tuple[float, float]


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """padding: of both sides together, pixels.

    >>> output_size(32, 5, 1, 0, 1), output_size(28, 3, 2, 6, 1), output_size(28, 5, 1, 4, 1)
    (28, 16, 28)
    """
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def layers(
    model: onnx.ModelProto, size: tuple[int, int] | None = None, smallest_defect: int | None = None
) -> list[Layer]:
    """The convolutions in the graph's order. size: height and width of the picture, where the graph leaves them open.

    smallest_defect: pixels at that size; the layer that sees most is held against it. Raises InvalidInput for a graph that cannot be.
    """
    if len(model.graph.node) > MOST_NODES:
        raise InvalidInput(f"{len(model.graph.node)} nodes; expected at most {MOST_NODES}")
    walk = _Walk(model, size)
    found = list(walk.layers())
    if found and smallest_defect is not None:
        widest = max(range(len(found)), key=lambda at: min(found[at].receptive_field))
        sees = min(found[widest].receptive_field)
        if sees < smallest_defect:
            told = (
                f"sees {sees} pixels at most; the smallest defect in the masks is {smallest_defect} long, so no layer ever has "
                "the whole of it in view: go deeper, or shrink the picture"
            )
            found[widest] = _with(found[widest], told)
    return found


def _with(layer: Layer, warning: str) -> Layer:
    return replace(layer, warnings=(*layer.warnings, warning))


class _Walk:
    """Follows one graph from its input."""

    def __init__(self, model: onnx.ModelProto, size: tuple[int, int] | None) -> None:
        self._graph = model.graph
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._shapes = _shapes(model, size, set(self._constants))
        self._reach: dict[str, _Reach] = {}
        self._padded: dict[str, tuple[str, tuple[int, int, int, int]]] = {}

    def layers(self) -> Iterator[Layer]:
        for number, node in enumerate(self._graph.node):
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "Constant" and isinstance(attributes.get("value"), onnx.TensorProto):
                self._constants[node.output[0]] = attributes["value"]
            elif (
                node.op_type in ("DequantizeLinear", "QuantizeLinear", "Identity", "Cast")
                and node.input[0] in self._constants
            ):
                self._constants[node.output[0]] = self._constants[node.input[0]]
            elif node.op_type in CONVOLUTIONS:
                layer = self._convolution(node, attributes, node.name or f"{node.op_type} {number}")
                if layer is not None:
                    yield layer
            else:
                self._pass_on(node, attributes)

    def _convolution(self, node: onnx.NodeProto, attributes: Mapping[str, Any], name: str) -> Layer | None:
        at = 3 if node.op_type == "QLinearConv" else 1
        kernel_tensor = self._constants.get(node.input[at]) if len(node.input) > at else None
        if kernel_tensor is None:
            raise InvalidInput(f"{name}: its kernel is not in the file; expected weights as constants")
        dims = list(kernel_tensor.dims)
        if len(dims) != 4:
            return None  # along one axis, or a volume: no picture
        if any(not 0 < one <= LARGEST for one in dims):
            raise InvalidInput(
                f"{name}: a kernel of {' x '.join(map(str, dims))}; expected sizes above 0 and below {LARGEST}"
            )
        kernel, groups = (dims[2], dims[3]), int(attributes.get("group", 1))
        stride, dilation = (_two(attributes, key, name) for key in ("strides", "dilations"))
        if groups < 1:
            raise InvalidInput(f"{name}: {groups} groups; expected at least 1")
        source, before = self._padded.get(node.input[0], (node.input[0], (0, 0, 0, 0)))
        shape = self._shapes.get(source)
        given = _size(shape)
        own = _pads(attributes, given, kernel, stride, dilation, name)
        padding = tuple(one + other for one, other in zip(own, before, strict=True))
        after = _after(given, kernel, stride, padding, dilation)
        if after is not None:
            batch = shape[0] if shape else None
            self._shapes[node.output[0]] = (batch, dims[0], *after)
        reach = self._see(node.input[0], kernel, stride, dilation)
        self._reach[node.output[0]] = reach
        channels, bias = dims[1] * groups, dims[0] if len(node.input) > at + 1 and node.op_type == "Conv" else 0
        same = tuple(dilation[axis] * (kernel[axis] - 1) / 2 for axis in (0, 1))
        layer = Layer(
            name=name,
            in_channels=channels,
            out_channels=dims[0],
            kernel=kernel,
            stride=stride,
            padding=(padding[0], padding[1], padding[2], padding[3]),
            dilation=dilation,
            groups=groups,
            input=given,
            output=after,
            weights=prod(dims) + bias,
            macs=prod(dims) * prod(after) if after is not None else None,
            receptive_field=reach.field,
            same_padding=(int(same[0]), int(same[1])) if all(one == int(one) for one in same) else None,
            warnings=(),
        )
        return _with_warnings(layer, shape)

    def _see(self, source: str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> _Reach:
        before = self._reach.get(source, _Reach((1, 1), (1.0, 1.0)))
        field = [
            min(LARGEST, round(before.field[at] + dilation[at] * (kernel[at] - 1) * before.jump[at])) for at in (0, 1)
        ]
        jump = [min(float(LARGEST), before.jump[at] * stride[at]) for at in (0, 1)]
        return _Reach((field[0], field[1]), (jump[0], jump[1]))

    def _pass_on(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> None:
        """What other nodes do to size and reach; most do nothing."""
        known = [self._reach[name] for name in node.input if name in self._reach]
        source = node.input[0] if node.input else ""
        reach = max(known, key=lambda one: one.field, default=None)
        if node.op_type in POOLS and len(kernel := tuple(attributes.get("kernel_shape", ()))) == 2:
            name = node.name or node.op_type
            stride = _two(attributes, "strides", name)
            dilation = _two(attributes, "dilations", name)
            reach = self._see(source, kernel, stride, dilation)
            shape = self._shapes.get(source)
            after = _after(
                _size(shape), kernel, stride, _pads(attributes, _size(shape), kernel, stride, dilation, name), dilation
            )
            if after is not None and shape is not None and node.output[0] not in self._shapes:
                self._shapes[node.output[0]] = (*shape[:2], *after)
        elif node.op_type == "Pad" and (pads := self._pad_sizes(node, attributes)) is not None:
            self._padded[node.output[0]] = (source, pads)
        elif node.op_type == "Resize" and reach is not None:
            reach = self._resized(node, source, reach)
        elif source in self._shapes and node.op_type in _KEEPS_SHAPE:
            self._shapes.setdefault(node.output[0], self._shapes[source])
        if reach is not None:
            for name in node.output:
                self._reach[name] = reach

    def _resized(self, node: onnx.NodeProto, source: str, reach: _Reach) -> _Reach:
        before, after = _size(self._shapes.get(source)), _size(self._shapes.get(node.output[0]))
        if before is None or after is None or not all(after):
            return reach
        return _Reach(reach.field, (reach.jump[0] * before[0] / after[0], reach.jump[1] * before[1] / after[1]))

    def _pad_sizes(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) of a Pad of height and width, None for any other."""
        tensor = self._constants.get(node.input[1]) if len(node.input) > 1 else None
        pads = list(attributes.get("pads", ())) if tensor is None else _numbers(tensor)
        if len(pads) != 8 or any(pads[at] for at in (0, 1, 4, 5)) or any(abs(one) > LARGEST for one in pads):
            return None
        return int(pads[2]), int(pads[3]), int(pads[6]), int(pads[7])


_KEEPS_SHAPE = frozenset(
    [
        "Relu",
        "Clip",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Softplus",
        "Mish",
        "Gelu",
        "BatchNormalization",
        "InstanceNormalization",
        "Dropout",
        "Identity",
        "Cast",
        "Add",
        "Mul",
        "Sub",
        "Div",
        "QuantizeLinear",
        "DequantizeLinear",
        "LRN",
        "Erf",
    ]
)


def _numbers(tensor: onnx.TensorProto) -> list[int]:
    if prod(tensor.dims) > 16:
        return []
    try:
        return [int(one) for one in np.asarray(numpy_helper.to_array(tensor)).reshape(-1)]
    except (ValueError, TypeError):
        return []


def _shapes(model: onnx.ModelProto, size: tuple[int, int] | None, constants: set[str]) -> dict[str, Shape]:
    """Shapes as onnx infers them once batch, height and width are fixed."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for given in fixed.graph.input:
        dims = given.type.tensor_type.shape.dim
        if given.name in constants or len(dims) != 4:
            continue
        nhwc = dims[3].dim_value in (1, 3, 4) and dims[1].dim_value not in (1, 3, 4)
        sides = (1, 2) if nhwc else (2, 3)
        if not dims[0].dim_value:
            dims[0].dim_value = 1
        for at, side in zip(sides, size or (0, 0), strict=True):
            if not dims[at].dim_value and side:
                dims[at].dim_value = side
    with suppress(Exception):  # a graph that onnx cannot follow is still looked at, convolution by convolution
        fixed = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    told = [*fixed.graph.input, *fixed.graph.value_info, *fixed.graph.output]
    return {
        one.name: tuple(
            dim.dim_value if 0 < dim.dim_value <= LARGEST else None for dim in one.type.tensor_type.shape.dim
        )
        for one in told
        if one.type.tensor_type.HasField("shape")
    }


def _size(shape: Shape | None) -> tuple[int, int] | None:
    if shape is None or len(shape) != 4 or shape[2] is None or shape[3] is None:
        return None
    return shape[2], shape[3]


def _two(attributes: Mapping[str, Any], key: str, name: str) -> tuple[int, int]:
    given = tuple(attributes.get(key, ())) or (1, 1)
    if len(given) != 2 or any(not 0 < one <= LARGEST for one in given):
        raise InvalidInput(f"{name}: {key} {list(given)}; expected two numbers above 0")
    return int(given[0]), int(given[1])


def _pads(
    attributes: Mapping[str, Any],
    given: tuple[int, int] | None,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    name: str,
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right), auto_pad worked out where the size is known."""
    how = attributes.get("auto_pad", b"NOTSET")
    word = how.decode(errors="replace") if isinstance(how, bytes) else str(how)
    if word in ("SAME_UPPER", "SAME_LOWER"):
        whole = []
        for at in (0, 1):
            size = given[at] if given is not None else stride[at]
            whole.append(
                max(0, (ceil(size / stride[at]) - 1) * stride[at] + dilation[at] * (kernel[at] - 1) + 1 - size)
            )
        less = tuple(one // 2 for one in whole)
        more = (whole[0] - less[0], whole[1] - less[1])
        first, last = (less, more) if word == "SAME_UPPER" else (more, less)
        return first[0], first[1], last[0], last[1]
    pads = tuple(attributes.get("pads", ())) or (0, 0, 0, 0)
    if word == "VALID":
        pads = (0, 0, 0, 0)
    if len(pads) != 4 or any(not 0 <= one <= LARGEST for one in pads):
        raise InvalidInput(f"{name}: pads {list(pads)}; expected four numbers, none below 0")
    return int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3])


def _after(
    given: tuple[int, int] | None,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, int] | None:
    if given is None:
        return None
    sizes = [
        output_size(given[at], kernel[at], stride[at], padding[at] + padding[at + 2], dilation[at]) for at in (0, 1)
    ]
    return max(0, sizes[0]), max(0, sizes[1])


def _with_warnings(layer: Layer, shape: Shape | None) -> Layer:
    for warning in _warnings(layer, shape):
        layer = _with(layer, warning)
    return layer


def _warnings(layer: Layer, shape: Shape | None) -> Iterator[str]:
    covers = [layer.dilation[at] * (layer.kernel[at] - 1) + 1 for at in (0, 1)]
    given, after, stride = layer.input, layer.output, layer.stride
    if shape is not None and len(shape) == 4 and shape[1] not in (None, layer.in_channels):
        yield f"expects {layer.in_channels} channels and is given {shape[1]}: the graph cannot run; make the two agree"
    if layer.out_channels % layer.groups:
        yield f"{layer.out_channels} output channels do not divide into {layer.groups} groups: the graph cannot run"
    if after is not None and 0 in after:
        yield f"the picture of {_by(given)} is smaller than the {_by(covers)} that the kernel covers: nothing is left of it"
        return
    if any(max(layer.padding[at], layer.padding[at + 2]) >= covers[at] for at in (0, 1)):
        told = f"padding {_short(layer.padding)} is the size of the kernel ({_by(covers)}) or more: the border of the output sees nothing of the picture"
        if given is not None and after is not None:
            told += f", and the output is inflated to {_by(after)}"
        yield told + _instead(layer)
    elif (
        given is not None
        and after is not None
        and max(stride) > 1
        and any(after[at] > ceil(given[at] / stride[at]) for at in (0, 1))
    ):
        wanted = [ceil(given[at] / stride[at]) for at in (0, 1)]
        yield f"the output of {_by(after)} does not shrink as a stride of {_short(stride)} intends, to {_by(wanted)}{_instead(layer)}"
    if any(stride[at] > covers[at] for at in (0, 1)):
        seen = prod(min(1.0, layer.kernel[at] / stride[at]) for at in (0, 1))
        yield (
            f"a stride of {_short(stride)} is larger than the {_by(covers)} that the kernel covers: {1 - seen:.0%} of the pixels are never "
            "looked at; a small defect there is missed"
        )


def _instead(layer: Layer) -> str:
    if layer.same_padding is None:
        return ""
    size = ""
    if layer.input is not None:
        both = (2 * layer.same_padding[0], 2 * layer.same_padding[1])
        sizes = [
            output_size(layer.input[at], layer.kernel[at], layer.stride[at], both[at], layer.dilation[at])
            for at in (0, 1)
        ]
        size = f" would give {_by(sizes)}"
    return f"; padding {_short(layer.same_padding)}{size}"


def _by(sizes: Sequence[int] | None) -> str:
    return "x".join(map(str, sizes or ()))


def _short(sizes: Sequence[int]) -> str:
    """One number where all sides agree.

    >>> _short((3, 3)), _short((1, 1, 2, 2))
    ('3', '1x1x2x2')
    """
    return str(sizes[0]) if len(set(sizes)) == 1 else _by(sizes)
