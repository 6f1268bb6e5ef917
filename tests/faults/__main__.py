"""`make faults`: tries each fault many times and prints the tables of docs/faults.md; status 1 where anything is lost, double or wrong.

Told to stop (SIGINT, SIGTERM) it prints the rounds that have ended.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from tests.faults.kinds import FAULTS, Kind, tried


def _named(text: str) -> list[Kind]:
    found = [kind for kind in FAULTS if text in kind.name]
    if not found:
        raise argparse.ArgumentTypeError(
            f"no fault has {text!r} in its name; there are {', '.join(k.name for k in FAULTS)}"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--tries", type=int, default=200, help="of each fault, where it is not slow (%(default)s)")
    parser.add_argument("--only", type=_named, default=[*FAULTS], metavar="TEXT", help="faults with this in their name")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (%(default)s)")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds that a server is gone (%(default)g)")
    options = parser.parse_args(arguments)
    if options.tries < 1:
        parser.error(f"--tries: {options.tries}; expected at least 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bad: list[str] = []
    broken_off = False
    tries, totals = ["| fault | tries | at work again: median | longest |", "|---|---|---|---|"], []
    for plant in dict.fromkeys(kind.plant for kind in options.only):
        kinds = [kind for kind in options.only if kind.plant is plant]
        seconds: dict[str, list[float]] = {kind.name: [] for kind in kinds}
        sums = dict.fromkeys(("parts", "labels", "lost", "doubled", "wrong", "pages", "again", "unseen"), 0)
        try:
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                for ended, results, found in tried(
                    kinds, options.tries, Random(options.seed), Path(folder), options.outage
                ):
                    for result in results:
                        seconds[result.kind.name] += result.seconds
                    bad += found.bad
                    counts = (
                        ended.fed,
                        len(ended.acknowledged),
                        *(len({*one}) for one in (found.lost, found.doubled, found.wrong)),
                    )
                    for name, count in zip(sums, (*counts, found.pages, found.again, found.unseen), strict=True):
                        sums[name] += count
                    print(
                        f"{plant.__name__}: {sum(map(len, seconds.values()))} tries; {sums}",
                        file=sys.stderr,
                        flush=True,
                    )
        except KeyboardInterrupt:
            broken_off = True
        for name, took in ((name, took) for name, took in seconds.items() if took):
            tries.append(f"| {name} | {len(took)} | {median(took):.1f} s | {max(took):.1f} s |")
        done = sum(map(len, seconds.values()))
        totals.append(f"| {(plant.__doc__ or '').splitlines()[0]} | {done} | {' | '.join(map(str, sums.values()))} |")
        if broken_off:
            break
    print(*tries, "", sep="\n")
    print("| plant | tries | parts | labels | lost | double | wrong | pages | sent again | not inspected |")
    print("|---|---|---|---|---|---|---|---|---|---|", *totals, sep="\n")
    print(*bad, sep="\n", file=sys.stderr, end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
