"""Model files that were changed, cut short, or made to fill memory, to read other files, or to go on for ever."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from service.errors import InvalidInput
from service.model import contract
from service.model.detector import OnnxDetector
from tests.hostile.memory import peak_growth
from tests.model.graphs import chain

FORM = {
    "name": "m",
    "classes": ["good", "crack"],
    "good": "good",
    "input": {"height": 8, "width": 8, "colour": "grey"},
    "thresholds": {"crack": 0.5},
}


def whole() -> bytes:
    """The smallest network that the line takes: the mean of the picture is the score."""
    nodes = [
        helper.make_node("Cast", ["images"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["a"], ["b"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["b", "scale"], ["c"]),
        helper.make_node("Softmax", ["c"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 8, 8, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor("scale", TensorProto.FLOAT, [1, 2], [0.01, -0.01])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {contract.KEY: json.dumps(FORM)})
    return model.SerializeToString()


WHOLE = whole()


def taken(file: Path) -> bool:
    """Whether the line takes it; refused is one short line. Any other error ends the test."""
    try:
        found = OnnxDetector(file, ("CPUExecutionProvider",), 1)
        scores = found.judge(np.zeros((1, 8, 8, 1), np.uint8))
    except InvalidInput as error:
        assert "\n" not in str(error) and len(str(error)) < 1000, str(error)[:300]
        return False
    assert scores.shape == (1, 2)
    return True


def test_the_whole_file_is_taken(tmp_path: Path) -> None:
    """Else nothing below would say anything."""
    file = tmp_path / "m.onnx"
    file.write_bytes(WHOLE)
    assert taken(file)


changes = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6)


@settings(max_examples=250, deadline=None)
@given(changes, st.integers(0, len(WHOLE)) | st.none())
def test_a_broken_model_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], end: int | None
) -> None:
    """Bytes changed, and cut short: taken whole, or refused; never a crash of what reads it."""
    content = bytearray(WHOLE)
    for at, value in changes:
        content[at] = value
    file = tmp_path_factory.mktemp("broken") / "m.onnx"
    file.write_bytes(content[:end])
    taken(file)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_no_model(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    file = tmp_path_factory.mktemp("noise") / "m.onnx"
    file.write_bytes(noise)
    assert not taken(file)


def number(value: int) -> bytes:
    """As protobuf writes it."""
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(which: int, content: bytes) -> bytes:
    return number(which << 3 | 2) + number(len(content)) + content


def nested(levels: int) -> bytes:
    """Graphs in attributes of nodes of graphs."""
    inside = b""
    for _ in range(levels):
        inside = field(1, field(5, field(6, inside)))
    return field(7, inside)


@pytest.mark.parametrize(
    "content",
    [
        field(7, field(1, b"") * 3_000_000),
        field(7, field(5, b"") * 3_000_000),
        field(7, field(1, field(5, b"") * 3_000_000)),
        field(14, b"") * 3_000_000,
        nested(20_000),
        nested(20),
    ],
    ids=["nodes", "weights", "attributes", "metadata", "deep", "recursive"],
)
def test_a_file_that_unfolds_is_refused(tmp_path: Path, content: bytes) -> None:
    """Six megabytes of nothing would be a gigabyte of messages; graphs in graphs have an end."""
    file = tmp_path / "m.onnx"
    file.write_bytes(content)
    grown, was_taken = peak_growth(lambda: taken(file))
    assert not was_taken
    assert grown < 400_000_000


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "secret", "a\0b", "", "x" * 10_000])
def test_weights_stay_in_the_file(tmp_path: Path, place: str) -> None:
    """Wherever else they are said to lie, the file is refused, and nothing there is opened."""
    (tmp_path / "secret").write_bytes(bytes(1000))
    model = onnx.load_model_from_string(WHOLE)
    weights = model.graph.initializer[0]
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=place)
    file = tmp_path / "in" / "m.onnx"
    file.parent.mkdir()
    file.write_bytes(model.SerializeToString())
    assert not taken(file)


@pytest.mark.parametrize("dims", [[2**31, 2**31], [2**62], [-1], [0], [10**6, 10**6], [1] * 5000])
def test_weights_are_what_they_promise(tmp_path: Path, dims: list[int]) -> None:
    """Dimensions that promise more than is there make no room for it."""
    model = onnx.load_model_from_string(WHOLE)
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    file = tmp_path / "m.onnx"
    file.write_bytes(model.SerializeToString())
    grown, was_taken = peak_growth(lambda: taken(file))
    assert not was_taken
    assert grown < 200_000_000


def test_shapes_that_grow_are_refused(tmp_path: Path) -> None:
    """A constant that has another tensor made of 10^12 numbers."""
    file = tmp_path / "m.onnx"
    shape = helper.make_node(
        "Constant", [], ["s"], value=helper.make_tensor("v", TensorProto.INT64, [2], [10**6, 10**6])
    )
    model = chain(shape, helper.make_node("Expand", ["x0", "s"], ["x2"]), shape=(1, 1))
    file.write_bytes(model.SerializeToString())
    assert not taken(file)
