"""Which graphs may run at all. A model file is untrusted: it may ask for files, for foreign code, or for all of the memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final

import onnx

from service.errors import InvalidInput

STANDARD: Final = ("", "ai.onnx")
EXTRA: Final = {
    "com.microsoft": {
        "QuantizeLinear",
        "DequantizeLinear",
        "QLinearAdd",
        "QLinearMul",
        "QLinearConcat",
        "QLinearSigmoid",
        "QLinearGlobalAveragePool",
        "QLinearAveragePool",
        "QLinearLeakyRelu",
        "QLinearSoftmax",
        "FusedConv",
    },
}
"""Operators beyond the standard that onnxruntime's own quantiser and optimiser write."""
LARGEST_TENSOR: Final = 1 << 28  # numbers: one GB in single precision
DEEPEST: Final = 8


def check(model: onnx.ModelProto, where: str) -> None:
    """Raises InvalidInput, one line that says what the graph asks for and may not have."""
    for function in model.functions:
        for node in function.node:
            _operator(node, f"{where}: function {function.name}")
    for graph in _graphs(model.graph, where):
        for tensor in (
            *graph.initializer,
            *(part for one in graph.sparse_initializer for part in (one.values, one.indices)),
        ):
            _tensor(tensor, where)
        for node in graph.node:
            _operator(node, where)
            for attribute in node.attribute:
                for tensor in (attribute.t, *attribute.tensors):
                    _tensor(tensor, where)


def _graphs(graph: onnx.GraphProto, where: str, depth: int = 0) -> Iterator[onnx.GraphProto]:
    """The graph and those within its branches and loops."""
    if depth > DEEPEST:
        raise InvalidInput(f"{where}: branches within branches, more than {DEEPEST} deep")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _graphs(inner, where, depth + 1)


def _operator(node: onnx.NodeProto, where: str) -> None:
    if node.domain in STANDARD:
        if onnx.defs.has(node.op_type):
            return
    elif node.op_type in EXTRA.get(node.domain, ()):
        return
    raise InvalidInput(
        f"{where}: asks for the operator {node.op_type!r} of domain {node.domain!r}; expected operators of the ONNX standard only"
    )


def _tensor(tensor: onnx.TensorProto, where: str) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise InvalidInput(f"{where}: keeps weights in other files; expected one file that holds all of them")
    if any(one < 0 for one in tensor.dims) or prod(tensor.dims) > LARGEST_TENSOR:
        raise InvalidInput(
            f"{where}: {tensor.name!r} of {' x '.join(map(str, tensor.dims))} numbers; expected at most {LARGEST_TENSOR}"
        )
