"""Small ONNX graphs, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from service.model.passport import Check, Passport, digest, overall, stamped


def chain(
    *nodes: Any, shape: Sequence[int | str] = (1, 3, 32, 32), weights: dict[str, Any] | None = None
) -> ModelProto:
    """Nodes that pass `x0` on to `x1` and so on. weights: {name: array}."""
    graph = helper.make_graph(
        list(nodes),
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(f"x{len(nodes)}", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def convolutions(*layers: dict[str, Any], shape: Sequence[int | str] = (1, 3, 32, 32)) -> ModelProto:
    """A chain of Conv. Each: out, kernel, and where they differ from 1 and 0: channels (per group), stride, pad, dilation, groups."""
    nodes, weights, channels = [], {}, int(shape[1])
    for number, one in enumerate(layers):
        kernel = one["kernel"]
        groups = one.get("groups", 1)
        inputs = one.get("channels", channels // groups)
        weights[f"w{number}"] = np.ones((one["out"], inputs, kernel, kernel), np.float32)
        attributes = {
            "kernel_shape": [kernel] * 2,
            "strides": [one.get("stride", 1)] * 2,
            "pads": [one.get("pad", 0)] * 4,
            "dilations": [one.get("dilation", 1)] * 2,
            "group": groups,
        }
        if "auto_pad" in one:
            attributes = {key: value for key, value in attributes.items() if key != "pads"} | {
                "auto_pad": one["auto_pad"]
            }
        nodes.append(
            helper.make_node(
                "Conv", [f"x{number}", f"w{number}"], [f"x{number + 1}"], name=f"conv{number}", **attributes
            )
        )
        channels = one["out"]
    return chain(*nodes, shape=shape, weights=weights)


def saved(model: ModelProto, folder: Path) -> Path:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def passed(content: bytes, verdict: str = "pass") -> bytes:
    """A model's file with a passport, as if the gate had looked at it."""
    check = Check.model_validate({"name": "chance", "value": 0.9, "limit": 0.5, "verdict": verdict, "why": "Because."})
    issued = Passport(model=digest(content), data="d" * 64, at=1.0, verdict=overall([check]), checks=[check])
    return stamped(content, issued)
