"""Photographs of one part are found, parts that only look alike are not, and a split keeps the former together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.images import decode
from service.model import elpv
from service.model.data import PARTS, load
from service.model.leakage import clusters, grouped_split, near_duplicates, signatures
from service.records import Image
from tests.model.parts_factory import part, photographed_again


def found(images: list[Image]) -> set[tuple[int, int]]:
    duplicates = near_duplicates(signatures(images), [None] * len(images))
    return {(pair.first, pair.second) for pair in duplicates.pairs}


@pytest.mark.parametrize("shift", [0, 1])
def test_a_part_photographed_again_is_found(shift: int) -> None:
    """In other light, re-encoded, a hundredth of the picture further: of 400 parts the 40 that are there twice, and no other."""
    dice = np.random.default_rng(5)
    parts = [part(number)[0] for number in range(400)]
    again = [photographed_again(parts[number], dice, shift) for number in range(40)]
    assert found(parts + again) == {(number, 400 + number) for number in range(40)}


def test_one_part_under_six_lights() -> None:
    """No two of its pictures have equal bytes, and they are one cluster."""
    dice = np.random.default_rng(5)
    images = [photographed_again(part(number)[0], dice) for number in range(60) for _ in range(6)]
    pairs = found(images)
    assert all(first // 6 == second // 6 for first, second in pairs)
    assert len(set(clusters([None] * 360, pairs))) == 60


def test_parts_that_differ_in_nothing_but_noise_are_no_leak() -> None:
    """Under a fixed camera all good parts are alike."""
    dice = np.random.default_rng(5)
    same = part(1)[0]
    images = [(same + dice.normal(0, 2, same.shape)).clip(0, 255).astype(np.uint8) for _ in range(200)]
    assert found(images) == set()


def test_too_few_pictures_say_nothing() -> None:
    """Two pictures have no others to be compared with."""
    assert near_duplicates(signatures([part(1)[0], part(1)[0]]), [None, None]).limit is None


def test_the_solar_cells_that_are_set_aside() -> None:
    """Near-duplicates across the demo's split are exactly the cells that the table names; a random split would leak a third."""
    every = elpv.cells()
    duplicates = near_duplicates(signatures(decode(cell.read()) for cell in every), [None] * len(every))
    part_of = [elpv.DEAL[number // elpv.RUN] for number in range(len(every))]
    order = list(elpv.PARTS)
    twins = {
        max(pair.first, pair.second, key=lambda number: order.index(part_of[number]))
        for pair in duplicates.pairs
        if part_of[pair.first] != part_of[pair.second]
    }
    assert twins < elpv.TWINS and len(elpv.TWINS - twins) == 10
    kept = [number for number in range(len(every)) if number not in elpv.TWINS]
    kept.sort(key=lambda number: part_of[number] == "h")
    again = near_duplicates(signatures(decode(every[number].read()) for number in kept), [None] * len(kept))
    met = {frozenset((part_of[kept[pair.first]], part_of[kept[pair.second]])) for pair in again.pairs}
    assert not met & {frozenset("th"), frozenset("vh")}
    assert len({number for pair in duplicates.pairs for number in pair[:2]}) == pytest.approx(1030, abs=10)
    dice = np.random.default_rng(0)
    test = dice.random(len(every)) < 0.25
    leaked = {
        (pair.first if test[pair.first] else pair.second)
        for pair in duplicates.pairs
        if test[pair.first] != test[pair.second]
    }
    assert 0.3 < len(leaked) / test.sum() < 0.4


groups = st.lists(st.one_of(st.none(), st.sampled_from("abcdef")), min_size=1, max_size=40)


@given(groups, st.data())
def test_a_cluster_holds_whole_groups_and_pairs(names: list[str | None], data: st.DataObject) -> None:
    """Whoever shares a group or a pair shares a cluster; numbers go from 0 without gaps."""
    number = st.integers(0, len(names) - 1)
    pairs = data.draw(st.lists(st.tuples(number, number), max_size=10))
    cluster = clusters(names, pairs)
    assert all(cluster[first] == cluster[second] for first, second in pairs)
    assert len({(name, at) for name, at in zip(names, cluster, strict=True) if name}) == len(
        {name for name in names if name}
    )
    assert set(cluster) == set(range(len(set(cluster))))


@given(
    st.lists(st.tuples(st.sampled_from(["good", "crack"]), st.integers(0, 30)), min_size=4, max_size=200),
    st.integers(0, 9),
)
def test_a_split_keeps_clusters_whole(rows: list[tuple[str, int]], seed: int) -> None:
    """A cluster never stands in two parts; the same seed gives the same split."""
    labels, cluster = [label for label, _ in rows], [number for _, number in rows]
    split = grouped_split(labels, cluster, seed)
    assert len(set(zip(cluster, split, strict=True))) == len(set(cluster))
    assert split == grouped_split(labels, cluster, seed)


def test_a_split_shares_out_every_class() -> None:
    """Half, a quarter and a quarter, of the common class as of the rare one."""
    labels = ["good"] * 400 + ["crack"] * 20
    counts = Counter(zip(labels, grouped_split(labels, range(420), 1), strict=True))
    assert [counts["good", name] for name in PARTS] == [200, 100, 100]
    assert [counts["crack", name] for name in PARTS] == [10, 5, 5]


def test_a_class_of_two_groups_cannot_be_split(tmp_path: object) -> None:
    """It says which class, how many groups it has and how many it takes."""
    from pathlib import Path

    import cv2

    from service.model.leakage import split

    folder = Path(str(tmp_path))
    for number in range(8):
        file = folder / ("good" if number < 6 else "crack") / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(file), part(number)[0])
    with pytest.raises(InvalidInput, match="class 'crack' has 2 groups"):
        split(load(str(folder)), 1, lambda _: None)
