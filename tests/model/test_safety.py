"""Graphs that may not run, each refused for its own reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from service.errors import InvalidInput
from service.model.contract import load
from tests.model.graphs import chain, saved


def _relu() -> ModelProto:
    return chain(helper.make_node("Relu", ["x0"], ["x1"]))


def _foreign_operator() -> ModelProto:
    return chain(helper.make_node("ReadFile", ["x0"], ["x1"], domain="evil"))


def _unknown_operator() -> ModelProto:
    return chain(helper.make_node("Shell", ["x0"], ["x1"]))


def _python_operator() -> ModelProto:
    return chain(helper.make_node("PyOp", ["x0"], ["x1"], domain="com.microsoft"))


def _hidden_in_a_branch() -> ModelProto:
    inner = _foreign_operator().graph
    del inner.input[:]
    node = helper.make_node("If", ["x0"], ["x1"], then_branch=inner, else_branch=inner)
    return chain(node)


def _weights_elsewhere() -> ModelProto:
    model = chain(helper.make_node("Add", ["x0", "w"], ["x1"]), weights={"w": np.ones(3, np.float32)})
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return model


def _constant_elsewhere() -> ModelProto:
    tensor = _weights_elsewhere().graph.initializer[0]
    return chain(helper.make_node("Constant", [], ["x1"], value=tensor))


def _enormous() -> ModelProto:
    model = _relu()
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type = "bomb", TensorProto.FLOAT
    tensor.dims.extend([1 << 20, 1 << 20, 1 << 20])
    return model


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_foreign_operator, "operator 'ReadFile' of domain 'evil'"),
        (_unknown_operator, "operator 'Shell' of domain ''"),
        (_python_operator, "operator 'PyOp' of domain 'com.microsoft'"),
        (_hidden_in_a_branch, "operator 'ReadFile' of domain 'evil'"),
        (_weights_elsewhere, "keeps weights in other files"),
        (_constant_elsewhere, "keeps weights in other files"),
        (_enormous, "'bomb' of 1048576 x 1048576 x 1048576 numbers"),
    ],
)
def test_what_a_graph_may_not_ask_for(make: object, says: str, tmp_path: Path) -> None:
    """Refused before anything runs, in one line that names the file."""
    assert callable(make)
    file = saved(make(), tmp_path)
    with pytest.raises(InvalidInput) as refused:
        load(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert says in str(refused.value)


def test_a_plain_graph_is_read(tmp_path: Path) -> None:
    """Standard operators are all it has."""
    model, content = load(saved(_relu(), tmp_path))
    assert model.SerializeToString() == content


@pytest.mark.parametrize("keep", [0, 1, 40, 0.5, 0.9])
def test_a_truncated_file_is_one_line(keep: float, tmp_path: Path) -> None:
    """Wherever it was cut off."""
    file = saved(_relu(), tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(InvalidInput, match=r"model\.onnx: "):
        load(file)
