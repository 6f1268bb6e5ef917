"""`redrabbit export`: a checkpoint becomes one ONNX file that says all of itself, in single, half or 8-bit precision."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInput
from service.model.contract import Contract, Golden, golden_pictures, stated
from service.model.detector import CPU, OnnxDetector
from service.model.recipe import Recipe
from service.model.train import restore, trunk_of

try:
    import onnx
    import torch

    from service.model.network import Head, Model
except ImportError as error:
    raise InvalidInput(f"export needs {error.name}; expected `pip install 'redrabbit[train]'`") from error

Precision = Literal["float32", "float16", "int8"]
TOLERANCES: Final[dict[Precision, float]] = {"float32": 1e-3, "float16": 0.02, "int8": 0.4}
"""Largest difference of a score to the trained network: rounding, and what each precision costs."""

Say = Callable[[str], None]


def export(checkpoint: Path, out: Path, precision: Precision, say: Say) -> None:
    """Writes `out`, or nothing. Raises InvalidInput, also where a score differs too much from the trained network's."""
    if not out.parent.is_dir():
        raise InvalidInput(f"{out}: the folder {out.parent} does not exist")
    state = restore(checkpoint)
    recipe, contract = Recipe.model_validate_json(state["recipe"]), Contract.model_validate_json(state["contract"])
    trunk = trunk_of(recipe)
    head = Head(trunk.channels, len(contract.classes))
    trunk.load_state_dict(state["trunk"])
    head.load_state_dict(state["head"])
    model = Model(trunk, head, contract.temperature, state["bias"]).eval()
    pictures = golden_pictures(contract)
    with torch.inference_mode():
        truth = model(torch.from_numpy(pictures))[0].numpy()
    golden = Golden(scores=tuple(map(tuple, truth.astype(float).clip(0, 1).tolist())), tolerance=TOLERANCES[precision])
    contract = contract.model_copy(update={"golden": golden})
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        unfinished = Path(folder) / out.name
        _graph(model, contract, unfinished)
        if precision == "float16":
            _halve(unfinished)
        elif precision == "int8":
            _quantise(unfinished, state["pictures"].numpy())
        _finish(unfinished, contract)
        difference = float(np.abs(OnnxDetector(unfinished, (CPU,)).judge(pictures) - truth).max())
        if difference > golden.tolerance:
            raise InvalidInput(
                f"{out}: in {precision} a score differs by {difference:.2g} from the trained network's; "
                f"expected at most {golden.tolerance}"
            )
        size = unfinished.stat().st_size
        unfinished.replace(out)
    say(f"wrote {out}, {precision}, {size / 1e6:.2f} MB; largest difference of a score to the network {difference:.1e}")


def _graph(model: Model, contract: Contract, file: Path) -> None:
    """One input `images`, a batch of any size, weights inside."""
    for noisy in ("torch.onnx", "torch.onnx._internal.exporter._registration"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # warns of packages that are not needed here
    wanted = contract.input
    example = torch.zeros((2, wanted.height, wanted.width, wanted.channels), dtype=torch.uint8)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
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


def _halve(file: Path) -> None:
    """float16 inside; inputs and outputs stay as they are."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(file), keep_io_types=True), file)


def _quantise(file: Path, pictures: NDArray[np.uint8]) -> None:
    """8-bit weights and activations, their ranges taken from training pictures, uint8 (N, h, w, channels)."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(range(0, len(pictures), 16))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            first = next(self._left, None)
            return None if first is None else {"images": pictures[first : first + 16]}

    prepared = file.with_name("prepared.onnx")
    quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(file),
        Pictures(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv"],
    )


def _finish(file: Path, contract: Contract) -> None:
    """The contract as metadata; without the paths of source files that torch notes."""
    graph = onnx.load(file)
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    file.write_bytes(stated(graph, contract))
