"""Foreign classifiers: what is taken in says the same as before, and what is not taken in says why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.errors import InvalidInput
from service.model.adopt import adopt
from service.model.detector import CPU, OnnxDetector
from service.model.foreign import Wishes
from service.records import Image
from tests.foreign import SIZE, Foreign, write

CLASSES = ("good", "crack", "dent")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _wishes(**changes: Any) -> Wishes:
    return Wishes.model_validate({"name": "press-3", "classes": CLASSES, "good": "good"} | changes)


def _adopt(foreign: Path, wishes: Wishes, samples: Path | None = None) -> tuple[OnnxDetector, str]:
    """The adopted model and what was said."""
    out, said = foreign.with_name("adopted.onnx"), list[str]()
    adopt(foreign, out, wishes, samples, said.append)
    return OnnxDetector(out, (CPU,), 1), "\n".join(said)


def _refusal(foreign: Path, wishes: Wishes, samples: Path | None = None) -> str:
    """Why not: one line that names the file; nothing is left beside it."""
    before = sorted(foreign.parent.iterdir())
    with pytest.raises(InvalidInput) as caught:
        _adopt(foreign, wishes, samples)
    line = str(caught.value)
    assert "\n" not in line and line.count(str(foreign)) <= 1 and sorted(foreign.parent.iterdir()) == before
    return line


def _picture(seed: int = 7, size: int = SIZE) -> Image:
    """Of three different channels, so that an exchange shows."""
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3))
    return np.asarray(noise * [1.0, 0.6, 0.2], np.uint8)


def _raw(foreign: Path, *batch: NDArray[Any]) -> NDArray[Any]:
    session = ort.InferenceSession(foreign.read_bytes(), providers=[CPU])
    kind = np.float16 if "16" in session.get_inputs()[0].type else np.float32
    found = [session.run(None, {"scores": one[np.newaxis].astype(kind)})[0] for one in batch]
    return np.asarray(found, np.float64).reshape(len(batch), -1)


def _softmax(values: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(values)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _judged(detector: OnnxDetector, image: Image) -> NDArray[np.float32]:
    return detector.judge(detector.fit(image)[np.newaxis])


SHAPES = {
    "a batch of any size": Foreign(),
    "a batch of one": Foreign(batch=1),
    "a batch of one that a Reshape says again": Foreign(batch=1, flat="Reshape"),
    "a batch of one in a Reshape that leaves the rest open": Foreign(batch=1, flat="Reshape rest"),
    "the same, where a 0 would mean 0": Foreign(batch=1, flat="Reshape rest", allowzero=1),
    "a batch of one that nobody says again": Foreign(batch=1, flat="Reshape open"),
    "channels last": Foreign(channels_first=False),
    "scores of 1 x 1 pixels": Foreign(flat="conv"),
    "float16": Foreign(kind=TensorProto.FLOAT16),
    "an old opset": Foreign(opset=9, ir_version=4),
    "the oldest opset, weights among the inputs": Foreign(opset=7, ir_version=3),
    "a softmax of its own": Foreign(end=("Softmax",)),
    "the logarithm of a softmax": Foreign(end=("LogSoftmax",)),
}


@pytest.mark.parametrize("foreign", SHAPES.values(), ids=SHAPES)
def test_a_classifier_of_any_make_says_the_same_as_before(foreign: Foreign, tmp_path: Path) -> None:
    """Fed by hand in its own way, or adopted with uint8 pictures in batches: the same probabilities."""
    file = foreign.write(tmp_path)
    detector, _ = _adopt(file, _wishes(mean=MEAN, std=STD))
    images = [_picture(seed) // (seed + 1) for seed in range(7)]  # from bright to dark
    floats = [(image[:, :, ::-1] / 255 - MEAN) / STD for image in images]
    raw = _raw(file, *(np.moveaxis(one, 2, 0) if foreign.channels_first else one for one in floats))
    expected = raw if foreign.end == ("Softmax",) else _softmax(raw)
    assert expected.std(axis=0).max() > 0.01  # a network that always says the same would prove nothing
    rounding = 1e-3 if foreign.kind == TensorProto.FLOAT16 else 1e-5
    assert detector.judge(np.stack(images)) == pytest.approx(expected, abs=rounding)
    assert detector.info.classes == CLASSES and detector.info.name == "press-3"


@pytest.mark.parametrize(
    ("colour", "channels", "look"),
    [
        (None, 3, lambda image: image[:, :, ::-1]),
        ("rgb", 3, lambda image: image[:, :, ::-1]),
        ("bgr", 3, lambda image: image),
        ("grey", 3, lambda image: np.dstack([cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)] * 3)),
        ("grey", 1, lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, np.newaxis]),
        (None, 1, lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, np.newaxis]),
    ],
)
def test_colours_come_in_the_networks_order(colour: str | None, channels: int, look: Any, tmp_path: Path) -> None:
    """rgb is what one gets without a word, grey for one channel; grey for three channels is repeated."""
    file = Foreign(channels=channels).write(tmp_path)
    detector, said = _adopt(file, _wishes(colour=colour))
    expected = _softmax(_raw(file, np.moveaxis(look(_picture()) / 255, 2, 0)))
    assert _judged(detector, _picture()) == pytest.approx(expected, abs=1e-5)
    assert detector.contract.input.colour == ("grey" if channels == 1 or colour == "grey" else "bgr")
    assert (colour or ("grey" if channels == 1 else "rgb")) in said


@pytest.mark.parametrize(
    ("said", "formula"),
    [
        ({}, lambda x: x / 255),
        ({"scale": 255}, lambda x: x),
        ({"scale": 255, "mean": (103.5, 116.3, 123.7), "std": (57.4,)}, lambda x: (x - [103.5, 116.3, 123.7]) / 57.4),
        ({"mean": (0.5,), "std": (0.5,)}, lambda x: x / 127.5 - 1),
    ],
)
def test_mean_and_deviation_count_in_ratios_or_in_levels(said: dict[str, Any], formula: Any, tmp_path: Path) -> None:
    """Each channel its own, in the network's order, or one for all."""
    file = Foreign(gain=0.3 / np.ptp(formula(np.array([0.0, 255.0])[:, np.newaxis]))).write(tmp_path)
    detector, _ = _adopt(file, _wishes(**said))
    expected = _softmax(_raw(file, np.moveaxis(formula(_picture()[:, :, ::-1].astype(float)), 2, 0)))
    assert _judged(detector, _picture()) == pytest.approx(expected, abs=1e-4)


