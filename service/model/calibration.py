"""Scores that mean what they say, thresholds that catch what was wished for, and how far both can be relied on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax

Floats = NDArray[np.float64]

RELIABILITY_BINS = 10


@dataclass(frozen=True, slots=True)
class Calibration:
    """scores = softmax(logits / temperature + bias). bias: one per class."""

    temperature: float
    bias: tuple[float, ...]

    def scores(self, logits: Floats) -> Floats:
        """logits: (N, classes). Returns (N, classes), rows sum to 1."""
        return np.asarray(softmax(logits / self.temperature + np.array(self.bias), axis=1))


def calibrate(logits: Floats, targets: Floats) -> Calibration:
    """Temperature and biases that make validation pictures most likely: bias-corrected temperature scaling.

    logits, targets: (N, classes), rows of targets sum to 1. The biases undo what weighing rare classes up in the loss did to
    the scores (A. Alexandari, A. Kundaje, A. Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration", ICML 2020).
    A small pull towards 1 and 0 keeps them finite where a class was told apart without fail.
    """
    classes = logits.shape[1]

    def loss(free: Floats) -> float:
        shifted = log_softmax(logits * np.exp(-free[0]) + free[1:], axis=1)
        return float(-(targets * shifted).sum(axis=1).mean() + 1e-3 * (free**2).sum())

    free = minimize(loss, np.zeros(1 + classes), method="L-BFGS-B", bounds=[(-3, 3)] + [(-8, 8)] * classes).x
    return Calibration(float(np.exp(free[0])), tuple(float(one) for one in free[1:] - free[1:].mean()))


def threshold(scores: Sequence[float], others: Sequence[float], wished: float) -> float:
    """A threshold at which the share `wished` of `scores`, those of pictures with the defect, is caught, 4 digits.

    Of all that catch the same pictures the one in the middle (of the log odds): halfway down to the next picture, of either kind.

    >>> threshold([0.9, 0.8, 0.7, 0.2], [0.3, 0.1], 0.75)
    0.5
    """
    ordered = sorted(scores, reverse=True)
    lowest = ordered[max(1, ceil(wished * len(ordered))) - 1]
    below = max((score for score in (*scores, *others) if score < lowest), default=0.0)
    between = float(expit(logit(np.clip([lowest, below], 1e-6, 1 - 1e-6)).mean()))
    return max(1e-9, min(lowest, max(1e-4, round(between, 4))))


@dataclass(frozen=True, slots=True)
class Reliable:
    """One bin of scores: their mean, and the share of pictures in it that were what the score said."""

    said: float
    was: float
    count: int


def reliability(said: Floats, was: NDArray[np.bool_]) -> list[Reliable]:
    """said: P(defective) of N pictures; was: whether it was. Bins of equal width that have pictures."""
    bins = np.minimum((said * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    chosen = [bins == number for number in range(RELIABILITY_BINS)]
    return [Reliable(float(said[one].mean()), float(was[one].mean()), int(one.sum())) for one in chosen if one.any()]


def calibration_error(bins: Sequence[Reliable]) -> float:
    """Mean distance between said and was over all pictures (expected calibration error; M. Naeini et al., AAAI 2015).

    >>> calibration_error([Reliable(0.2, 0.1, 30), Reliable(0.9, 0.9, 10)])
    0.075
    """
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.said - one.was) for one in bins) / total
