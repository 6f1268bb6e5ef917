"""Pictures of the same part, found by what makes a part individual; and a split that keeps them together.

A fixed camera makes all good parts alike. So what all pictures share is taken away first, and how alike two pictures of different
parts may be by chance is measured on the pictures themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from service.errors import InvalidInput
from service.model.data import PARTS, Data
from service.records import Image

SIDE: Final = 32
BULK: Final = 1.0
"""Components weaker than this share of the mean one are taken for noise; stronger ones weigh the same in what is individual."""
CROWD: Final = 20
"""Two pictures of one part must stand out from so many others that are nearly as alike: more often no part is photographed."""
STANDS_OUT: Final = 0.5
"""How far apart they may be, as a share of the distance to the last of that crowd."""
CERTAIN: Final = 0.97
"""Where pictures had to be more alike than this to count, nothing tells parts apart."""
FALSE_PAIRS: Final = 0.5
SAMPLED: Final = 2_000_000
BLOCK: Final = 2048
SHARES: Final = {"train": 0.5, "validation": 0.25, "test": 0.25}

Floats = NDArray[np.float32]


class Pair(NamedTuple):
    """Two pictures by number, first < second; similarity in [-1, 1]."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """limit: above it two pictures show the same part. None: the parts are so alike that pictures cannot tell them apart."""

    pairs: Sequence[Pair]
    limit: float | None


def signatures(images: Iterable[Image]) -> Floats:
    """images: uint8 BGR (H, W, 3). Returns (N, SIDE * SIDE), each of length 1: local contrast, whatever the light.

    Divisive normalisation takes away what light does: differences to the surroundings, as multiples of how much they differ there.
    """
    rows = [_contrast(image) for image in images]
    if not rows:
        return np.empty((0, SIDE * SIDE), np.float32)
    return _individual(np.stack(rows))


def _contrast(image: Image) -> Floats:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (SIDE * 2, SIDE * 2), interpolation=cv2.INTER_AREA).astype(np.float32)
    around = small - cv2.GaussianBlur(small, (0, 0), 4)
    spread = np.sqrt(cv2.GaussianBlur(around**2, (0, 0), 8)) + 1.0
    normal = cv2.resize(cv2.GaussianBlur(around / spread, (0, 0), 1.5), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(normal.reshape(-1), np.float32)


def _individual(rows: Floats) -> Floats:
    """What all rows share taken back: the mean, and strong common components weakened to the strength of the others (whitening
    with a ridge). Returned at length 1."""
    rows = rows - rows.mean(axis=0)
    variance, directions = np.linalg.eigh(rows.T @ rows / len(rows))
    ridge = BULK * float(variance.sum()) / min(rows.shape)
    rows = rows @ (directions / np.sqrt(np.maximum(variance, 0) + ridge + 1e-12))
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


def near_duplicates(rows: Floats, groups: Sequence[str | None]) -> Duplicates:
    """Pairs that are more alike than different parts are by chance. rows: as `signatures` gives them."""
    if len(rows) < 3:
        return Duplicates((), None)
    limit = _limit(rows, groups)
    if limit > CERTAIN:
        return Duplicates((), None)
    return Duplicates(tuple(_standing_out(rows, limit)), limit)


def _limit(rows: Floats, groups: Sequence[str | None]) -> float:
    """Where fewer than FALSE_PAIRS pairs of different parts are expected: an exponential tail through two quantiles of the bulk.

    The tail of sums of many small agreements falls faster than that, so the limit is on the safe side. The quantiles lie where even a
    part photographed a few times among some hundred does not reach.
    """
    count = len(rows)
    dice = np.random.default_rng(0)
    first, second = dice.integers(0, count, (2, min(SAMPLED, 20 * count * count)))
    names = np.array([name if name is not None else f"\0{number}" for number, name in enumerate(groups)])
    other = (first != second) & (names[first] != names[second])
    first, second = first[other], second[other]
    if not len(first):
        return 1.0  # all of one group: nothing says how alike different parts are
    found = np.concatenate(
        [
            np.einsum("nd,nd->n", rows[first[at : at + 65536]], rows[second[at : at + 65536]])
            for at in range(0, len(first), 65536)
        ]
    )
    low, high = np.quantile(found, (0.90, 0.975))
    slope = max(float(high - low), 1e-4) / log(4)
    return float(high) + slope * log(0.025 * (count * (count - 1) / 2) / FALSE_PAIRS)


def _standing_out(rows: Floats, limit: float) -> Iterator[Pair]:
    """Pairs above the limit that are much more alike than either is to its crowd: cells of one product resemble each other by
    the dozen, photographs of one part only each other."""
    crowd = min(CROWD, len(rows) - 1)
    far = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        alike = rows[start : start + BLOCK] @ rows.T
        far[start : start + BLOCK] = 1 - np.partition(alike, -crowd - 1, axis=1)[:, -crowd - 1]  # one more: itself
    for start in range(0, len(rows), BLOCK):
        for across in range(start, len(rows), BLOCK):
            alike = rows[start : start + BLOCK] @ rows[across : across + BLOCK].T
            crowds = np.minimum(far[start : start + BLOCK, np.newaxis], far[np.newaxis, across : across + BLOCK])
            for first, second in zip(*np.nonzero((alike > limit) & (1 - alike < STANDS_OUT * crowds)), strict=True):
                if start + first < across + second:
                    yield Pair(int(start + first), int(across + second), float(alike[first, second]))


def clusters(groups: Sequence[str | None], pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The cluster of each picture: those of one group, and those of a pair, stand together.

    >>> clusters(["a", "a", None, None], [(1, 2)])
    [0, 0, 0, 1]
    """
    sets = DisjointSet(range(len(groups)))
    first_of: dict[str, int] = {}
    for number, name in enumerate(groups):
        if name is not None:
            sets.merge(number, first_of.setdefault(name, number))
    for first, second in pairs:
        sets.merge(first, second)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(sets[number], len(numbers)) for number in range(len(groups))]