def _sigmoid(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 / (1 + np.exp(-values)))


@pytest.mark.parametrize(
    ("end", "outputs"),
    [((), None), ((), "logits"), ((), "sigmoid"), (("Sigmoid",), None), (("Sigmoid",), "probabilities")],
)
def test_one_output_is_the_score_of_the_second_class(end: tuple[str, ...], outputs: str | None, tmp_path: Path) -> None:
    """With its sigmoid or without; both scores add up to 1."""
    file = Foreign(outputs=1, end=end).write(tmp_path)
    detector, _ = _adopt(file, _wishes(classes=("good", "crack"), outputs=outputs, scale=4))
    raw = _raw(file, np.moveaxis(_picture()[:, :, ::-1] / 255 * 4, 2, 0))
    second = raw if end else _sigmoid(raw)
    assert _judged(detector, _picture()) == pytest.approx(np.hstack([1 - second, second]), abs=1e-5)
    assert detector.info.decision_thresholds == {"crack": 0.5}


@pytest.mark.parametrize(("end", "outputs"), [((), "sigmoid"), (("Sigmoid",), None)])
def test_a_sigmoid_per_class_stays_one(end: tuple[str, ...], outputs: str | None, tmp_path: Path) -> None:
    """Scores that do not add up to 1 are thresholded at one half each."""
    file = Foreign(end=end).write(tmp_path)
    detector, _ = _adopt(file, _wishes(outputs=outputs))
    raw = _raw(file, np.moveaxis(_picture()[:, :, ::-1] / 255, 2, 0))
    assert _judged(detector, _picture()) == pytest.approx(raw if end else _sigmoid(raw), abs=1e-5)
    assert detector.info.decision_thresholds == {"crack": 0.5, "dent": 0.5}


