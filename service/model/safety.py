"""Which graphs may run at all. A model file comes from outside: it must hold all of itself, use nothing but known operators, and
not promise tensors that no machine holds. Seen without running it; what only a run would show (a shape computed from pixels) is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph

from service.errors import InvalidInput

MAX_NUMBERS: Final = 2**28
"""In one tensor, of one picture: 1 GiB as float32. The first layer of a large network on 4096 x 4096 pixels has fewer."""
SHAPES: Final = (TensorProto.INT32, TensorProto.INT64)
"""Types of tensors that say how large others are; of another type only the scales of a Resize do."""
LONGEST_SCALE: Final = 1024
"""In bytes, with room to spare."""
OLDEST_OPSET: Final = 7
"""Of the standard; from here on operators broadcast as numpy does. onnxruntime promises nothing for older ones."""
STANDARD: Final = ("", "ai.onnx")
QUANTISED: Final = {
    ("com.microsoft", "DequantizeLinear"),
    ("com.microsoft", "QGemm"),
    ("com.microsoft", "QLinearAdd"),
    ("com.microsoft", "QLinearAveragePool"),
    ("com.microsoft", "QLinearConcat"),
    ("com.microsoft", "QLinearGlobalAveragePool"),
    ("com.microsoft", "QLinearLeakyRelu"),
    ("com.microsoft", "QLinearMul"),
    ("com.microsoft", "QLinearSigmoid"),
    ("com.microsoft", "QLinearSoftmax"),
    ("com.microsoft", "QLinearWhere"),
    ("com.microsoft", "QuantizeLinear"),
}
"""What onnxruntime's own quantiser writes into a convolutional network (onnxruntime.quantization.operators)."""


def check(model: onnx.ModelProto, path: Path) -> None:
    """Raises InvalidInput, one line that names `path`, where the graph must not run."""
    try:
        _check(model)
    except InvalidInput as error:
        raise InvalidInput(
            f"{path}: {' '.join(str(error).split())[:400]}"
        ) from error  # names and dimensions are theirs


def _check(model: onnx.ModelProto) -> None:
    parts = list(_parts(model))
    _check_texts(parts)
    tensors = [part for part in parts if isinstance(part, TensorProto)]
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise InvalidInput(
                f"keeps the weights {_name(tensor)} in other files; expected one file that holds all of them"
            )
    _check_opset(model)
    if model.functions:
        raise InvalidInput(
            f"brings a function {_name(model.functions[0])} of its own; expected a plain graph, as onnx.inliner makes it"
        )
    for part in parts:
        if isinstance(part, onnx.NodeProto):
            _check_operator(part)
    for tensor in tensors:
        _check_content(tensor)
    _check_sizes(_parts(_inferred(model)))


def _parts(message: Any) -> Iterator[Any]:
    """Every message inside: graphs, the graphs in attributes, nodes, tensors, declared shapes."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in (value,) if hasattr(value, "ListFields") else value:
                yield from _parts(child)


def _check_texts(parts: Iterable[Any]) -> None:
    """protobuf hands on as bytes what should be text and is none; nothing behind this expects that."""
    for part in parts:
        for field, value in part.ListFields():
            if field.type != field.TYPE_STRING:
                continue
            for text in (value,) if isinstance(value, str | bytes) else value:
                if isinstance(text, bytes):
                    raise InvalidInput(f"{field.full_name} {text[:80]!r} is no text; expected UTF-8")


def _check_opset(model: onnx.ModelProto) -> None:
    version = max((entry.version for entry in model.opset_import if entry.domain in STANDARD), default=0)
    if version < OLDEST_OPSET or not _runs(version, model.ir_version):
        raise InvalidInput(
            f"opset {version}, IR {model.ir_version}; expected opset {OLDEST_OPSET} or newer, and no newer than onnxruntime {ort.__version__} knows"
        )


@cache
def _runs(opset: int, ir_version: int) -> bool:
    """Whether this onnxruntime knows both; it has no list to ask, so the smallest graph is tried."""
    shape = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    first, last = (helper.make_value_info(name, shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "smallest", [first], [last])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except (Fail, InvalidGraph):
        return False
    return True


def _check_operator(node: onnx.NodeProto) -> None:
    what = f"operator {node.op_type!r} of domain {node.domain or 'ai.onnx'!r} at node {_name(node)}"
    standard = node.domain in STANDARD and onnx.defs.has(node.op_type)
    if not standard and (node.domain, node.op_type) not in QUANTISED:
        raise InvalidInput(f"{what} is not allowed; expected operators of the ONNX standard")
    if node.op_type == "Loop":
        raise InvalidInput(f"{what} is not allowed: it need not end; expected a graph without loops")


def _check_content(tensor: TensorProto) -> None:
    """The numbers that the dimensions promise are there. They are looked at where they lie, except strings and half bytes."""
    try:
        if min(tensor.dims, default=0) < 0:
            raise ValueError("a negative dimension")
        numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"the weights {_name(tensor)} are not what their dimensions {list(tensor.dims)} promise: {error}"
        ) from error


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the shapes that follow from constants: of ConstantOfShape, Expand, Tile, Resize, Pad and all others.

    What the file itself says of values in between is forgotten before: a lie there would stop the inference without a word.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for part in _parts(bare):
        if isinstance(part, onnx.GraphProto):
            del part.value_info[:]
            for tensor in part.initializer:
                if tensor.data_type not in SHAPES and len(tensor.raw_data) > LONGEST_SCALE:
                    tensor.ClearField("raw_data")  # says no shape, and would be copied three times
            for value in (*part.output, *(part.input if part is not bare.graph else ())):
                value.ClearField("type")
    try:
        return shape_inference.infer_shapes(bare, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise InvalidInput(
            f"a graph whose shapes contradict each other: {' '.join(str(error).split())[:200]}"
        ) from error


def _check_sizes(parts: Iterable[Any]) -> None:
    """Sparse tensors, which are made dense when they are loaded, and values. A dimension that is open counts as 1."""
    for part in parts:
        if isinstance(part, onnx.SparseTensorProto):
            name, dims = _name(part.values), list(part.dims)
        elif isinstance(part, onnx.ValueInfoProto):
            name, dims = _name(part), [dim.dim_value or 1 for dim in part.type.tensor_type.shape.dim]
        else:
            continue
        if prod(dims) > MAX_NUMBERS or min(dims, default=0) < 0:
            raise InvalidInput(
                f"the value {name} would have {' x '.join(map(str, dims))} numbers; expected at most {MAX_NUMBERS}"
            )


def _name(part: Any) -> str:
    return repr(part.name[:80])
