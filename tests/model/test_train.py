"""From labelled pictures to a model file: what is written, that it says the truth, and that an interruption changes nothing."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from service.errors import InvalidInput
from service.model.contract import golden_pictures
from service.model.curves import heldout
from service.model.data import load
from service.model.detector import CPU, OnnxDetector
from service.model.passport import digest
from tests.model.conftest import COUNTS, run, write_pictures

QUICK = ("--backbone", "scratch", "--size", "32", "--batch", "16", "--epochs", "6")


def test_the_model_says_all_of_itself(trained: Path, six_classes: Path) -> None:
    """Classes, thresholds, what they proved, its curves, its golden scores, and which pictures it has seen."""
    contract = OnnxDetector(trained, (CPU,)).contract
    data = load(str(six_classes))
    assert contract.name == "tiles" and contract.classes == ("good", "crack", "dent", "hole", "scratch", "stain")
    assert contract.input.colour == "grey"
    assert contract.data == data.digest
    assert {name: len(digests) for name, digests in contract.pictures.items()} == {
        "train": 510,
        "validation": 255,
        "test": 255,
    }
    assert sorted(digest for some in contract.pictures.values() for digest in some) == sorted(
        one[:12] for one in data.digests
    )
    assert contract.curves is not None and len(contract.curves.training_loss) == 4
    assert contract.curves.training_loss[-1] < contract.curves.training_loss[0] / 2
    proven = contract.validation["hole"]
    assert 0.9 < proven.caught / proven.of <= 1 and 0 < proven.lower < proven.caught / proven.of
    assert contract.golden is not None and len(contract.golden.scores) == len(golden_pictures(contract))


def test_it_tells_the_six_classes_apart(trained: Path, six_classes: Path) -> None:
    """On pictures that chose nothing, rare classes too: the loss weighs each class the same."""
    judged = heldout(OnnxDetector(trained, (CPU,)), load(str(six_classes)))
    assert len(judged.samples) == sum(COUNTS.values()) // 4
    for name in judged.contract.classes:
        assert (judged.confusion.recall(name).point or 0) > 0.8


def test_card_and_curves_stand_beside_it(trained: Path) -> None:
    """Each figure with its interval; the picture is a picture; the command that made it."""
    card = trained.with_suffix(".md").read_text()
    assert digest(trained.read_bytes()) in card
    assert re.search(r"\| crack \| 20 \| [01]\.\d{3} \[[01]\.\d{3}, [01]\.\d{3}\]", card)
    assert "redrabbit train" in card and "--cut 5" in card
    assert trained.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_smaller_precisions_pass_the_same_gate(
    trained: Path, six_classes: Path, tmp_path: Path, precision: str
) -> None:
    """They are smaller, load like any other, and whoever judges them asks the same of them."""
    out = tmp_path / "small.onnx"
    assert run("export", trained.with_suffix(".pt"), "--out", out, "--precision", precision) == 0
    assert out.stat().st_size < trained.stat().st_size * 0.8
    golden = OnnxDetector(out, (CPU,)).contract.golden
    assert golden is not None and golden.tolerance > 1e-3
    assert run("gate", out, six_classes) == 0


def test_what_was_broken_off_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """kill -9 after the second epoch; the same command again: the same model, byte for byte, as without an interruption."""
    write_pictures(tmp_path / "data", {"good": 40, "hole": 24})
    whole, broken = tmp_path / "whole" / "m.onnx", tmp_path / "broken" / "m.onnx"
    for out in (whole, broken):
        out.parent.mkdir()
    assert run("train", tmp_path / "data", "--out", whole, *QUICK) == 0
    command = [sys.executable, "-m", "service.cli", "train", str(tmp_path / "data"), "--out", str(broken), *QUICK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 2:"):
                process.send_signal(signal.SIGKILL)
                break
    assert not broken.exists() and (broken.parent / "m.pt.unfinished").exists()
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "epoch 1:" not in said and "epoch 6:" in said
    assert broken.read_bytes() == whole.read_bytes()
    assert not (broken.parent / "m.pt.unfinished").exists()


def test_a_training_that_was_killed_after_its_last_epoch_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The export breaks off: the same command again exports what was learned."""
    write_pictures(tmp_path / "data", {"good": 20, "hole": 12})
    words = ("train", tmp_path / "data", "--out", tmp_path / "m.onnx", *QUICK)
    with monkeypatch.context() as patched:
        patched.setattr("service.model.export.export", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(*words)
    assert "epoch 6:" in capsys.readouterr().out
    assert run(*words) == 0
    assert "epoch" not in capsys.readouterr().out and (tmp_path / "m.onnx").exists()


def test_another_training_is_not_taken_up(tmp_path: Path) -> None:
    """Other settings than those of the one that was broken off: one line, and the file stays."""
    write_pictures(tmp_path / "data", {"good": 20, "hole": 12})
    out = tmp_path / "m.onnx"
    assert run("train", tmp_path / "data", "--out", out, *QUICK) == 0
    shutil.copy(tmp_path / "m.pt", tmp_path / "m.pt.unfinished")
    with pytest.raises(InvalidInput, match="a training with other data or settings was broken off there"):
        run("train", tmp_path / "data", "--out", out, *QUICK, "--seed", "2")
    (tmp_path / "m.pt.unfinished").write_bytes(b"rubbish")
    with pytest.raises(InvalidInput, match="no file of `redrabbit train`"):
        run("train", tmp_path / "data", "--out", out, *QUICK)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--recall", "1.5"), "--recall: "),
        (("--cut", "17"), "--cut: "),
        (("--backbone", "scratch", "--frozen"), "a backbone from scratch must learn"),
        (("--size", "4"), "--input-height: "),
        (("--good", "fine"), "no pictures of class 'fine'"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    """Before anything is trained."""
    write_pictures(tmp_path / "data", {"good": 3, "hole": 3})
    with pytest.raises(InvalidInput) as refused:
        run("train", tmp_path / "data", "--out", tmp_path / "m.onnx", *words)
    assert says in str(refused.value)


def test_export_refuses_what_is_no_checkpoint(trained: Path, tmp_path: Path) -> None:
    """A model file, rubbish, a folder that is not there."""
    with pytest.raises(InvalidInput, match="no file of `redrabbit train`"):
        run("export", trained, "--out", tmp_path / "m.onnx")
    with pytest.raises(InvalidInput, match="does not exist"):
        run("export", trained.with_suffix(".pt"), "--out", tmp_path / "missing" / "m.onnx")


def test_a_heatmap_points_at_the_defect(trained: Path, six_classes: Path) -> None:
    """For a hole, the hottest place lies within it, give or take a cell."""
    detector = OnnxDetector(trained, (CPU,))
    hits = 0
    samples = [one for one in load(str(six_classes)).samples if one.label == "hole"][:20]
    for sample in samples:
        found, drawn = detector.heatmap(sample.image()), sample.defect()
        assert found is not None and drawn is not None
        row, column = np.unravel_index(found.argmax(), found.shape)
        centre = np.argwhere(drawn).mean(axis=0) / drawn.shape[0] * found.shape[0]
        hits += float(np.abs(centre - (row + 0.5, column + 0.5)).max()) < 1.6
    assert hits >= 16


def test_no_path_of_the_machine_is_left_in_the_file(trained: Path) -> None:
    """torch notes its own source files in every node."""
    model = onnx.load_model_from_string(trained.read_bytes())
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert b"site-packages" not in trained.read_bytes()