def test_values_that_could_be_either_are_asked_for(tmp_path: Path) -> None:
    """In [0, 1] without a sum of 1 and without a sigmoid that explains it; said with --outputs, it is taken."""
    file = Foreign(outputs=1, end=("Sigmoid", "Mul"))
    model = file.model()
    model.graph.node[-1].input.append("end1")  # a square of the probability
    foreign = write(model, tmp_path)
    assert "--outputs" in _refusal(foreign, _wishes(classes=("good", "crack")))
    detector, _ = _adopt(foreign, _wishes(classes=("good", "crack"), outputs="probabilities"))
    raw = _raw(foreign, np.moveaxis(_picture()[:, :, ::-1] / 255, 2, 0))
    assert _judged(detector, _picture())[0, 1] == pytest.approx(raw[0, 0], abs=1e-5)


def test_logits_are_not_believed_to_be_probabilities(tmp_path: Path) -> None:
    """Whatever was said: the line's scores are in [0, 1]."""
    assert "--outputs says probabilities" in _refusal(Foreign().write(tmp_path), _wishes(outputs="probabilities"))


def test_thresholds_are_as_said_or_never_milder_than_the_largest_score(tmp_path: Path) -> None:
    """1 / classes: a part whose largest score is a defect's is flagged. A threshold that was said stands."""
    file = Foreign().write(tmp_path)
    detector, said = _adopt(file, _wishes(thresholds={"dent": 0.8}))
    assert detector.info.decision_thresholds == {"crack": pytest.approx(1 / 3), "dent": 0.8}
    assert "crack from 0.333 on" in said and "dent from 0.8 on" in said


def test_an_open_size_is_filled_in(tmp_path: Path) -> None:
    """With what was said, height first; nothing said, it is asked for; what the graph says stands."""
    file = Foreign(size=("h", "w")).write(tmp_path)
    assert "--size" in _refusal(file, _wishes())
    detector, said = _adopt(file, _wishes(size=(16, 24)))
    assert (detector.contract.input.height, detector.contract.input.width) == (16, 24) and "3 x 16 x 24" in said
    half = Foreign(size=(SIZE, "w")).write(tmp_path)
    assert _adopt(half, _wishes(size=(SIZE, 40)))[0].contract.input.width == 40
    (tmp_path / "adopted.onnx").unlink()
    assert f"{SIZE}x{SIZE}" in _refusal(Foreign().write(tmp_path), _wishes(size=(SIZE, 24)))


def test_the_resize_is_the_lines_own(tmp_path: Path) -> None:
    """A larger picture is fitted first, by contract.fit, and only then judged."""
    detector, _ = _adopt(Foreign().write(tmp_path), _wishes())
    large = np.asarray(np.kron(_picture(), np.ones((3, 3, 1))), np.uint8)
    assert _judged(detector, large) == pytest.approx(_judged(detector, _picture()), abs=1e-6)


