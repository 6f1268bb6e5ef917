"""Every target over its seeds, and over what a die makes of them; `make fuzz` goes on from there with atheris."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys

import pytest

from tests.hostile.fuzz import NO_ATHERIS, ROOT, SEEDS, seeds
from tests.hostile.targets import TARGETS

INPUTS = 1500


def changed(dice: random.Random, content: bytes, other: bytes) -> bytes:
    """Bytes changed, doubled, cut out, cut short, or the end of another input."""
    mutable = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 8])):
        at, way = dice.randrange(len(mutable) + 1), dice.randrange(5)
        if way == 0:
            mutable[at : at + 1] = bytes([dice.randrange(256)])
        elif way == 1:
            mutable[at:at] = mutable[at : at + dice.randrange(64)] * dice.choice([1, 2, 50])
        elif way == 2:
            del mutable[at : at + dice.randrange(16)]
        elif way == 3:
            del mutable[at:]
        else:
            mutable[at:] = other[dice.randrange(len(other) + 1) :]
    return bytes(mutable[:20_000])


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_holds(target: str) -> None:
    """The same inputs every time."""
    dice = random.Random(1)
    known = [file.read_bytes() for file in sorted((SEEDS / target).iterdir())]
    for content in known:
        TARGETS[target](content)
    for _ in range(INPUTS):
        TARGETS[target](changed(dice, dice.choice(known), dice.choice(known)))


def test_the_seeds_are_what_the_code_makes() -> None:
    """Of every target some; encoded pictures may differ from one version of Pillow to the next."""
    made = seeds()
    assert sorted(made) == sorted(TARGETS) == sorted(folder.name for folder in SEEDS.iterdir())
    for target, inputs in made.items():
        kept = [file.read_bytes() for file in sorted((SEEDS / target).iterdir())]
        assert len(kept) == len(inputs)
        assert target == "pictures" or kept == inputs


def test_atheris_runs_and_prints_a_table() -> None:
    """Where there is a wheel of it; elsewhere one line says so."""
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--runs", "2000", "part-ids", "metadata"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if importlib.util.find_spec("atheris") is None:
        assert (done.returncode, done.stderr.strip()) == (2, NO_ATHERIS)
        return
    assert done.returncode == 0, done.stderr
    assert [line.split("|")[-2].strip() for line in done.stdout.splitlines()[2:]] == ["held", "held"]
