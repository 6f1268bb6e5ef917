"""The model file: what it must say of itself, and that what runs is what was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.errors import InvalidInput
from service.model.contract import Contract, Input, fit
from service.model.detector import CPU, OnnxDetector

SHIPPED = Path(__file__).parents[2] / "deploy/models/el-cells.onnx"
SAYS: dict[str, Any] = {
    "name": "toy",
    "classes": ["good", "crack"],
    "good": "good",
    "input": {"height": 8, "width": 8, "colour": "grey"},
    "thresholds": {"crack": 0.5},
}


def _toy(
    says: dict[str, Any] | None,
    batch: int | str = "batch",
    kind: int = TensorProto.UINT8,
    output: str = "scores",
    external: bool = False,
) -> bytes:
    """A graph whose scores are (1 - mean brightness, mean brightness) of the picture."""
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["share"]),
        helper.make_node("ReduceMean", ["share", "axes"], ["bright"], keepdims=0),
        helper.make_node("Unsqueeze", ["bright", "last"], ["column"]),
        helper.make_node("Sub", ["one", "column"], ["dark"]),
        helper.make_node("Concat", ["dark", "column"], [output], axis=1),
    ]
    constants = [
        helper.make_tensor("full", TensorProto.FLOAT, [], [255.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
    ]
    if external:
        constants[0].data_location = TensorProto.EXTERNAL
        entry = constants[0].external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", kind, [batch, 8, 8, 1])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, 2])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if says is not None:
        helper.set_model_props(model, {"redrabbit": json.dumps(says)})
    content: bytes = model.SerializeToString()
    return content


def _load(folder: Path, content: bytes, *providers: str) -> OnnxDetector:
    file = folder / "m.onnx"
    file.write_bytes(content)
    return OnnxDetector(file, providers or (CPU,), 1)


def test_a_model_says_who_it_is_and_judges(tmp_path: Path) -> None:
    """Classes, thresholds, digest and provider come from the file and the session; scores are in [0, 1]."""
    content = _toy(SAYS)
    detector = _load(tmp_path, content)
    assert detector.info.classes == ("good", "crack")
    assert detector.info.digest == sha256(content).hexdigest()
    assert detector.info.provider == CPU
    bright = detector.fit(np.full((50, 70, 3), 204, np.uint8))
    assert bright.shape == (8, 8, 1)
    assert detector.judge(np.stack([bright, bright])) == pytest.approx(np.array([[0.2, 0.8]] * 2), abs=1e-6)
    assert detector.heatmap(np.zeros((9, 9, 3), np.uint8)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"good": "fine"}, "fine"),
        ({"classes": ["good", "good"]}, "twice"),
        ({"classes": ["good", "all"], "thresholds": {"all": 0.5}}, "all"),
        ({"classes": ["good", "unsure"], "thresholds": {"unsure": 0.5}}, "unsure"),
        ({"thresholds": {}}, "thresholds"),
        ({"thresholds": {"crack": 0.0}}, "thresholds"),
        ({"thresholds": {"crack": 50}}, "thresholds"),
        ({"input": {"height": 8, "width": 8, "colour": "red"}}, "colour"),
        ({"input": {"height": 9, "width": 8, "colour": "grey"}}, "input"),
        ({"classes": ["good", "crack", "scratch"], "thresholds": {"crack": 0.5, "scratch": 0.5}}, "scores"),
        ({"surprise": 1}, "surprise"),
        ({"version": 2}, "version"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """One line that names the file and what is wrong."""
    with pytest.raises(InvalidInput) as caught:
        _load(tmp_path, _toy(SAYS | change))
    assert "m.onnx" in str(caught.value) and words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"rubbish" * 100, "no ONNX model"),
        (_toy(SAYS)[:200], "no ONNX model"),
        (_toy(None), "says nothing of itself"),
        (_toy(SAYS, batch=4), "batches of 4"),
        (_toy(SAYS, kind=TensorProto.FLOAT), "uint8"),
        (_toy(SAYS, output="logits"), "scores"),
        (_toy(SAYS, external=True), "other files"),
    ],
)
def test_a_file_that_is_no_model_of_ours_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """Untrusted until it has been looked at."""
    with pytest.raises(InvalidInput) as caught:
        _load(tmp_path, content)
    assert "m.onnx" in str(caught.value) and words in str(caught.value)


@pytest.mark.parametrize("provider", ["NoSuchExecutionProvider", "CUDAExecutionProvider"])
def test_a_provider_that_is_not_there_is_an_error(tmp_path: Path, provider: str) -> None:
    """Asked for a GPU, a machine without one must not run on the CPU in silence."""
    import onnxruntime as ort

    if provider == "CUDAExecutionProvider" and Path("/dev/nvidiactl").exists():
        assert _load(tmp_path, _toy(SAYS), provider).info.provider == provider
        return
    with pytest.raises(InvalidInput, match=provider):
        _load(tmp_path, _toy(SAYS), provider)
    assert CPU in ort.get_available_providers()


def test_the_one_resize_keeps_what_matters() -> None:
    """Large pictures are averaged, small ones interpolated; grey has one channel, bgr three."""
    contract = Contract.model_validate(SAYS)
    checks = np.indices((80, 80)).sum(axis=0) % 2 * 255
    image = np.repeat(checks[:, :, np.newaxis], 3, axis=2).astype(np.uint8)
    assert set(np.unique(fit(image, contract))) <= {127, 128}
    coloured = contract.model_copy(update={"input": Input(height=8, width=16, colour="bgr")})
    assert fit(image[:3, :3], coloured).shape == (8, 16, 3)


def test_the_shipped_model_is_what_its_card_says() -> None:
    """Digest, size and weights; the licence stands beside it."""
    detector = OnnxDetector(SHIPPED, (CPU,), 1)
    card = SHIPPED.with_suffix(".md").read_text()
    assert detector.info.digest in card
    assert SHIPPED.stat().st_size < 4_000_000
    graph = onnx.load(SHIPPED).graph
    assert (
        sum(int(np.prod(tensor.dims)) for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT)
        < 1_000_000
    )
    assert {"Conv"} <= {node.op_type for node in graph.node}
    assert "CC BY-NC-SA 4.0" in SHIPPED.with_name("LICENSE").read_text()
    proven = detector.contract.validation["defective"]
    assert f"caught {proven.caught} of {proven.of}" in card and f"{proven.lower:.4f}" in card


def test_the_shipped_model_says_where_it_looks() -> None:
    """A heatmap, coarser than the picture."""
    detector = OnnxDetector(SHIPPED, (CPU,), 1)
    found = detector.heatmap(np.zeros((300, 300, 3), np.uint8))
    assert found is not None and found.shape == (14, 14)
    assert 0 <= found.min() <= found.max() <= 1


def test_nobody_is_told_which_model_runs(tmp_path: Path) -> None:
    """onnxruntime's telemetry, which keeps what it is about to send under the home folder, is off."""
    code = f"from pathlib import Path; from service.model.detector import OnnxDetector; OnnxDetector(Path({str(SHIPPED)!r}), ['CPUExecutionProvider'])"
    environment = {name: text for name, text in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