def test_weights_in_a_branch_and_names_like_ours_come_along(tmp_path: Path) -> None:
    """A graph in a graph sees the renamed values of the outer one; a value called `images` or `scores` is no clash."""
    model = Foreign().model()
    branches = [
        helper.make_graph(
            [helper.make_node(kind, ["end0"], [kind])],
            kind,
            [],
            [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)],
        )
        for kind in ("Neg", "Identity")
    ]
    model.graph.initializer.append(helper.make_tensor("always", TensorProto.BOOL, [], [True]))
    node = helper.make_node("If", ["always"], ["chosen"], then_branch=branches[0], else_branch=branches[1])
    model.graph.node.append(node)
    model.graph.output[0].name = "chosen"
    file = write(model, tmp_path)
    detector, _ = _adopt(file, _wishes())
    plain = _raw(write(Foreign().model(), tmp_path), np.moveaxis(_picture()[:, :, ::-1] / 255, 2, 0))
    assert _judged(detector, _picture()) == pytest.approx(_softmax(-plain), abs=1e-5)


def test_the_output_with_the_scores_is_chosen_among_others(tmp_path: Path) -> None:
    """Features beside the scores are left behind; two that could be the scores are refused."""
    model = Foreign().model()
    model.graph.output.insert(0, helper.make_tensor_value_info("flat", TensorProto.FLOAT, None))
    detector, said = _adopt(write(model, tmp_path), _wishes())
    assert "end0" in said and detector.heatmap(_picture()) is None
    model.graph.node.append(helper.make_node("Neg", ["end0"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    (tmp_path / "adopted.onnx").unlink()
    assert "2 of its 3 outputs could be" in _refusal(write(model, tmp_path), _wishes())


def _two_inputs() -> onnx.ModelProto:
    model = Foreign().model()
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, [1]))
    return model


def _stretched() -> onnx.ModelProto:
    """3 p - 2/3: adds up to 1, and leaves [0, 1]."""
    model = Foreign(end=("Softmax", "Mul", "Sub"), gain=1).model()
    model.graph.initializer.append(numpy_helper.from_array(np.array(3, np.float32), "three"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(2 / 3, np.float32), "less"))
    model.graph.node[-2].input.append("three")
    model.graph.node[-1].input.append("less")
    return model


def _typeless() -> onnx.ModelProto:
    model = Foreign().model()
    model.graph.input[0].type.tensor_type.elem_type = 99
    return model


def _mixing(kind: str, batch: int | str = 1, share: float = 1.0) -> onnx.ModelProto:
    """Made for one picture, in a way that an opened input does not repair."""
    model = Foreign(batch=batch).model()
    if kind == "mean":  # over the batch: right for one picture, of all pictures for several
        model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(share, np.float32), "share"))
        model.graph.node.append(helper.make_node("ReduceMean", ["end0", "axis"], ["average"], keepdims=1))
        model.graph.node.append(helper.make_node("Mul", ["average", "share"], ["part"]))
        model.graph.node.append(helper.make_node("Add", ["end0", "part"], ["last"]))
    else:  # a row that stands in the weights, as the class token of a transformer
        model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 3), np.float32), "token"))
        model.graph.initializer.append(numpy_helper.from_array(np.eye(6, 3, dtype=np.float32), "pick"))
        model.graph.node.append(helper.make_node("Concat", ["end0", "token"], ["both"], axis=1))
        model.graph.node.append(helper.make_node("MatMul", ["both", "pick"], ["last"]))
    model.graph.output[0].name = "last"
    return model


