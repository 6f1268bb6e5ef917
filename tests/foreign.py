"""Classifiers as others export them, small and with seeded weights: convolution, mean over the picture, linear layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIZE = 16
ROWS = {"Reshape": [1, 8], "Reshape rest": [1, -1], "Reshape open": [-1, 8]}
ENDS: dict[str, dict[str, Any]] = {
    "Softmax": {"axis": 1},
    "LogSoftmax": {"axis": 1},
    "ArgMax": {"axis": 1},
    "Cast": {"to": TensorProto.DOUBLE},
}
KINDS = {"Cast": TensorProto.DOUBLE, "ArgMax": TensorProto.INT64}


@dataclass(frozen=True)
class Foreign:
    """dims: of the input, instead of what follows from the rest. flat: how means become rows: an operator, a constant shape in
    ROWS, `conv` for scores of (N, classes, 1, 1), `maps` for a score per pixel. end: operators that follow, one after the other. gain: deviation of the last weights.
    """

    outputs: int = 3
    channels: int = 3
    batch: int | str = "n"
    size: tuple[int | str, int | str] = (SIZE, SIZE)
    channels_first: bool = True
    flat: str = "Flatten"
    end: tuple[str, ...] = ()
    kind: int = TensorProto.FLOAT
    opset: int = 18
    ir_version: int = 10
    dims: tuple[int | str, ...] | None = None
    gain: float = 0.3
    allowzero: int = 0

    def model(self) -> onnx.ModelProto:
        """Its values bear names that the adopted graph uses itself."""
        places = (self.channels, *self.size) if self.channels_first else (*self.size, self.channels)
        last = f"end{len(self.end)}"
        weights = self._weights()
        graph = helper.make_graph(
            self._nodes(),
            "foreign",
            [
                helper.make_tensor_value_info(
                    "scores", self.kind, (self.batch, *places) if self.dims is None else self.dims
                )
            ],
            [helper.make_tensor_value_info(last, KINDS.get(self.end[-1] if self.end else "", self.kind), None)],
            weights,
        )
        if self.ir_version < 4:  # as old exporters write it
            graph.input.extend(helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in weights)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)

    def write(self, folder: Path) -> Path:
        return write(self.model(), folder)

    def _weights(self) -> list[TensorProto]:
        random = np.random.default_rng(3)
        numbers = helper.tensor_dtype_to_np_dtype(self.kind)
        weights = {
            "kernel": random.normal(0, 0.5, (8, self.channels, 3, 3)).astype(numbers),
            "matrix": random.normal(0, self.gain, (8, self.outputs)).astype(numbers),
            "bias": random.normal(0, 0.3, self.outputs).astype(numbers),
            "row": np.array(ROWS.get(self.flat, [])),
        }
        weights["point"] = weights["matrix"].T.reshape(self.outputs, 8, 1, 1).copy()
        return [numpy_helper.from_array(array, name) for name, array in weights.items()]

    def _nodes(self) -> list[NodeProto]:
        nodes = [
            helper.make_node("Conv", ["scores" if self.channels_first else "moved", "kernel"], ["conv"]),
            helper.make_node("Relu", ["conv"], ["images"]),
            helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        ]
        if not self.channels_first:
            nodes.insert(0, helper.make_node("Transpose", ["scores"], ["moved"], perm=[0, 3, 1, 2]))
        if self.flat in ("conv", "maps"):
            nodes.append(helper.make_node("Conv", ["mean" if self.flat == "conv" else "images", "point"], ["end0"]))
        else:
            kind = self.flat.split()[0]
            nodes.append(helper.make_node(kind, ["mean", "row"] if kind == "Reshape" else ["mean"], ["flat"]))
            if self.allowzero:  # as torch writes it
                nodes[-1].attribute.append(helper.make_attribute("allowzero", 1))
            nodes.append(helper.make_node("Gemm", ["flat", "matrix", "bias"], ["end0"]))
        return nodes + [
            helper.make_node(kind, [f"end{number}"], [f"end{number + 1}"], **ENDS.get(kind, {}))
            for number, kind in enumerate(self.end)
        ]


def write(model: onnx.ModelProto, folder: Path) -> Path:
    file = folder / "foreign.onnx"
    file.write_bytes(model.SerializeToString())
    return file
