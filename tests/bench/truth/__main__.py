"""Runs the simulations and writes what they found to a Markdown file. The same seed gives the same figures."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.bench.truth import coverage, pages, solar

PARTS = {"coverage": coverage.measure, "pages": pages.measure, "solar": solar.measure}
SEED = 7


def main() -> None:
    """Bad options end with status 2."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.truth", description=__doc__)
    options.add_argument(
        "--quick", action="store_true", help="fewer replicates: a minute instead of a quarter of an hour"
    )
    options.add_argument("--out", type=Path, default=Path("docs/truth.md"))
    options.add_argument("--part", choices=PARTS, help="this one only; the file then holds nothing else")
    options.add_argument("--seed", type=int, default=SEED)
    asked = options.parse_args()
    chapters: list[str] = []
    runtimes: dict[str, float] = {}
    for name in [asked.part] if asked.part else PARTS:
        print(f"{name} …", file=sys.stderr, flush=True)
        started = time.perf_counter()
        chapters += PARTS[name](asked.seed, asked.quick)
        runtimes[name] = time.perf_counter() - started
    command = " ".join(["python -m tests.bench.truth", *sys.argv[1:]])
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in runtimes.items())
    head = [
        "# Are the numbers true?",
        "Lines whose truth is known, through the same classes that make the numbers on the screen. Every figure below was "
        f"written by `{command}` (seed {asked.seed}; on one core: {took}). "
        "Labels are right and complete here: what wrong or missing labels do is not part of it.",
    ]
    asked.out.write_text("\n\n".join([*head, *chapters]) + "\n", encoding="utf-8")
    print(f"{asked.out}: written", file=sys.stderr)


main()