REFUSED: dict[str, tuple[Foreign | onnx.ModelProto, dict[str, Any], Sequence[str]]] = {
    "two inputs": (_two_inputs(), {}, ["2 inputs", "'age'"]),
    "no picture": (Foreign(dims=("n", 48)), {}, ["no picture", "? x 48"]),
    "six channels": (Foreign(channels=6), {}, ["no picture", "6 x 16 x 16"]),
    "float64 in": (Foreign(kind=TensorProto.DOUBLE), {}, ["DOUBLE", "FLOAT16"]),
    "uint8 in": (Foreign(kind=TensorProto.UINT8), {}, ["UINT8", "FLOAT16"]),
    "batches of four": (Foreign(batch=4), {}, ["batches of 4"]),
    "a mask": (Foreign(flat="maps"), {}, ["1 x 3 x 14 x 14", "masks are not taken"]),
    "float64 out": (Foreign(end=("Cast",)), {}, ["tensor(double)", "float32"]),
    "a label out": (Foreign(end=("ArgMax",)), {}, ["tensor(int64)", "float32"]),
    "fewer scores than classes": (Foreign(outputs=2), {}, ["2 scores", "3 classes"]),
    "one score for three classes": (Foreign(outputs=1), {}, ["1 scores", "3 classes"]),
    "an opset of tomorrow": (Foreign(opset=99), {}, ["opset 99"]),
    "an operator of their own": (Foreign(end=("Magic",)), {}, ["'Magic'"]),
    "rgb for one channel": (Foreign(channels=1), {"colour": "rgb"}, ["one channel", "rgb"]),
    "two means for three channels": (Foreign(), {"mean": (0.5, 0.5)}, ["--mean", "2 numbers"]),
    "a threshold for no defect": (Foreign(), {"thresholds": {"good": 0.5}}, ["--threshold good", "crack, dent"]),
    "a threshold out of range": (Foreign(), {"thresholds": {"dent": 1.5}}, ["--thresholds.dent"]),
    "a good class that is none": (Foreign(), {"good": "fine"}, ["--good", "'fine'"]),
    "a name with a blank": (Foreign(), {"name": "press 3"}, ["--name"]),
    "a size that is too small": (Foreign(size=("h", "w")), {"size": (4, 8)}, ["height", "8"]),
    "a batch that is averaged": (_mixing("mean"), {}, ["batches of 1", "dynamic batch", "differs"]),
    "an open batch that is averaged": (_mixing("mean", "n"), {}, ["not say the same in batches", "differs"]),
    "a class twice": (Foreign(), {"classes": ("good", "dent", "dent")}, ["--classes", "twice"]),
    "an input without a shape": (Foreign(dims=()), {}, ["no picture"]),
    "an input of no type": (_typeless(), {}, ["no known type"]),
    "a row in the weights": (_mixing("token"), {}, ["batches of 1", "Concat"]),
    "probabilities that are none": (_stretched(), {}, ["adds up to 1", "--outputs"]),
    "numbers that are not finite": (Foreign(end=("Log", "Sqrt")), {}, ["not finite"]),
}


