"""How a model is trained: everything that the result depends on beside the data."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.model.augment import Mirror
from service.model.contract import ClassName, Contract, Input

PRETRAINED: Final = "efficientnet-lite0"
SCRATCH: Final = "scratch"


class Recipe(BaseModel):
    """backbone: pretrained, or from scratch. cut: blocks of the pretrained one that are kept; fewer are quicker and see
    finer detail. fine_tune: whether the backbone learns too. recall: share of the validation set's defects that the decision
    thresholds are to catch. failing_camera: share of bad parts on the line that pictures of a failing camera (out of focus, dark,
    moved) are weighted to; None: there are no such pictures in training. mixup: pictures are blended in pairs, and their labels with
    them, by shares from Beta(mixup, mixup) (H. Zhang et al., "mixup", ICLR 2018); 0: they are not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassName
    backbone: Literal["efficientnet-lite0", "scratch"] = PRETRAINED
    cut: Annotated[int, Field(ge=1, le=16)] = 8
    fine_tune: bool = False
    input: Input
    mirror: Mirror = "both"
    recall: Annotated[float, Field(gt=0, lt=1)] = 0.9
    failing_camera: Annotated[float, Field(gt=0, lt=1)] | None = None
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.0
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 60
    patience: Annotated[int, Field(ge=1)] = 12
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.backbone == SCRATCH and not self.fine_tune:
            raise ValueError("fine_tune: a backbone from scratch must learn")
        return self

    def unproven(self, classes: tuple[str, ...]) -> Contract:
        """What is known of the model before it is trained. classes: the good one first."""
        return Contract(
            name=self.name,
            classes=classes,
            good=classes[0],
            input=self.input,
            thresholds=dict.fromkeys(classes[1:], 0.5),
        )
