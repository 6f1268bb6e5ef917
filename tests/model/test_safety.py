"""Which graphs may run: each hostile one is refused for its own reason, before onnxruntime has seen it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from service.errors import InvalidInput
from service.model.contract import read
from service.model.safety import check

PATH = Path("m.onnx")
SHIPPED = Path(__file__).parents[2] / "deploy/models/el-cells.onnx"
HUGE = 1 << 20


def _node(kind: str, *inputs: str, to: str = "y", domain: str = "", **attributes: Any) -> NodeProto:
    return helper.make_node(kind, list(inputs), [to], name=f"the-{kind}", domain=domain, **attributes)


def _ints(name: str, *numbers: int) -> TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def _graph(nodes: Sequence[NodeProto], weights: Sequence[TensorProto] = (), open_batch: bool = True) -> onnx.GraphProto:
    batch = "batch" if open_batch else 1
    return helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )


def _model(
    *nodes: NodeProto, weights: Sequence[TensorProto] = (), opset: int = 18, ir_version: int = 10
) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(_graph(nodes, weights), opset_imports=opsets, ir_version=ir_version)


def _refusal(model: onnx.ModelProto) -> str:
    with pytest.raises(InvalidInput) as caught:
        check(model, PATH)
    line = str(caught.value)
    assert line.startswith("m.onnx: ") and "\n" not in line and len(line) < 500
    return line


def _elsewhere(location: str = "../../etc/passwd") -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def _sparse(values: TensorProto, indices: TensorProto, dims: Sequence[int]) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=dims)


def _floats(name: str = "w") -> TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])


def _inside(kind: str) -> onnx.ModelProto:
    """External weights in the body of a control operator, two graphs deep."""
    inner = helper.make_graph([_node("Add", "x", "w")], "inner", [], [], [_elsewhere()])
    outer = helper.make_graph([_node("If", "c", then_branch=inner, else_branch=inner)], "outer", [], [])
    if kind == "If":
        return _model(_node("If", "c", then_branch=outer, else_branch=outer))
    return _model(_node(kind, "x", body=outer))


def _with(**fields: Any) -> onnx.ModelProto:
    model = _model(_node("Relu", "x"))
    for name, value in fields.items():
        getattr(model.graph, name).append(value)
    return model


def _labelled(tensor: TensorProto) -> TensorProto:
    """Says that its weights are inside, and names a file all the same."""
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


EXTERNAL = {
    "an initialiser": _model(_node("Add", "x", "w"), weights=[_elsewhere()]),
    "an initialiser that points into memory": _model(
        _node("Add", "x", "w"), weights=[_elsewhere("*/_ORT_MEM_ADDR_/*")]
    ),
    "an initialiser that hides it": _model(_node("Add", "x", "w"), weights=[_labelled(_floats())]),
    "a constant": _model(_node("Constant", value=_elsewhere())),
    "a list of tensors": _model(_node("Relu", "x", values=[_elsewhere()])),
    "a sparse constant": _model(
        _node("Constant", sparse_value=_sparse(_elsewhere(), _ints("i", 0), [1])),
    ),
    "sparse values": _with(sparse_initializer=_sparse(_elsewhere(), _ints("i", 0), [1])),
    "sparse indices": _with(sparse_initializer=_sparse(_floats(), _elsewhere(), [1])),
    "an If in an If": _inside("If"),
    "a Loop": _inside("Loop"),
    "a Scan": _inside("Scan"),
}


@pytest.mark.parametrize("model", EXTERNAL.values(), ids=EXTERNAL)
def test_weights_in_other_files_are_refused_wherever_they_stand(model: onnx.ModelProto) -> None:
    """A file must not make the line read another one."""
    line = _refusal(model)
    assert "in other files" in line and "'w'" in line


def test_a_function_may_hide_nothing() -> None:
    """Neither other files nor anything else: functions are refused, and what is in them is looked at before."""
    hidden = helper.make_function(
        "own", "f", ["x"], ["y"], [_node("Constant", value=_elsewhere())], [helper.make_opsetid("", 18)]
    )
    plain = helper.make_function("own", "f", ["x"], ["y"], [_node("Relu", "x")], [helper.make_opsetid("", 18)])
    model = _model(_node("Relu", "x"))
    model.functions.append(plain)
    assert "function 'f'" in _refusal(model)
    model.functions.append(hidden)
    assert "in other files" in _refusal(model)


@pytest.mark.parametrize(
    ("kind", "domain"),
    [
        ("Steal", "evil.example"),
        ("Relu", "evil.example"),
        ("NoSuchOperator", ""),
        ("Crop", ""),
        ("EPContext", "com.microsoft"),
        ("Relu", "com.microsoft"),
        ("QGemm", "evil.example"),
        ("TreeEnsembleClassifier", "ai.onnx.ml"),
    ],
)
def test_only_operators_of_the_standard_and_of_the_quantiser_run(kind: str, domain: str) -> None:
    """The line says which operator, of which domain, at which node; a known name in a foreign domain is foreign."""
    line = _refusal(_model(_node(kind, "x", domain=domain)))
    assert f"'{kind}'" in line and f"'{domain or 'ai.onnx'}'" in line and f"'the-{kind}'" in line


def test_an_operator_in_a_branch_is_found() -> None:
    """A graph in an attribute is a graph."""
    branch = helper.make_graph([_node("Steal", "x", domain="evil.example")], "branch", [], [])
    assert "'Steal'" in _refusal(_model(_node("If", "c", then_branch=branch, else_branch=branch)))


def test_a_loop_is_refused() -> None:
    """It need not end, and nobody can tell by looking."""
    body = helper.make_graph([_node("Relu", "x")], "body", [], [])
    assert "need not end" in _refusal(_model(_node("Loop", "n", "c", "x", body=body)))


@pytest.mark.parametrize(("opset", "ir_version"), [(0, 10), (6, 10), (99, 10), (18, 99)])
def test_an_opset_that_onnxruntime_does_not_know_is_refused(opset: int, ir_version: int) -> None:
    """Too old to broadcast, or newer than what is installed; the line says both numbers."""
    assert f"opset {opset}, IR {ir_version}" in _refusal(_model(_node("Relu", "x"), opset=opset, ir_version=ir_version))


def test_a_graph_that_names_no_opset_is_refused() -> None:
    """A file cut behind its graph."""
    model = _model(_node("Relu", "x"))
    del model.opset_import[:]
    assert "opset 0" in _refusal(model)


PROMISES = {
    "more raw bytes": TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[HUGE, HUGE], raw_data=b"1234"),
    "fewer raw bytes": TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], raw_data=b"12345678"),
    "no bytes at all": TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[HUGE]),
    "more typed numbers": TensorProto(name="w", data_type=TensorProto.INT64, dims=[HUGE], int64_data=[1]),
    "half bytes": TensorProto(name="w", data_type=TensorProto.INT4, dims=[HUGE], raw_data=b"1"),
    "a negative dimension": TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1], raw_data=b"1234"),
    "a type that is none": TensorProto(name="w", data_type=99, dims=[1], raw_data=b"1234"),
    "no type": TensorProto(name="w", dims=[1], raw_data=b"1234"),
    "broken text": TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"\xff"]),
}


@pytest.mark.parametrize("tensor", PROMISES.values(), ids=PROMISES)
def test_weights_that_are_not_what_they_promise_are_refused(tensor: TensorProto) -> None:
    """As an initialiser and as a constant, before anything of that size is asked of the machine."""
    for model in (_model(_node("Add", "x", "w"), weights=[tensor]), _model(_node("Constant", value=tensor))):
        line = _refusal(model)
        assert "'w'" in line and "promise" in line


BOMBS: dict[str, tuple[Sequence[NodeProto], Sequence[TensorProto]]] = {
    "ConstantOfShape": ([_node("ConstantOfShape", "s")], [_ints("s", HUGE, HUGE)]),
    "Expand": ([_node("Expand", "x", "s")], [_ints("s", 4 * HUGE, 3, 8, 8)]),
    "Tile": ([_node("Tile", "x", "s")], [_ints("s", 1, 1, HUGE, HUGE)]),
    "Resize to sizes": ([_node("Resize", "x", "", "", "s")], [_ints("s", 1, 3, HUGE, HUGE)]),
    "Resize by scales": (
        [_node("Resize", "x", "", "s")],
        [helper.make_tensor("s", TensorProto.FLOAT, [4], [1, 1, 1e6, 1e6])],
    ),
    "Pad": ([_node("Pad", "x", "s")], [_ints("s", 0, 0, HUGE, HUGE, 0, 0, 0, 0)]),
    "padding of a MaxPool": ([_node("MaxPool", "x", kernel_shape=[3, 3], pads=[HUGE, HUGE, 0, 0])], []),
    "RandomNormal": ([_node("RandomNormal", shape=[HUGE, HUGE])], []),
    "OneHot": (
        [_node("OneHot", "s", "depth", "values")],
        [_ints("s", 0), helper.make_tensor("depth", TensorProto.INT64, [], [1 << 40]), _ints("values", 0, 1)],
    ),
    "a shape that is computed": (
        [_node("Mul", "s", "s", to="t"), _node("ConstantOfShape", "t")],
        [_ints("s", HUGE)],
    ),
    "a shape from a constant node": (
        [_node("Constant", to="s", value=_ints("v", HUGE, HUGE)), _node("ConstantOfShape", "s")],
        [],
    ),
    "a shape from a long table": (
        [_node("Slice", "s", "from", "to", to="t"), _node("ConstantOfShape", "t")],
        [_ints("s", *[HUGE] * 999), _ints("from", 5), _ints("to", 7)],
    ),
    "one that is summed away again": (
        [_node("ConstantOfShape", "s", to="t"), _node("ReduceSum", "t", to="u"), _node("Add", "x", "u")],
        [_ints("s", HUGE, HUGE)],
    ),
}


@pytest.mark.parametrize(("nodes", "weights"), BOMBS.values(), ids=BOMBS)
def test_a_tensor_that_no_machine_holds_is_refused(nodes: Sequence[NodeProto], weights: Sequence[TensorProto]) -> None:
    """A small file can ask for terabytes; what follows from its constants is worked out, not run."""
    assert "would have" in _refusal(_model(*nodes, weights=weights))


def test_a_lie_about_a_value_hides_no_bomb() -> None:
    """A small shape or another type, declared for a huge value, is not believed."""
    nodes, weights = BOMBS["one that is summed away again"]
    for kind, shape in ((TensorProto.FLOAT, [1]), (TensorProto.INT64, None)):
        model = _model(*nodes, weights=weights)
        model.graph.value_info.append(helper.make_tensor_value_info("t", kind, shape))
        assert "'t' would have" in _refusal(model)
    nodes, weights = BOMBS["ConstantOfShape"]
    model = _model(*nodes, weights=weights)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT64, [1]))
    assert "'y' would have" in _refusal(model)


def test_a_bomb_in_a_branch_is_found() -> None:
    """Shapes are followed into the graphs of an If."""
    out = [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
    branch = helper.make_graph([_node("ConstantOfShape", "s", to="b")], "branch", [], out, [_ints("s", HUGE, HUGE)])
    truth = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    model = _model(_node("If", "c", then_branch=branch, else_branch=branch), weights=[truth])
    assert "would have" in _refusal(model)


def test_a_declared_size_counts_as_well() -> None:
    """Of an input, and of a sparse tensor, which is made dense when it is loaded."""
    declared = _with(input=helper.make_tensor_value_info("big", TensorProto.FLOAT, [1, 3, HUGE, HUGE]))
    assert "'big'" in _refusal(declared)
    sparse = _with(sparse_initializer=_sparse(_floats(), _ints("i", 0), [HUGE, HUGE]))
    assert "'w'" in _refusal(sparse)


def test_the_largest_allowed_tensor_is_allowed() -> None:
    """The limit is what it says: 2**28 numbers pass, one more row does not."""
    check(_model(_node("ConstantOfShape", "s"), weights=[_ints("s", 1 << 14, 1 << 14)]), PATH)
    assert "would have" in _refusal(_model(_node("ConstantOfShape", "s"), weights=[_ints("s", 1 << 14, (1 << 14) + 1)]))


def test_what_is_harmless_passes() -> None:
    """The shipped model, a quantised node, an If, a sparse tensor, half bytes, an unused foreign opset."""
    check(onnx.load(SHIPPED), PATH)
    branch = helper.make_graph([_node("Relu", "x")], "branch", [], [])
    model = _model(
        _node("QLinearAdd", "x", domain="com.microsoft"),
        _node("If", "c", to="z", then_branch=branch, else_branch=branch),
        weights=[_floats(), TensorProto(name="h", data_type=TensorProto.INT4, dims=[3], raw_data=b"12")],
    )
    model.graph.sparse_initializer.append(_sparse(_floats("s"), _ints("i", 0), [9]))
    model.opset_import.append(helper.make_opsetid("evil.example", 1))
    check(model, PATH)


@pytest.mark.parametrize("what", [b"the-Relu", b"Relu", b"weight"])
def test_a_name_that_is_no_text_is_refused(what: bytes, tmp_path: Path) -> None:
    """Of a node, an operator, a tensor: one broken byte in the file."""
    file = tmp_path / "m.onnx"
    content = _model(_node("Relu", "x"), weights=[_floats("weight")]).SerializeToString()
    file.write_bytes(content.replace(what, b"\xff" + what[1:]))
    with pytest.raises(InvalidInput, match="expected UTF-8"):
        read(file)


def test_a_truncated_file_gets_one_line_wherever_it_was_cut(tmp_path: Path) -> None:
    """Also where what is left is a valid message, with a graph and without the metadata."""
    file = tmp_path / "m.onnx"
    model = _model(_node("Relu", "x"), weights=[helper.make_tensor("w", TensorProto.FLOAT, [9], np.arange(9.0))])
    helper.set_model_props(model, {"redrabbit": json.dumps({"name": "toy"})})
    content = model.SerializeToString()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(InvalidInput) as caught:
            read(file)
        assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)