@pytest.mark.parametrize(("foreign", "wishes", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_in_says_why(
    foreign: Foreign | onnx.ModelProto, wishes: dict[str, Any], words: Sequence[str], tmp_path: Path
) -> None:
    """One line with its own reason, and no file."""
    model = foreign.model() if isinstance(foreign, Foreign) else foreign
    line = _refusal(write(model, tmp_path), _wishes(**wishes))
    assert line.startswith((f"{tmp_path}/foreign.onnx: ", "--")) and [word for word in words if word not in line] == []


def test_a_verdict_that_changes_is_no_proof(tmp_path: Path) -> None:
    """A score that differs by less than is allowed, on both sides of its threshold."""
    file, samples = write(_mixing("mean", "n", 1e-3), tmp_path), tmp_path / "samples"
    samples.mkdir()
    images = [_picture(seed) // (seed + 1) for seed in range(16)]
    for number, image in enumerate(images):
        assert cv2.imwrite(str(samples / f"{number:02}.png"), image)
    floats = [np.moveaxis(image[:, :, ::-1] / 255, 2, 0).astype(np.float32) for image in images]
    session = ort.InferenceSession(file.read_bytes(), providers=[CPU])
    together = _softmax(session.run(None, {"scores": np.stack(floats[8:])})[0])[:, 2]  # the last eight are one batch
    alone = _softmax(_raw(file, *floats[8:]))[:, 2]
    apart = int(np.argmax(np.abs(together - alone)))
    between = float(together[apart] + alone[apart]) / 2
    assert 1e-6 < abs(together[apart] - alone[apart]) < 1e-3
    assert "another verdict" in _refusal(file, _wishes(thresholds={"dent": between}), samples)
    _adopt(file, _wishes(thresholds={"dent": 1.0}), samples)


def test_a_network_that_gives_some_pictures_fewer_scores_is_refused(tmp_path: Path) -> None:
    """Each class gets its score only where a pixel is bright: three for a white picture, none for a black one."""
    model = Foreign().model()
    constants = {"from": [0, 0, 0, 0], "to": [1, 1, 1, 3], "all": [-1]}
    model.graph.initializer.extend(numpy_helper.from_array(np.array(v), name) for name, v in constants.items())
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    model.graph.node.append(helper.make_node("Slice", ["scores", "from", "to"], ["corner"]))
    model.graph.node.append(helper.make_node("Reshape", ["corner", "all"], ["pixels"]))
    model.graph.node.append(helper.make_node("Greater", ["pixels", "half"], ["bright"]))
    model.graph.node.append(helper.make_node("Compress", ["end0", "bright"], ["some"], axis=1))
    model.graph.output[0].name = "some"
    samples = tmp_path / "samples"
    samples.mkdir()
    for number, level in enumerate((255, 0)):
        assert cv2.imwrite(str(samples / f"{number}.png"), np.full((SIZE, SIZE, 3), level, np.uint8))
    assert "more scores than another" in _refusal(write(model, tmp_path), _wishes(), samples)


def test_a_network_whose_size_does_not_fit_its_weights_says_so(tmp_path: Path) -> None:
    """An open size, filled in with one that the linear layer was not made for."""
    model = Foreign(size=("h", "w")).model()
    del model.graph.node[2]
    model.graph.node[2].input[0] = "images"  # flattened without a mean: 8 x 14 x 14 numbers for a layer of 8
    assert "cannot judge a picture of 16x16" in _refusal(write(model, tmp_path), _wishes(size=(16, 16)))


def test_pictures_of_a_folder_prove_it(tmp_path: Path) -> None:
    """As many as there are, and random ones until it is enough; what is no picture is named."""
    samples = tmp_path / "samples"
    samples.mkdir()
    file = Foreign().write(tmp_path)
    assert str(samples) in _refusal(file, _wishes(), samples)
    for number in range(20):
        cv2.imwrite(str(samples / f"{number}.png"), _picture(number, 40))
    assert "on 20 pictures" in _adopt(file, _wishes(), samples)[1]
    assert "on 16 pictures" in _adopt(file, _wishes())[1]
    (tmp_path / "adopted.onnx").unlink()
    (samples / "notes.txt").write_text("no picture")
    assert "notes.txt" in _refusal(file, _wishes(), samples)
    assert "expected a folder" in _refusal(file, _wishes(), samples / "notes.txt")


def test_a_refused_model_leaves_the_adopted_one_as_it_was(tmp_path: Path) -> None:
    """Whole or not at all; the foreign file itself is never written over."""
    file = Foreign().write(tmp_path)
    _adopt(file, _wishes())
    adopted = (tmp_path / "adopted.onnx").read_bytes()
    _refusal(write(_mixing("mean"), tmp_path), _wishes())
    assert (tmp_path / "adopted.onnx").read_bytes() == adopted
    with pytest.raises(InvalidInput, match="foreign model itself"):
        adopt(file, file, _wishes(), None, print)
    with pytest.raises(InvalidInput, match="does not exist"):
        adopt(file, tmp_path / "none" / "m.onnx", _wishes(), None, print)
    with pytest.raises(InvalidInput, match="cannot be written"):
        (tmp_path / "folder").mkdir()
        adopt(Foreign().write(tmp_path), tmp_path / "folder", _wishes(), None, print)


def test_what_was_adopted_is_not_adopted_again(tmp_path: Path) -> None:
    """It takes uint8 pictures already."""
    _adopt(Foreign().write(tmp_path), _wishes())
    assert "UINT8" in _refusal((tmp_path / "adopted.onnx").rename(tmp_path / "again.onnx"), _wishes())
