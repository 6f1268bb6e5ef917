"""`redrabbit export`: a checkpoint becomes one ONNX file that says all of itself, and a model card beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInput
from service.images import decode
from service.model import data as elpv
from service.model.contract import KEY, Contract, fit
from service.model.detector import CPU, OnnxDetector
from service.model.train import DEFECTIVE, WISHED_RECALL, restore
from service.quality.confusion import Confusion
from service.records import Estimate

try:
    import onnx
    import torch
    from sklearn.metrics import roc_auc_score

    from service.model.network import CLASSES, Head, Model, Trunk
except ImportError as error:
    raise InvalidInput(f"export needs {error.name}; expected `pip install 'redrabbit[train]'`") from error

MAX_DIFFERENCE = 1e-3
PARITY_PICTURES = 64

Say = Callable[[str], None]


def export(checkpoint: Path, out: Path, say: Say) -> None:
    """Writes `out` and a card, `out` with the suffix .md, or neither. Raises InvalidInput."""
    if not out.parent.is_dir():
        raise InvalidInput(f"{out}: the folder {out.parent} does not exist")
    state = restore(checkpoint)
    contract = Contract.model_validate_json(state["contract"])
    trunk, head = Trunk(), Head()
    trunk.load_state_dict(state["trunk"])
    head.load_state_dict(state["head"])
    model = Model(trunk, head, contract.temperature).eval()
    content = _graph(model, contract)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        unfinished = Path(folder) / out.name
        unfinished.write_bytes(content)
        detector = OnnxDetector(unfinished, (CPU,))
        held = elpv.heldout(certain_only=False)
        say(f"largest difference of a score to torch: {_difference(model, detector, held):.1e}")
        card = _card(
            out.name, contract, detector, state["validation"].numpy(), sum(p.numel() for p in model.parameters())
        )
        (Path(folder) / "card.md").write_text(card, encoding="utf-8")
        unfinished.replace(out)
        (Path(folder) / "card.md").replace(out.with_suffix(".md"))
    say(f"wrote {out}, {len(content) / 1e6:.2f} MB, and {out.with_suffix('.md')}")


def _graph(model: Model, contract: Contract) -> bytes:
    """The ONNX file: one input `images`, a batch of any size, weights inside, the contract as metadata."""
    wanted = contract.input
    example = torch.zeros((2, wanted.height, wanted.width, wanted.channels), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (example,),
            file,
            input_names=["images"],
            output_names=["scores", "heatmap"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=4096)}},
            external_data=False,
            verbose=False,
        )
        graph = onnx.load(file)
    del graph.metadata_props[:]
    for node in graph.graph.node:  # torch notes the paths of its own source files there
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.helper.set_model_props(graph, {KEY: contract.model_dump_json()})
    content: bytes = graph.SerializeToString()
    return content


def _difference(model: Model, detector: OnnxDetector, cells: Sequence[elpv.Cell]) -> float:
    """Largest difference of a score between torch and onnxruntime. Raises InvalidInput where a verdict would differ."""
    batch = np.stack([detector.fit(decode(cell.read())) for cell in cells[:PARITY_PICTURES]])
    ours = detector.judge(batch)
    with torch.inference_mode():
        theirs = model(torch.from_numpy(batch))[0].numpy()
    difference = float(np.abs(ours - theirs).max())
    if difference > MAX_DIFFERENCE:
        raise InvalidInput(
            f"onnxruntime and torch differ by {difference:.2g} in a score; expected at most {MAX_DIFFERENCE}"
        )
    return difference


def _scores(detector: OnnxDetector, cells: Sequence[elpv.Cell]) -> NDArray[np.float32]:
    fitted = [fit(decode(cell.read()), detector.contract) for cell in cells]
    column = detector.info.classes.index(DEFECTIVE)
    chunks = [detector.judge(np.stack(fitted[first : first + 32]))[:, column] for first in range(0, len(fitted), 32)]
    return np.concatenate(chunks)


def _card(name: str, contract: Contract, detector: OnnxDetector, validation: NDArray[np.float32], weights: int) -> str:
    parts = elpv.split()
    figures = {"validation": validation, "heldout": _scores(detector, parts["heldout"])}
    threshold = contract.thresholds[DEFECTIVE]
    rows = [
        line
        for part, scores in figures.items()
        for certain in (True, False)
        for line in _rows(part, certain, parts[part], scores, threshold)
    ]
    matrix = _confusion(True, parts["heldout"], figures["heldout"], threshold)
    proven = contract.validation[DEFECTIVE]
    split = ", ".join(f"{len(cells)} {part}" for part, cells in parts.items())
    return f"""# {contract.name}

