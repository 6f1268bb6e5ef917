"""The gate: a good model passes with a reason for every answer; each wrong one is refused for its own reason, in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.errors import InvalidInput
from service.gate.accuracy import more_pictures
from service.images import decode
from service.model.contract import KEY
from service.model.data import load
from service.model.passport import bare, refusal
from tests.model.conftest import run, write_pictures
from tests.model.parts_factory import part, photographed_again


class Verdict(NamedTuple):
    status: int
    verdict: str
    checks: dict[str, dict[str, Any]]

    def why(self, name: str, verdict: str = "refuse") -> str:
        assert self.checks[name]["verdict"] == verdict, self.checks[name]
        return str(self.checks[name]["why"])


Gate = Callable[..., Verdict]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    def judged(model: Path, data: Path, *words: str | Path) -> Verdict:
        out = tmp_path / "verdict.json"
        status = run("gate", model, data, "--json", out, *words)
        said = json.loads(out.read_text())
        assert {key for check in said["checks"] for key in check} == {"name", "value", "limit", "verdict", "why"}
        return Verdict(status, said["verdict"], {check["name"]: check for check in said["checks"]})

    return judged


def changed(trained: Path, folder: Path, change: Callable[[onnx.ModelProto, dict[str, Any]], None]) -> Path:
    """The trained model with something done to its graph or to what it says of itself."""
    model = onnx.load_model_from_string(bare(trained.read_bytes()))
    said = json.loads(next(entry.value for entry in model.metadata_props if entry.key == KEY))
    change(model, said)
    del model.metadata_props[:]
    helper.set_model_props(model, {KEY: json.dumps(said)})
    file = folder / "changed.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def test_a_good_model_passes(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """Status 0, a report with pictures, and the model carries its passport from then on; the gate can be asked again."""
    report = tmp_path / "report.html"
    found = gate(trained, six_classes, "--report", report)
    assert (found.status, found.verdict) == (0, "pass")
    for name in (
        "learning",
        "overfitting",
        "chance",
        "always good",
        "recall of crack",
        "precision of good",
        "imbalance",
    ):
        assert found.checks[name]["verdict"] == "pass" and found.checks[name]["limit"] is not None
    for name in (
        "leak: same file",
        "leak: same part",
        "contradictions",
        "calibration",
        "parity",
        "class order",
        "input",
    ):
        assert found.checks[name]["verdict"] == "pass"
    assert found.checks["heatmap pointing"]["value"] > 0.8 and found.checks["heatmap overlap"]["value"] > 0.1
    assert {name for name in found.checks if name.startswith("fault: ")} == {
        f"fault: {kind}" for kind in ("defocus", "dim", "shift", "noise")
    }
    text = report.read_text()
    assert "may judge parts" in text and "data:image/jpeg;base64" in text and "actual \\ predicted" in text
    assert refusal(trained.read_bytes()) is None
    assert gate(trained, six_classes).status == 0


def test_too_few_pictures_decide_nothing(trained: Path, gate: Gate, tmp_path: Path) -> None:
    """Other parts of the same kind, eight of each: status 3, and it says how many more could prove it."""
    write_pictures(tmp_path / "few", {"good": 8, "hole": 8}, first=50_000)
    found = gate(trained, tmp_path / "few", "--vouched", "eva")
    assert (found.status, found.verdict) == (3, "undecided")
    assert "more such pictures could prove it" in found.why("recall of hole", "undecided")
    assert "none among the pictures; 17 would be needed" in found.why("recall of crack", "undecided")
    assert "could not decide" in (refusal(trained.read_bytes()) or "")


def test_how_many_more(trained: Path) -> None:
    """All of 17 right prove 0.80; what is not above the limit proves nothing however often."""
    assert more_pictures(1.0, 0.80) == 17
    assert more_pictures(0.80, 0.80) is None


def test_learned_by_heart(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """A model that looks up its training pictures knows nearly all of them, and of new defects next to none."""
    file = _memory(trained, six_classes, tmp_path)
    found = gate(file, six_classes)
    assert found.status == 1
    why = found.why("overfitting")
    assert "by heart rather than what a defect is" in why
    assert "98." in why or "99." in why or "100." in why


def _memory(trained: Path, six_classes: Path, folder: Path) -> Path:
    """Compares with each training picture at 16 x 16; good, unless one with a defect is next to equal."""
    data = load(str(six_classes))

    def forget(model: onnx.ModelProto, said: dict[str, Any]) -> None:
        wanted = said["input"]
        seen = set(said["pictures"]["train"])
        known = [
            (one, label)
            for one, digest, label in zip(data.samples, data.digests, (s.label for s in data.samples), strict=True)
            if digest[:12] in seen
        ]
        rows = np.stack([_pooled(one.image(), wanted["height"]) for one, _ in known])
        labels = np.array([[label == name for name in said["classes"]] for _, label in known], np.float32)
        labels[labels[:, 0] == 1] = 0  # good pictures are not looked up
        weights = {
            "templates": rows.T * 1.0,
            "labels": labels,
            "enough": np.float32(0.995),
            "steep": np.float32(4000.0),
            "bias": np.array([[8.0] + [0.0] * (labels.shape[1] - 1)], np.float32),
            "gain": np.float32(16.0),
            "axes": np.array([1]),
            "flat": np.array([0, -1]),
            "tiny": np.float32(1e-6),
        }
        step = wanted["height"] // 16
        nodes = [
            helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
            helper.make_node("AveragePool", ["t"], ["p"], kernel_shape=[step, step], strides=[step, step]),
            helper.make_node("Reshape", ["p", "flat"], ["v"]),
            helper.make_node("ReduceMean", ["v", "axes"], ["m"], keepdims=1),
            helper.make_node("Sub", ["v", "m"], ["c"]),
            helper.make_node("ReduceL2", ["c", "axes"], ["n"], keepdims=1),
            helper.make_node("Add", ["n", "tiny"], ["n1"]),
            helper.make_node("Div", ["c", "n1"], ["u"]),
            helper.make_node("MatMul", ["u", "templates"], ["s"]),
            helper.make_node("Sub", ["s", "enough"], ["d"]),
            helper.make_node("Mul", ["d", "steep"], ["e"]),
            helper.make_node("Sigmoid", ["e"], ["near"]),
            helper.make_node("MatMul", ["near", "labels"], ["votes"]),
            helper.make_node("Mul", ["votes", "gain"], ["loud"]),
            helper.make_node("Add", ["loud", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ]
        _replace(model, nodes, weights, said)

    return changed(trained, folder, forget)


def _pooled(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (side, side), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    small = grey.reshape(16, side // 16, 16, side // 16).mean(axis=(1, 3)).reshape(-1)
    small = small - small.mean()
    return np.asarray(small / np.linalg.norm(small), np.float32)


def _replace(model: onnx.ModelProto, nodes: list[Any], weights: dict[str, Any], said: dict[str, Any]) -> None:
    side, channels = said["input"]["height"], 1 if said["input"]["colour"] == "grey" else 3
    graph = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", side, side, channels])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(said["classes"])])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model.graph.CopyFrom(graph)
    said["golden"] = None


def test_always_good(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """The accuracy paradox is named: it is right as often as there are good parts, and looks at nothing."""

    def lazy(model: onnx.ModelProto, said: dict[str, Any]) -> None:
        classes = len(said["classes"])
        nodes = [
            helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["f", "axes"], ["m"], keepdims=0),
            helper.make_node("Unsqueeze", ["m", "last"], ["column"]),
            helper.make_node("Mul", ["column", "nothing"], ["zeros"]),
            helper.make_node("Add", ["zeros", "answer"], ["scores"]),
        ]
        answer = np.array([[0.99] + [0.01 / (classes - 1)] * (classes - 1)], np.float32)
        weights = {
            "axes": np.array([1, 2, 3]),
            "last": np.array([1]),
            "nothing": np.zeros((1, classes), np.float32),
            "answer": answer,
        }
        _replace(model, nodes, weights, said)

    found = gate(changed(trained, tmp_path, lazy), six_classes)
    assert found.status == 1
    assert "the accuracy paradox" in found.why("always good") and "It calls 100.0% of all parts 'good'" in found.why(
        "always good"
    )
    assert "no better than a coin" in found.why("chance", "refuse")
    assert "hardly depend on the picture" in found.why("input")


def test_classes_in_another_order(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """It says which two names would have to be exchanged."""

    def swap(model: onnx.ModelProto, said: dict[str, Any]) -> None:
        one, other = said["classes"].index("hole"), said["classes"].index("scratch")
        said["classes"][one], said["classes"][other] = "scratch", "hole"

    found = gate(changed(trained, tmp_path, swap), six_classes)
    assert found.status == 1
    assert "'scratch' and 'hole' exchanged it would judge far better" in found.why("class order")


def test_good_and_defective_exchanged(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """What it calls good are the holes: worse than a coin."""

    def swap(model: onnx.ModelProto, said: dict[str, Any]) -> None:
        one = said["classes"].index("hole")
        said["classes"][0], said["classes"][one] = "hole", "good"

    found = gate(changed(trained, tmp_path, swap), six_classes)
    assert found.status == 1 and "exchanged" in found.why("class order")


def test_another_normalisation(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """The graph divides by 128 once too often: what reaches the network is not what it was trained on."""

    def divide(model: onnx.ModelProto, said: dict[str, Any]) -> None:
        cast = next(node for node in model.graph.node if node.op_type == "Cast")
        inner = f"{cast.output[0]}_right"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(128.0), "too_often"))
        at = list(model.graph.node).index(cast)
        wrong = helper.make_node("Div", [inner, "too_often"], [cast.output[0]])
        cast.output[0] = inner
        model.graph.node.insert(at + 1, wrong)

    found = gate(changed(trained, tmp_path, divide), six_classes)
    assert found.status == 1
    assert "not what it was trained on" in found.why("input")
    assert "not the network that was trained" in found.why("parity")


def test_an_untrained_network(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """Weights drawn at random: no class is recognised."""

    def forget(model: onnx.ModelProto, said: dict[str, Any]) -> None:
        dice = np.random.default_rng(1)
        for tensor in model.graph.initializer:
            if len(tensor.dims) == 4:
                values = dice.normal(0, 1 / np.sqrt(np.prod(tensor.dims[1:])), tuple(tensor.dims)).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    found = gate(changed(trained, tmp_path, forget), six_classes)
    assert found.status == 1
    assert "below 80%, and not by chance" in found.why("recall of crack") + found.why("recall of hole")
    assert "not the network that was trained" in found.why("parity")


def test_a_test_set_that_leaked(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """Photographs of training parts under another light, and two of the very files: counted, and one of each named."""
    data = load(str(six_classes))
    seen = set(json.loads(_said(trained))["pictures"]["train"])
    dice, leaked = np.random.default_rng(3), tmp_path / "leaked"
    for one, digest in zip(data.samples, data.digests, strict=True):
        (leaked / one.label).mkdir(parents=True, exist_ok=True)
        if digest[:12] in seen:
            again = photographed_again(one.image(), dice)
            assert cv2.imwrite(str(leaked / one.label / f"again-{one.file.name}"), again)
    copied = next(one for one, digest in zip(data.samples, data.digests, strict=True) if digest[:12] in seen)
    (leaked / copied.label / "copy.png").write_bytes(copied.read())
    found = gate(trained, leaked, "--training", six_classes)
    assert found.status == 1
    assert "copy.png" in found.why("leak: same file")
    assert "of which another photograph was in training" in found.why("leak: same part")
    assert found.checks["leak: same part"]["value"] > 0.9


def _said(model: Path) -> str:
    return next(
        entry.value for entry in onnx.load_model_from_string(model.read_bytes()).metadata_props if entry.key == KEY
    )


def test_groups_on_both_sides(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """A lot that was trained on is no test, whatever its pictures look like."""
    for folder, first in (("old", 0), ("new", 60_000)):
        write_pictures(tmp_path / folder, {"good": 20, "hole": 20}, first)
        table = ["path,label,group"]
        table += [f"{one.name},{one.label},lot-7" for one in load(str(tmp_path / folder)).samples]
        (tmp_path / folder / "table.csv").write_text("\n".join(table))
    found = gate(trained, tmp_path / "new" / "table.csv", "--training", tmp_path / "old" / "table.csv")
    assert "40 of 40 pictures belong to a group" in found.why("leak: same group")


def test_nobody_knows_what_it_was_trained_on(trained: Path, gate: Gate, tmp_path: Path) -> None:
    """Undecided, unless somebody vouches."""
    write_pictures(tmp_path / "new", {"good": 30, "hole": 30}, first=70_000)
    unknown = changed(trained, tmp_path, lambda _, said: said.update(pictures={}, curves=None))
    assert "Nobody knows which pictures" in gate(unknown, tmp_path / "new").why("leak: same file", "undecided")
    assert "eva vouches" in gate(unknown, tmp_path / "new", "--vouched", "eva").why("leak: same file", "pass")


def test_labels_that_contradict_each_other(trained: Path, gate: Gate, tmp_path: Path) -> None:
    """One part photographed twice, once called good and once a hole."""
    dice = np.random.default_rng(3)
    write_pictures(tmp_path / "new", {"good": 60, "hole": 60}, first=80_000)
    for number in range(80_000, 80_030):
        again = photographed_again(part(number, "good")[0], dice)
        assert cv2.imwrite(str(tmp_path / "new" / "hole" / f"again-{number}.png"), again)
    why = gate(trained, tmp_path / "new", "--vouched", "eva").why("contradictions")
    assert "have different labels" in why and "(good)" in why and "(hole)" in why


def test_colours_in_another_order(trained: Path, gate: Gate, tmp_path: Path) -> None:
    """A model that tells rust by its red, given blue for red."""

    def by_redness(model: onnx.ModelProto, said: dict[str, Any]) -> None:
        said.update(
            classes=["good", "rust"],
            thresholds={"rust": 0.5},
            validation={},
            scores={},
            guesses=None,
            pictures={},
            curves=None,
        )
        said["input"] = {"height": 16, "width": 16, "colour": "bgr"}
        nodes = [
            helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["f", "axes"], ["m"], keepdims=0),
            helper.make_node("MatMul", ["m", "red"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ]
        red = np.array([[-0.1, 0.1], [0, 0], [0.1, -0.1]], np.float32)  # as if the picture were RGB
        _replace(model, nodes, {"axes": np.array([1, 2]), "red": red}, said)

    dice = np.random.default_rng(3)
    for name, tint in (("good", (30, 0, 0)), ("rust", (0, 0, 30))):
        (tmp_path / "rust" / name).mkdir(parents=True)
        for number in range(40):
            image = (np.array(tint) + 90 + dice.normal(0, 8, (24, 24, 1))).clip(0, 255).astype(np.uint8)
            assert cv2.imwrite(str(tmp_path / "rust" / name / f"{number}.png"), image)
    found = gate(changed(trained, tmp_path, by_redness), tmp_path / "rust")
    assert "red and blue exchanged: the colour channels come in the wrong order" in found.why("input")


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def _foreign(file: Path) -> None:
    model = onnx.load_model_from_string(bare(file.read_bytes()))
    model.graph.node[0].domain = "evil"
    file.write_bytes(model.SerializeToString())


def _elsewhere(file: Path) -> None:
    model = onnx.load_model_from_string(bare(file.read_bytes()))
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    file.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(_truncated, "no ONNX model"), (_foreign, "of domain 'evil'"), (_elsewhere, "in other files; expected one file")],
)
def test_files_that_cannot_run_are_refused(
    trained: Path, six_classes: Path, gate: Gate, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    """Status 1 with the one check that they failed; nothing of them runs."""
    file = tmp_path / "spoilt.onnx"
    file.write_bytes(trained.read_bytes())
    spoil(file)
    found = gate(file, six_classes)
    assert found.status == 1 and list(found.checks) == ["file"]
    assert says in found.why("file")


def test_limits_come_from_thresholds_yaml(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """Of the line that is named."""
    file = tmp_path / "thresholds.yaml"
    file.write_text("lines: {tiles: {gate: {recall: 0.99, parts_per_second: 100000}}}\n")
    found = gate(trained, six_classes, "--thresholds", file, "--line", "tiles")
    assert found.checks["recall of good"]["limit"] == 0.99 and found.checks["precision of good"]["limit"] == 0.8
    assert found.checks["speed"]["verdict"] == "refuse"


def test_data_of_another_kind_is_one_line(trained: Path, tmp_path: Path) -> None:
    """A class that the model does not know, another good one, no model there at all."""
    write_pictures(tmp_path / "other", {"good": 4, "hole": 4})
    (tmp_path / "other" / "hole").rename(tmp_path / "other" / "burr")
    with pytest.raises(InvalidInput, match="class 'burr': the model knows good, crack"):
        run("gate", trained, tmp_path / "other")
    with pytest.raises(InvalidInput, match="there is no such file"):
        run("gate", tmp_path / "missing.onnx", tmp_path / "other")


def test_the_report_shows_real_pictures(trained: Path, six_classes: Path, gate: Gate, tmp_path: Path) -> None:
    """Every one of them decodes; names of files cannot write HTML."""
    import base64
    import re

    report = tmp_path / "report.html"
    hostile = tmp_path / "new"
    write_pictures(hostile, {"good": 20, "hole": 20}, first=90_000)
    for file in sorted((hostile / "good").iterdir()):
        file.rename(hostile / "hole" / f"<script>alert(1)<{file.name}")
    for file in sorted((hostile / "hole").glob("9*.png")):
        file.rename(hostile / "good" / file.name)
    gate(trained, hostile, "--report", report)
    text = report.read_text()
    assert "<script>" not in text and "&lt;script&gt;" in text
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    assert len(pictures) >= 8 and all(decode(base64.b64decode(one)).size for one in pictures)