def grouped_split(labels: Sequence[str], cluster: Sequence[int], seed: int) -> list[str]:
    """The part of each picture: whole clusters, each class shared out as SHARES says as far as its clusters allow.

    Largest clusters first, each to the part that lacks most of what it holds; rare classes count more.
    """
    names = sorted(set(labels))
    held: defaultdict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(len(names)))
    for label, number in zip(labels, cluster, strict=True):
        held[number][names.index(label)] += 1
    totals = sum(held.values(), np.zeros(len(names)))
    dice = np.random.default_rng(seed)
    lots = dict(zip(held, dice.random(len(held)), strict=True))
    order = sorted(held, key=lambda number: (-float((held[number] / totals).sum()), lots[number]))
    lacking = {part: totals * share for part, share in SHARES.items()}
    part_of = {}
    for number in order:
        part = max(PARTS, key=lambda name: (float((lacking[name] / totals) @ (held[number] / totals)), SHARES[name]))
        part_of[number] = part
        lacking[part] = lacking[part] - held[number]
    return [part_of[number] for number in cluster]


def split(data: Data, seed: int, say: Callable[[str], None]) -> list[str]:
    """The part of each sample: groups as given, and near-duplicates, in one part only. Raises InvalidInput."""
    groups = [sample.group for sample in data.samples]
    found = near_duplicates(signatures(sample.image() for sample in data.samples), groups)
    same_bytes: defaultdict[str, list[int]] = defaultdict(list)
    for number, digest in enumerate(data.digests):
        same_bytes[digest].append(number)
    pairs = [(pair.first, pair.second) for pair in found.pairs]
    pairs += [(numbers[0], other) for numbers in same_bytes.values() for other in numbers[1:]]
    cluster = clusters(groups, pairs)
    if found.limit is None and not any(groups):
        say(
            "near-duplicates cannot be told from other parts here: give each picture its group in a CSV, if parts stand there twice"
        )
    say(f"{len(pairs)} pairs of near-duplicates; {len(set(cluster))} groups of pictures that stay together")
    for name in data.classes:
        count = len({number for number, sample in zip(cluster, data.samples, strict=True) if sample.label == name})
        if count < len(PARTS):
            raise InvalidInput(
                f"{data.source}: class {name!r} has {count} groups of pictures that belong together; expected at least {len(PARTS)}, so that "
                "training, validation and test each have their own"
            )
    return grouped_split([sample.label for sample in data.samples], cluster, seed)
