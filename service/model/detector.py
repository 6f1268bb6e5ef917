"""Runs a model file with onnxruntime. What was asked for is what runs: a provider that is not there is an error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from service.errors import InvalidInput
from service.model.contract import Contract, fit, read
from service.model.passport import digest, refusal
from service.ports import DetectorInfo
from service.records import Image

CPU = "CPUExecutionProvider"
RUN_ERRORS = (native.Fail, native.InvalidArgument, native.NotImplemented, native.RuntimeException)
"""What a session raises while it runs: they have no common base."""


class OnnxDetector:
    """Fulfils ports.Detector. Loaded, checked against its contract and warm once it is made. Raises InvalidInput.

    providers: as onnxruntime names them, in order of preference. threads: of one inference; None leaves it to onnxruntime.
    """

    def __init__(self, path: Path, providers: Sequence[str], threads: int | None = None) -> None:
        self.contract, content = read(path)
        self._session = open_session(path, content, providers, threads)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        _check(path, self.contract, self._session)
        self.info = _info(self.contract, digest(content), self._session.get_providers()[0], refusal(content) is None)
        self._warm_up(path)

    def fit(self, image: Image) -> NDArray[np.uint8]:
        """image: uint8 BGR (H, W, 3). Returns uint8 (h, w, c). Thread-safe."""
        return fit(image, self.contract)

    def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """batch: uint8 (N, h, w, c). Returns float32 (N, classes) in [0, 1]."""
        (scores,) = self._session.run(["scores"], {self._input: batch})
        return np.asarray(scores, dtype=np.float32)

    def heatmap(self, image: Image) -> NDArray[np.float32] | None:
        """Where the model looks: float32 (h, w) in [0, 1], coarser than the image; None where the network has none."""
        if "heatmap" not in self._outputs:
            return None
        (maps,) = self._session.run(["heatmap"], {self._input: self.fit(image)[np.newaxis]})
        return np.asarray(maps[0], dtype=np.float32)

    def _warm_up(self, path: Path) -> None:
        """The first run plans memory and, on a GPU, compiles: better now than on the first part. It also shows rubbish."""
        wanted = self.contract.input
        try:
            scores = self.judge(np.zeros((2, wanted.height, wanted.width, wanted.channels), np.uint8))
        except RUN_ERRORS as error:
            raise InvalidInput(f"{path}: cannot judge a batch of 2 black pictures: {short(error)}") from error
        if scores.shape != (2, len(self.contract.classes)) or not ((scores >= 0) & (scores <= 1)).all():
            raise InvalidInput(f"{path}: scores of shape {scores.shape}; expected (N, classes), each in [0, 1]")


def overlaid(image: Image, heatmap: NDArray[np.float32]) -> Image:
    """image: uint8 BGR (H, W, 3); heatmap: float32 (h, w) in [0, 1]. Returns the image under the heatmap's colours."""
    height, width = image.shape[:2]
    fine = cv2.resize((heatmap * 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    coloured = cv2.applyColorMap(fine, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.addWeighted(image, 0.55, coloured, 0.45, 0), np.uint8)


def open_session(path: Path, content: bytes, providers: Sequence[str], threads: int | None) -> Any:
    """An onnxruntime session of the bytes that were read from `path`. Raises InvalidInput."""
    there = ort.get_available_providers()
    missing = [provider for provider in providers if provider not in there]
    if missing:
        raise InvalidInput(f"provider {missing[0]} is not in this onnxruntime; expected one of {', '.join(there)}")
    if any(name.startswith(("CUDA", "Tensorrt")) for name in providers):
        with redirect_stdout(
            StringIO()
        ):  # NVIDIA's libraries as pip installs them; what it misses, the session says below
            ort.preload_dlls()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # its errors come as exceptions; on stderr they would stand twice
    # Its threads would wait for the next batch at full speed: a calm line would take a core, and lines that share a machine each other's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    if CPU not in providers:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = ort.InferenceSession(content, options, providers=list(providers), enable_fallback=0)
    except Exception as error:  # onnxruntime exports no common base of its errors
        raise InvalidInput(f"{path}: cannot be run on {', '.join(providers)}: {short(error)}") from error
    if session.get_providers()[0] != providers[0]:  # it falls back without a word
        raise InvalidInput(
            f"provider {providers[0]} cannot be used here; onnxruntime fell back to {session.get_providers()[0]}"
        )
    return session


def short(error: Exception) -> str:
    """One line of an onnxruntime error, which can be many."""
    return " ".join(str(error).split())[:200]


def _check(path: Path, contract: Contract, session: Any) -> None:
    """The graph must be what the contract says."""
    inputs, outputs = session.get_inputs(), {output.name: output for output in session.get_outputs()}
    wanted = [contract.input.height, contract.input.width, contract.input.channels]
    if len(inputs) != 1 or inputs[0].type != "tensor(uint8)" or inputs[0].shape[1:] != wanted:
        found = ", ".join(f"{one.type} {one.shape}" for one in inputs)
        raise InvalidInput(f"{path}: input {found}; expected one of uint8 (N, {', '.join(map(str, wanted))})")
    if isinstance(inputs[0].shape[0], int):
        raise InvalidInput(f"{path}: takes batches of {inputs[0].shape[0]} only; expected a batch of any size")
    if "scores" not in outputs or outputs["scores"].type != "tensor(float)":
        raise InvalidInput(f"{path}: outputs {', '.join(outputs)}; expected `scores`, float32 (N, classes)")


def _info(contract: Contract, digest: str, provider: str, gated: bool) -> DetectorInfo:
    return DetectorInfo(
        name=contract.name,
        digest=digest,
        classes=contract.classes,
        good=contract.good,
        decision_thresholds=contract.thresholds,
        provider=provider,
        guesses=contract.guesses,
        scores=contract.scores,
        gated=gated,
    )
