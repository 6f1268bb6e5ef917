"""The training loop: epochs over varied pictures, stopped when validation gets no better, taken up again where it was broken off.

What an epoch does depends on the recipe, the data and its number alone, so that an interruption changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, inf, pi
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from service.errors import InvalidInput
from service.model.augment import Fitted, spoilt, varied
from service.model.network import Head, Small, Trunk, normalised
from service.model.recipe import PRETRAINED, Recipe

COPIES = 6
"""Of each picture, once and for all, where the backbone is frozen; every third one spoilt, where spoilt ones are wanted."""
LARGEST_WEIGHT = 20.0
SLOWER = 0.3
"""Learning rate of a pretrained backbone, as a share of the head's."""
HEAD_FIRST = 5
"""Epochs in which the head learns alone: what a head that still guesses sends back would spoil a pretrained backbone (A. Kumar et al.,
"Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022)."""
REMEMBERS = 0.998
"""Of the weights so far, at each step: what is kept is their running mean, which does not jump about as the steps do."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """images: uint8 (h, w, channels) each. targets: P(class), (N, classes). labels: index of the class."""

    images: Sequence[Fitted]
    targets: Tensor
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Blend:
    """How the rows of a batch are mixed: each with its partner, of which it keeps `share`."""

    share: float
    partner: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        return rows if self.share == 1 else rows * self.share + rows[self.partner] * (1 - self.share)


@dataclass(slots=True)
class History:
    """One figure an epoch. recalls: of each class, on validation."""

    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    training_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    recalls: list[list[float]] = field(default_factory=list)


class Progress(Protocol):
    """Somebody who watches."""

    def features(self, done: int, total: int) -> None: ...

    def batch(self, epoch: int, share: float) -> None: ...

    def epoch(self, number: int, history: History) -> None: ...


def class_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """So that each class weighs the same in the loss, however few pictures it has; at most LARGEST_WEIGHT, mean 1."""
    counts = np.bincount(labels, minlength=classes)
    weights = np.minimum(counts.max() / np.maximum(counts, 1), LARGEST_WEIGHT)
    return torch.tensor(weights / (weights * counts).sum() * counts.sum(), dtype=torch.float32)


class Course:
    """One training. trunk and head are changed in place and hold the best epoch at the end."""

    def __init__(
        self,
        recipe: Recipe,
        trunk: Trunk | Small,
        head: Head,
        training: Pictures,
        validation: Pictures,
        progress: Progress,
        device: torch.device,
    ) -> None:
        self.history = History()
        self._recipe, self._progress, self._device = recipe, progress, device
        self._trunk, self._head = trunk.to(device), head.to(device)
        self._training, self._validation = training, validation
        self._pretrained = recipe.backbone == PRETRAINED
        self._weights = class_weights(training.labels, training.targets.shape[1]).to(device)
        self._learning = nn.ModuleDict({"head": head, "trunk": trunk} if recipe.fine_tune else {"head": head})
        rates = {"head": recipe.rate, "trunk": recipe.rate * (SLOWER if self._pretrained else 1.0)}
        self._optimiser = torch.optim.AdamW(
            [{"params": part.parameters(), "lr": rates[name]} for name, part in self._learning.items()],
            weight_decay=5e-2,
        )
        self._rates = [rates[name] for name in self._learning]
        self._mean = AveragedModel(self._learning, avg_fn=_running_mean, use_buffers=True)
        self._best_loss, self._best, self._waited = inf, self._state(), 0
        self._features: Tensor | None = None

    def run(self, unfinished: Path, identity: str) -> None:
        """Trains to the end. unfinished: where the state is kept after each epoch. identity: of recipe and data."""
        self._take_up(unfinished, identity)
        if not (self._recipe.fine_tune or self._over):
            self._features = self._look_once()
        while not self._over:
            number = len(self.history.training_loss)
            self._epoch(number)
            self._keep(unfinished, identity)
            self._progress.epoch(number, self.history)
        for weights in (self._learning, self._mean.module):
            weights.load_state_dict(self._best)
        self._learning.eval()

    @property
    def _over(self) -> bool:
        return len(self.history.training_loss) >= self._recipe.epochs or self._waited >= self._recipe.patience

    def logits(self, pictures: Pictures) -> Tensor:
        """(N, classes), of pictures as they are, by the mean of the weights."""
        trunk, head = (self._mean.module[name] if name in self._learning else self._trunk for name in ("trunk", "head"))
        trunk.eval()
        head.eval()
        found = []
        with torch.inference_mode():
            for first in range(0, len(pictures.images), 64):
                batch = torch.from_numpy(np.stack(pictures.images[first : first + 64]))
                found.append(head(self._seen(trunk, batch)).cpu())
        return torch.cat(found).clone()

    def _seen(self, trunk: nn.Module, images: Tensor) -> Tensor:
        seen: Tensor = trunk(self._pixels(images))
        return seen

    def _pixels(self, images: Tensor) -> Tensor:
        return normalised(images.to(self._device)).contiguous(memory_format=torch.channels_last)

    def _look_once(self) -> Tensor:
        """The frozen trunk's maps of COPIES variations of each training picture, half precision."""
        maps, count = [], len(self._training.images)
        self._trunk.eval()
        with torch.inference_mode():
            for copy in range(COPIES):
                for first in range(0, count, 64):
                    batch = self._varied(copy, range(first, min(first + 64, count)))
                    maps.append(self._seen(self._trunk, batch).half().contiguous())
                    self._progress.features(copy * count + first, COPIES * count)
        return torch.cat(maps).clone()

    def _varied(self, copy: int, chosen: Sequence[int]) -> Tensor:
        images = []
        for index in chosen:
            change = spoilt if self._spoils(copy, index) else varied
            dice = np.random.default_rng((self._recipe.seed, copy, index))
            images.append(change(self._training.images[index], self._recipe.mirror, dice))
        return torch.from_numpy(np.stack(images))

    def _spoils(self, copy: int, index: int) -> bool:
        """A third of each batch, and each picture in every third copy."""
        return self._recipe.failing_camera is not None and (copy + index) % 3 == 2

    def _epoch(self, number: int) -> None:
        torch.manual_seed(self._recipe.seed * 100_003 + number)
        share = (1 + cos(pi * number / self._recipe.epochs)) / 2
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self._learning.train()
        if self._pretrained:
            self._trunk.eval()  # it keeps the statistics of the many pictures that it has seen
        self._trunk.requires_grad_(not self._pretrained or number >= HEAD_FIRST)
        copies = [number] if self._features is None else list(range(COPIES))
        count = len(self._training.images)
        order = torch.randperm(count * len(copies))
        batches = [chosen for chosen in order.split(self._recipe.batch) if len(chosen) > 1]
        loss_sum, right = 0.0, 0
        for done, chosen in enumerate(batches):
            indices = chosen % count
            spoils = torch.tensor([self._spoils(copies[at // count], at % count) for at in chosen.tolist()])
            blend = self._blend(len(chosen))
            logits = self._head(self._batch(copies, chosen, blend))
            targets = blend(self._training.targets[indices].to(self._device))
            loss = self._loss(logits, targets, blend(self._shares(indices, spoils)))
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            self._mean.update_parameters(self._learning)
            loss_sum += float(loss.detach()) * len(chosen)
            right += int((logits.argmax(1) == targets.argmax(1)).sum())
            self._progress.batch(number, (done + 1) / len(batches))
        self._look_back(loss_sum / len(order), right / len(order))

    def _batch(self, copies: Sequence[int], chosen: Tensor, blend: Blend) -> Tensor:
        """What the head sees of these. Of a frozen backbone its maps are blended, else the pictures."""
        if self._features is not None:
            return blend(self._features[chosen].float().to(self._device))
        seen: Tensor = self._trunk(blend(self._pixels(self._varied(copies[0], chosen.tolist()))))
        return seen

    def _blend(self, count: int) -> Blend:
        if not self._recipe.mixup:
            return Blend(1.0, torch.arange(count))
        share = torch.distributions.Beta(self._recipe.mixup, self._recipe.mixup).sample()
        return Blend(float(share), torch.randperm(count))

    def _shares(self, indices: Tensor, spoils: Tensor) -> Tensor:
        """Weight of each picture in the loss. Spoilt ones count as on a line, where few parts are bad: a model that took every
        blurred part for a defect would stop the line."""
        wished, good = self._recipe.failing_camera or 0.5, self._training.targets[:, 0]
        line = (1 - wished) * good / good.mean() + wished * (1 - good) / (1 - good).mean()
        return torch.where(spoils, line[indices], torch.ones(len(indices))).to(self._device)

    def _loss(self, logits: Tensor, targets: Tensor, shares: Tensor | None = None) -> Tensor:
        each = nn.functional.cross_entropy(logits, targets, weight=self._weights, reduction="none")
        return each.mean() if shares is None else (each * shares).mean()

    def _look_back(self, loss: float, accuracy: float) -> None:
        """Measures the epoch on validation and keeps it if it is the best."""
        logits, wanted = self.logits(self._validation), torch.from_numpy(self._validation.labels)
        now = float(self._loss(logits.to(self._device), self._validation.targets.to(self._device)))
        right = logits.argmax(1) == wanted
        self.history.training_loss.append(loss)
        self.history.training_accuracy.append(accuracy)
        self.history.validation_loss.append(now)
        self.history.validation_accuracy.append(float(right.float().mean()))
        classes = range(logits.shape[1])
        self.history.recalls.append([float(right[wanted == one].float().mean()) for one in classes])
        self._waited = 0 if now < self._best_loss else self._waited + 1
        if now < self._best_loss:
            self._best_loss, self._best = now, self._state()

    def _state(self) -> dict[str, Tensor]:
        return {key: value.detach().clone() for key, value in self._mean.module.state_dict().items()}

    def _keep(self, unfinished: Path, identity: str) -> None:
        state = {
            "identity": identity,
            "learning": self._learning.state_dict(),
            "mean": self._mean.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best": self._best,
            "best_loss": self._best_loss,
            "waited": self._waited,
            "history": {name: getattr(self.history, name) for name in History.__slots__},
        }
        written = unfinished.with_name(f"{unfinished.name}.new")
        torch.save(state, written)
        written.replace(unfinished)

    def _take_up(self, unfinished: Path, identity: str) -> None:
        if not unfinished.exists():
            return
        state = load_state(unfinished)
        if state.get("identity") != identity:
            raise InvalidInput(
                f"{unfinished}: a training with other data or settings was broken off there; finish it as it was begun, "
                "or remove the file"
            )
        self._learning.load_state_dict(state["learning"])
        self._mean.load_state_dict(state["mean"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._best, self._best_loss, self._waited = state["best"], state["best_loss"], state["waited"]
        self.history = History(**state["history"])


def _running_mean(mean: Tensor, now: Tensor, steps: Tensor | int) -> Tensor:
    """Of many steps those of the last 1 / (1 - REMEMBERS) or so, of few nearly all."""
    keeps = min(REMEMBERS, (1 + int(steps)) / (10 + int(steps)))
    return mean * keeps + now * (1 - keeps)


def load_state(file: Path) -> dict[str, Any]:
    """What torch.save wrote, tensors and plain values only. Raises InvalidInput."""
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling rubbish raises almost anything
        raise InvalidInput(f"{file}: no file of `redrabbit train`: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(state, dict):
        raise InvalidInput(f"{file}: no file of `redrabbit train`")
    return state
