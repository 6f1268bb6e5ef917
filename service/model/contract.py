"""What a model file says of itself, and the one resize that training and the line share.

The contract is JSON under the metadata key `redrabbit` of the ONNX file. The file is untrusted: everything is checked before it is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import cv2
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import InvalidInput
from service.model import safety, wire
from service.quality.expected import BINS
from service.records import ALL, UNSURE, Image

KEY: Final = "redrabbit"
MAX_BYTES: Final = 512 * 1024 * 1024
GOLDEN: Final = 8

Share = Annotated[float, Field(ge=0, le=1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_Section):
    """uint8 (N, height, width, channels); grey has one channel, bgr three."""

    height: Annotated[int, Field(ge=8, le=4096)]
    width: Annotated[int, Field(ge=8, le=4096)]
    colour: Literal["grey", "bgr"]

    @property
    def channels(self) -> int:
        return 1 if self.colour == "grey" else 3


class Proven(_Section):
    """Recall on pictures that chose no weight: caught of so many, and the lower limit at 95 % (two-sided)."""

    caught: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1)]
    lower: Share


class Curves(_Section):
    """What training looked like, one figure an epoch; losses are mean cross entropy, accuracies ratios. kept: the epoch (from 0)
    whose weights the model has."""

    kept: Annotated[int, Field(ge=0)]
    training_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    training_accuracy: tuple[Share, ...]
    validation_accuracy: tuple[Share, ...]

    @model_validator(mode="after")
    def _fits(self) -> Curves:
        lengths = {len(getattr(self, name)) for name in type(self).model_fields if name != "kept"}
        if len(lengths) != 1 or self.kept >= max(lengths):
            raise ValueError("curves: expected one figure an epoch in each, and the kept epoch among them")
        return self


class Golden(_Section):
    """scores: of the golden pictures (`golden_pictures`), one row each, as the network gave them where it was trained."""

    scores: tuple[tuple[Share, ...], ...]
    tolerance: Annotated[float, Field(gt=0, le=0.5)]


class Contract(_Section):
    """classes in the order of the scores. thresholds: a part is flagged where score >= threshold, per defect class.

    guesses: miss probability per score band of the audit draw. scores: validation pictures of each class, counted per bin of
    P(defective), which is 1 - the score of the good class (quality.expected.bin_of). data: digest of all labelled pictures; pictures: the first
    12 hex digits of the SHA-256 of each picture's file, by the part of the split it was in. What the release gate said stands in
    the file's passport, not here.
    """

    version: Literal[1] = 1
    name: ClassName
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=100)]
    good: ClassName
    input: Input
    thresholds: dict[str, Annotated[float, Field(gt=0, le=1)]]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    data: str = ""
    validation: dict[str, Proven] = Field(default_factory=dict)
    guesses: tuple[Share, Share, Share, Share, Share] | None = None
    scores: dict[str, Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=BINS, max_length=BINS)]] = Field(
        default_factory=dict
    )
    pictures: dict[Literal["train", "validation", "test"], tuple[Digest, ...]] = Field(default_factory=dict)
    curves: Curves | None = None
    golden: Golden | None = None

    @model_validator(mode="after")
    def _fits(self) -> Contract:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: one stands there twice")
        if reserved := {ALL, UNSURE} & set(self.classes):
            raise ValueError(f"classes: {min(reserved)!r} has a meaning of its own")
        if self.good not in self.classes:
            raise ValueError(f"good: {self.good!r} is none of the classes")
        if set(self.thresholds) != set(self.classes) - {self.good}:
            raise ValueError("thresholds: expected one for each class but the good one")
        if self.scores and set(self.scores) != set(self.classes):
            raise ValueError("scores: expected counts for each class")
        return self


def fit(image: Image, contract: Contract) -> NDArray[np.uint8]:
    """image: uint8 BGR (H, W, 3). Returns uint8 (height, width, channels) as the graph wants it."""
    wanted = contract.input
    if wanted.colour == "grey":
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    shrinks = image.shape[0] >= wanted.height and image.shape[1] >= wanted.width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (wanted.width, wanted.height), interpolation=how)
    return np.asarray(resized, dtype=np.uint8).reshape(wanted.height, wanted.width, wanted.channels)


def golden_pictures(contract: Contract) -> NDArray[np.uint8]:
    """uint8 (GOLDEN, height, width, channels): the same on every machine, to compare a model with itself elsewhere.

    Waves of many lengths and noise, larger than the model's input, so that `fit` is part of the comparison.
    """
    wanted = contract.input
    height, width = wanted.height * 3 // 2, wanted.width * 3 // 2
    down, right = np.mgrid[0:height, 0:width]
    images = []
    for number in range(GOLDEN):
        dice = np.random.Generator(np.random.PCG64(number))
        waves = [
            np.sin(down * dice.uniform(0, 0.5) + right * dice.uniform(0, 0.5) + dice.uniform(0, 6)) for _ in range(3)
        ]
        values = 128 + 32 * np.stack(waves, axis=2) * dice.uniform(0.2, 2) + dice.normal(0, 8, (height, width, 1))
        images.append(fit(values.round().clip(0, 255).astype(np.uint8), contract))
    return np.stack(images)


def stated(model: onnx.ModelProto, contract: Contract) -> bytes:
    """The file's bytes, the contract as all of its metadata."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: contract.model_dump_json()})
    content: bytes = model.SerializeToString()
    return content


def read(path: Path) -> tuple[Contract, bytes]:
    """The contract of an ONNX file and the file's bytes. Raises InvalidInput, one line that names the file."""
    model, content = load(path)
    said = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in said:
        raise InvalidInput(
            f"{path}: says nothing of itself; expected metadata {KEY!r}, as `redrabbit export` and `redrabbit adopt` write it"
        )
    try:
        contract = Contract.model_validate_json(said[KEY])
    except ValidationError as error:
        raise InvalidInput(f"{path}: metadata {KEY}: {first(error)}") from error
    return contract, content


def load(path: Path) -> tuple[onnx.ModelProto, bytes]:
    """An ONNX file whose graph may run (model.safety), whoever made it, and its bytes. Raises InvalidInput."""
    content = read_bytes(path)
    try:
        wire.check(content)
        model = onnx.load_model_from_string(content)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
    except (DecodeError, ValueError) as error:
        raise InvalidInput(f"{path}: {len(content)} bytes that are no ONNX model") from error
    if not model.graph.node:
        raise InvalidInput(f"{path}: {len(content)} bytes that are no ONNX model: no graph in it")
    safety.check(model, path)
    return model, content


def first(error: ValidationError) -> str:
    """The first thing that does not fit: where, and why."""
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    said = " ".join(str(found["msg"]).removeprefix("Value error, ").split())[:300]
    return f"{ascii(where)[1:-1][:120]}: {said}" if where else said


def read_bytes(path: Path) -> bytes:
    """Raises InvalidInput for what is no file, empty, or larger than MAX_BYTES."""
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise InvalidInput(f"{path}: {size} bytes; expected an ONNX model of at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: the model cannot be read: {error.strerror}") from error
