"""What convolutions do to a picture, held against what onnxruntime really does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper

from service.errors import InvalidInput
from service.model.contract import load
from service.model.geometry import Layer, layers
from service.model.masks import smallest
from tests.model.graphs import chain, convolutions

SHIPPED = Path(__file__).parents[2] / "deploy/models/el-cells.onnx"


def one(model: ModelProto) -> Layer:
    (layer,) = layers(model)
    return layer


def test_a_kernel_without_padding_shrinks_the_picture() -> None:
    """3 to 6 channels, kernel 5, on 32x32: 28x28; with 5 * 5 * 3 * 6 weights."""
    layer = one(convolutions({"out": 6, "kernel": 5}))
    assert (layer.in_channels, layer.out_channels, layer.input, layer.output) == (3, 6, (32, 32), (28, 28))
    assert (layer.weights, layer.macs, layer.receptive_field) == (450, 450 * 28 * 28, (5, 5))
    assert layer.warnings == ()


def test_padding_of_the_kernels_size_inflates_the_output() -> None:
    """Kernel 3, stride 2, padding 3, on 28x28: 16x16 and not 14x14, with the warning and what would do."""
    layer = one(convolutions({"out": 6, "kernel": 3, "stride": 2, "pad": 3}, shape=(1, 3, 28, 28)))
    assert layer.output == (16, 16)
    (warning,) = layer.warnings
    assert "padding 3 is the size of the kernel" in warning
    assert "inflated to 16x16" in warning
    assert "padding 1 would give 14x14" in warning


def test_it_tells_the_padding_that_keeps_the_size() -> None:
    """Kernel 5, stride 1, same size on 28: padding 2. An even kernel has none."""
    assert one(convolutions({"out": 6, "kernel": 5}, shape=(1, 3, 28, 28))).same_padding == (2, 2)
    kept = one(convolutions({"out": 6, "kernel": 5, "pad": 2}, shape=(1, 3, 28, 28)))
    assert kept.output == kept.input == (28, 28)
    assert one(convolutions({"out": 6, "kernel": 4})).same_padding is None


def test_a_stride_larger_than_its_kernel_skips_pixels() -> None:
    """A kernel of 2 every 4 pixels never looks at three quarters of them."""
    (warning,) = one(convolutions({"out": 6, "kernel": 2, "stride": 4})).warnings
    assert "75% of the pixels are never looked at" in warning


def test_an_output_that_does_not_shrink_as_intended() -> None:
    """Kernel 5, stride 2, padding 4 on 28x28 gives 16x16 where a stride of 2 means 14x14."""
    (warning,) = one(convolutions({"out": 6, "kernel": 5, "stride": 2, "pad": 4}, shape=(1, 3, 28, 28))).warnings
    assert "16x16 does not shrink as a stride of 2 intends, to 14x14; padding 2 would give 14x14" in warning


def test_channels_that_do_not_fit() -> None:
    """A kernel for 4 channels on a picture of 3, and 5 outputs in 2 groups, cannot run."""
    assert "expects 4 channels and is given 3" in one(convolutions({"out": 6, "kernel": 3, "channels": 4})).warnings[0]
    found = one(convolutions({"out": 5, "kernel": 3, "groups": 2}, shape=(1, 4, 32, 32)))
    assert any("do not divide into 2 groups" in warning for warning in found.warnings)


def test_nothing_left_of_the_picture() -> None:
    """A kernel larger than the padded picture."""
    assert "nothing is left" in one(convolutions({"out": 6, "kernel": 7}, shape=(1, 3, 5, 5))).warnings[0]


def test_the_size_may_be_given_where_the_graph_leaves_it_open() -> None:
    """Without it sizes are not known and nothing is invented."""
    model = convolutions({"out": 6, "kernel": 5}, shape=("n", 3, "h", "w"))
    assert (one(model).output, one(model).macs) == (None, None)
    assert layers(model, (32, 40))[0].output == (28, 36)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "out": st.integers(1, 3),
                "kernel": st.integers(1, 5),
                "stride": st.integers(1, 3),
                "pad": st.integers(0, 4),
                "dilation": st.integers(1, 2),
            },
            optional={"auto_pad": st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"])},
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(20, 40),
)
def test_sizes_and_reach_are_those_of_onnxruntime(chained: list[dict[str, Any]], side: int) -> None:
    """Sizes equal what a run gives; a pixel that one output depends on lies within its receptive field; without padding the field is
    no larger."""
    for layer in chained:
        if layer.get("auto_pad", "VALID") != "VALID":
            layer["dilation"] = 1  # onnxruntime refuses both together
    model = convolutions(*chained, shape=(1, 1, side, side))
    found = layers(model)
    if any(layer.output is None or 0 in layer.output for layer in found):
        return
    assert found[-1].output is not None
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = np.zeros((1, 1, side, side), np.float32)
    assert session.run(None, {"x0": picture})[0].shape[2:] == found[-1].output
    middle = tuple(size // 2 for size in found[-1].output)
    depends = []
    for at in range(side):
        picture[:] = 0
        picture[0, 0, :, at] = 1
        depends.append(bool(session.run(None, {"x0": picture})[0][0, 0, middle[0], middle[1]]))
    seen = [at for at, does in enumerate(depends) if does]
    if seen:
        assert seen[-1] - seen[0] + 1 <= found[-1].receptive_field[1]
    if not any(any(layer.padding) for layer in found):
        assert seen[-1] - seen[0] + 1 == found[-1].receptive_field[1]


def test_pools_and_pads_are_followed() -> None:
    """A Pad in front of a convolution is its padding; pooling widens what is seen."""
    nodes = [
        helper.make_node("Pad", ["x0", "pads"], ["x1"]),
        helper.make_node("Conv", ["x1", "w"], ["x2"], kernel_shape=[3, 3]),
        helper.make_node("MaxPool", ["x2"], ["x3"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["x3", "v"], ["x4"], kernel_shape=[3, 3]),
    ]
    weights = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "w": np.ones((4, 3, 3, 3), np.float32),
        "v": np.ones((4, 4, 3, 3), np.float32),
    }
    first, second = layers(chain(*nodes, weights=weights))
    assert (first.padding, first.input, first.output) == ((1, 1, 1, 1), (32, 32), (32, 32))
    assert (second.input, second.output, second.receptive_field) == ((16, 16), (14, 14), (8, 8))


def test_the_shipped_model() -> None:
    """Its first layer halves the picture, and what it sees covers most of it."""
    found = layers(load(SHIPPED)[0])
    assert (found[0].in_channels, found[0].input, found[0].output) == (3, (224, 224), (112, 112))
    assert max(layer.receptive_field[0] for layer in found) > 150
    assert not any(layer.warnings for layer in found)


def test_defects_larger_than_what_the_model_sees(tmp_path: Path) -> None:
    """A mask with a defect of 20 of 64 pixels, on a model of 32 pixels that sees 5: 10 pixels are more than 5."""
    mask = np.zeros((64, 64), np.uint8)
    mask[10:14, 10:30] = 255
    mask[50, 50] = 255  # a slip of the pen
    cv2.imwrite(str(tmp_path / "one.png"), mask)
    length = smallest(tmp_path, (32, 32))
    assert length == 10
    (layer,) = layers(convolutions({"out": 6, "kernel": 5}), smallest_defect=length)
    assert "sees 5 pixels at most; the smallest defect in the masks is 10 long" in layer.warnings[0]


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"strides": [0, 0]}, "strides [0, 0]; expected two numbers above 0"),
        ({"dilations": [-1, 1]}, "dilations [-1, 1]"),
        ({"pads": [-1, 0, 0, 0]}, "pads [-1, 0, 0, 0]; expected four numbers"),
        ({"group": 0}, "0 groups"),
    ],
)
def test_a_graph_that_cannot_be(attributes: dict[str, Any], says: str) -> None:
    """One line that names the layer."""
    node = helper.make_node("Conv", ["x0", "w"], ["x1"], name="bad", **attributes)
    with pytest.raises(InvalidInput, match="bad: ") as refused:
        layers(chain(node, weights={"w": np.ones((4, 3, 3, 3), np.float32)}))
    assert says in str(refused.value)


def test_a_graph_with_a_cycle_and_one_without_pictures() -> None:
    """Neither hangs nor fails: what is no convolution of pictures has no row."""
    nodes = [helper.make_node("Add", ["x0", "x2"], ["x1"]), helper.make_node("Relu", ["x1"], ["x2"])]
    assert layers(chain(*nodes)) == []