Says of an electroluminescence picture of a solar cell whether it is `good` or `defective`. For trying out redrabbit, not for a factory.

* **File** `{name}`, SHA-256 `{detector.info.digest}`, {weights:,} weights.
* **Network** EfficientNet-Lite0 pretrained on ImageNet (Apache-2.0), frozen and cut after its eighth block; a head of one 3 x 3
  convolution to 64 channels, mean and maximum over the picture, one linear layer. The heatmap is the class activation of that layer.
* **Input** uint8 (N, {contract.input.height}, {contract.input.width}, {contract.input.channels}), {contract.input.colour}; **outputs** `scores` (N, 2) and `heatmap` (N, 14, 14).
* **Data** ELPV, {len(elpv.cells())} cells (CC BY-NC-SA 4.0): {split}. Runs of {elpv.RUN} neighbouring cells stay together, as cells of one
  module are alike. Training and validation data have the digest `{contract.data}`.
* **Training** mirrored and in varying light; and as a camera out of focus, too dark or moved would show the cells, weighted to a line where
  one part in 200 is bad. So a failing camera makes this model pass defects rather than stop the line: what redrabbit has to find out.
* **Decision threshold** {threshold:g} on the score of `defective`, after calibration by temperature {contract.temperature:.3f}: chosen on the
  validation cells on which the labellers agreed, to catch {WISHED_RECALL:.0%} of their defects.
* **Proven** on those cells: recall {proven.caught}/{proven.of}, at least {proven.lower:.4f} (95 %, two-sided Clopper-Pearson). The demo pages below that.

*Certain* are cells whose defect probability is 0 or 1 in the data set; *all* counts 1/3 as good and 2/3 as defective.

| part | cells | class | precision | recall | ROC-AUC |
|---|---|---|---|---|---|
{chr(10).join(rows)}

The held-out cells whose label is certain, in counts:

{matrix.table()}

Each figure with its 95 % Clopper-Pearson interval. They hold for the data set's share of defects; on a line with fewer the
precision is lower. The threshold was chosen on the validation cells, so
their recall is no news. The held-out cells chose no weight and no threshold; but the split, the wished recall and the pictures of a
failing camera were settled by people who had seen figures on them, so those are a little too good. Training saw the kinds of faults
that the demo plays: the demo shows how a fall of recall is found, not how cameras fail.

Made again by

```sh
pip install 'redrabbit[train,demo]'
redrabbit train elpv --out el-cells.pt --seed 1
redrabbit export el-cells.pt --out {name}
```

Licence: CC BY-NC-SA 4.0, as its data; see LICENSE beside it.
"""


def _confusion(certain: bool, cells: Sequence[elpv.Cell], scores: NDArray[np.float32], threshold: float) -> Confusion:
    chosen = [(score, cell) for score, cell in zip(scores, cells, strict=True) if cell.certain or not certain]
    return Confusion.of(
        CLASSES,
        [CLASSES[cell.defective] for _, cell in chosen],
        [CLASSES[int(score >= threshold)] for score, _ in chosen],
    )


def _rows(
    part: str, certain: bool, cells: Sequence[elpv.Cell], scores: NDArray[np.float32], threshold: float
) -> list[str]:
    matrix = _confusion(certain, cells, scores, threshold)
    chosen = [(cell.defective, score) for score, cell in zip(scores, cells, strict=True) if cell.certain or not certain]
    area = roc_auc_score(*zip(*chosen, strict=True))
    name = f"{part}, {'certain' if certain else 'all'}"
    return [
        f"| {name} | {len(chosen)} | {label} | {_text(matrix.precision(label))} | {_text(matrix.recall(label))} | {area:.3f} |"
        for label in reversed(CLASSES)
    ]


def _text(share: Estimate) -> str:
    return f"{share.point:.3f} [{share.lower:.3f}, {share.upper:.3f}]"
