"""Adds to a foreign graph what the line expects: uint8 pictures in, `scores` out, a batch of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from service.model.contract import KEY, Contract
from service.model.foreign import Colour, Feed, Outputs
from service.model.heads import Head

FOREIGN: Final = "foreign/"
OURS: Final = "redrabbit/"
IR_VERSION: Final = 4
"""From here on weights need not stand among the inputs."""

Step = tuple[str, NDArray[Any] | None, dict[str, Any]]
"""An operator, its second input where it is a constant, its attributes."""


def wrapped(model: onnx.ModelProto, feed: Feed, head: Head, contract: Contract) -> bytes:
    """The adopted file. model is changed on the way. That the batch is open then must be tried: shapes can hide in weights."""
    if feed.single:
        _open_batch(model.graph, feed.name)
    graph = compose.add_prefix(model, FOREIGN, inplace=True).graph
    before = _chain("in", "images", FOREIGN + feed.name, _steps_in(feed))
    after = _chain("out", FOREIGN + head.name, "scores", _steps_out(head))
    wanted = contract.input
    shape: list[str | int | None] = ["batch", wanted.height, wanted.width, wanted.channels]
    adopted = helper.make_graph(
        [*before[0], *graph.node, *after[0]],
        contract.name,
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(contract.classes)])],
        [*before[1], *graph.initializer, *after[1]],
        sparse_initializer=graph.sparse_initializer,
    )
    done = helper.make_model(
        adopted,
        opset_imports=model.opset_import,
        ir_version=max(model.ir_version, IR_VERSION),
        producer_name="redrabbit",
    )
    helper.set_model_props(done, {KEY: contract.model_dump_json()})
    content: bytes = done.SerializeToString()
    return content


def _steps_in(feed: Feed) -> list[Step]:
    """uint8 (N, h, w, c), BGR or grey, to what the network wants. Normalisation is one product and one sum per channel."""
    std = np.array(feed.std)
    steps: list[Step] = [("Cast", None, {"to": TensorProto.FLOAT})]
    if feed.colour is Colour.RGB:
        steps.append(("Gather", np.array([2, 1, 0]), {"axis": 3}))
    elif feed.colour is Colour.GREY and feed.channels > 1:
        steps.append(("Gather", np.zeros(feed.channels, np.int64), {"axis": 3}))
    steps += [
        ("Mul", (feed.scale / 255 / std).astype(np.float32), {}),
        ("Add", (-np.array(feed.mean) / std).astype(np.float32), {}),
    ]
    if feed.channels_first:
        steps.append(("Transpose", None, {"perm": [0, 3, 1, 2]}))
    return [*steps, ("Cast", None, {"to": helper.np_dtype_to_tensor_dtype(feed.dtype)})]


def _steps_out(head: Head) -> list[Step]:
    """The network's values to float32 (N, classes) in [0, 1]."""
    steps: list[Step] = [
        ("Cast", None, {"to": TensorProto.FLOAT}),
        ("Reshape", np.array([-1, head.count]), {}),
    ]
    if head.kind is Outputs.SIGMOID:
        steps.append(("Sigmoid", None, {}))
    elif head.kind is Outputs.LOGITS:
        steps.append(("Softmax", None, {"axis": 1}))
    if head.count == 1:  # p to (1 - p, p)
        steps += [("Mul", np.array([-1, 1], np.float32), {}), ("Add", np.array([1, 0], np.float32), {})]
    return steps


def _chain(side: str, start: str, end: str, steps: Sequence[Step]) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Nodes from `start` to `end`, one after the other, and their constants."""
    nodes, constants = [], []
    for number, (kind, constant, attributes) in enumerate(steps, 1):
        name = f"{OURS}{side}{number}"
        inputs = [start]
        if constant is not None:
            constants.append(numpy_helper.from_array(constant, f"{name}/with"))
            inputs.append(constants[-1].name)
        start = end if number == len(steps) else name
        nodes.append(helper.make_node(kind, inputs, [start], name=name, **attributes))
    return nodes, constants


def _open_batch(graph: onnx.GraphProto, entry: str) -> None:
    """Rewrites a Reshape of pictures to (1, ...): the 1 becomes what is left over, or the batch of what is reshaped."""
    constants = {tensor.name: tensor for tensor in graph.initializer} | dict(_constants(graph.node))
    of_pictures = {entry}
    for node in graph.node:
        if of_pictures.isdisjoint(node.input):
            continue
        of_pictures.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if shape.size and shape[0] == 1:
            shape[0] = -1 if -1 not in shape else 0
            for attribute in [one for one in node.attribute if one.name == "allowzero"]:
                node.attribute.remove(attribute)  # a 0 shall mean the batch
            node.input[1] = f"{OURS}{node.output[0]}/shape"
            graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))


def _constants(nodes: Iterable[onnx.NodeProto]) -> Iterable[tuple[str, TensorProto]]:
    for node in nodes:
        if node.op_type == "Constant":
            yield from ((node.output[0], one.t) for one in node.attribute if one.name == "value")
