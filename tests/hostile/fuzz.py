"""`python -m tests.hostile.fuzz`: atheris over each target for a while, from the seeds beside; prints a table.

`--seeds` writes the seeds anew. What atheris finds on its way lies in build/fuzz; an input that fails, in build/fuzz/TARGET-failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEDS = Path(__file__).parent / "seeds"
BUILD = ROOT / "build/fuzz"
MEMORY_MB, ONE_INPUT_S, LONGEST = 2000, 20, 8192
NO_ATHERIS = "fuzz: atheris is not installed; expected: pip install atheris (Linux, x86-64)"


def seeds() -> dict[str, list[bytes]]:
    """A few small inputs of every kind, good ones and odd ones, by target."""
    from tests.hostile.bombs import bmp, lying_chunk, plain, png
    from tests.hostile.test_text import CONTRACT, ODD_THRESHOLDS, ODD_YAML

    head = "part_id,label,inspector,labelled_at\n"
    short = [text for text in ODD_YAML + ODD_THRESHOLDS if len(text) < 300]
    return {
        "pictures": [
            *(plain(kind) for kind in ("JPEG", "PNG", "BMP", "WEBP")),
            plain("TIFF", compression="tiff_lzw"),
            lying_chunk(),
            bmp(32, 1_179_672),
            png(1000, 1000, b""),
        ],
        "labels": [
            (head + rows).encode()
            for rows in (
                "p-1,crack,otto,2026-01-31T14:00:00Z\n",
                "p-1,good,,1772000000\np-2,unsure,ines,\n",
                '"=1+1",good,otto,nan\n"p\n1","a\0b",x,1e999\n',
                "'; DROP TABLE labels; --,good,otto,\n",
            )
        ],
        "thresholds": [(ROOT / "thresholds.yaml").read_bytes(), *(text.encode("utf-8", "replace") for text in short)],
        "metadata": [
            json.dumps(CONTRACT).encode(),
            b'{"thresholds": {"crack": NaN}}',
            b'{"temperature": 1e999}',
            b"[" * 200,
        ],
        "part-ids": [
            text.encode() for text in ("p-1", "RR-7~2026", "..", "a..b", "../x", "\u202ex", "a\0b", "p" * 129, "=1", "")
        ],
    }


def write_seeds() -> None:
    for target, inputs in seeds().items():
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(inputs):
            (folder / f"{number:02}").write_bytes(content)


def child(target: str, arguments: list[str]) -> None:
    """The process that is fuzzed."""
    import atheris

    with atheris.instrument_imports(include=["service"], enable_loader_override=False):
        from tests.hostile.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def run(target: str, *limits: str) -> tuple[int, str]:
    """(exit status, what libFuzzer says) of one target."""
    found, failed = BUILD / target, BUILD / f"{target}-failed"
    for folder in (found, failed):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        *limits,
        "-seed=1",
        "-print_final_stats=1",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={ONE_INPUT_S}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={failed}/",
        str(found),
        str(SEEDS / target),
    ]
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--child", target, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, done.stdout + done.stderr


def row(target: str, status: int, text: str) -> str:
    """Of the table."""

    def last(pattern: str) -> str:
        values = re.findall(pattern, text)
        return values[-1] if values else "-"

    runs, peak = last(r"number_of_executed_units: (\d+)"), last(r"peak_rss_mb: +(\d+)")
    cells = target, runs, last(r"cov: (\d+)"), peak, "held" if status == 0 else "FAILED"
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="all without one")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--runs", type=int, help="inputs for each target, in place of a time")
    parser.add_argument("--seeds", action="store_true", help="write the seeds and fuzz nothing")
    asked = parser.parse_args()
    if asked.seeds:
        write_seeds()
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(NO_ATHERIS, file=sys.stderr)
        return 2
    known = sorted(folder.name for folder in SEEDS.iterdir())
    if unknown := set(asked.targets) - set(known):
        parser.error(f"unknown target {min(unknown)!r}; expected {', '.join(known)}")
    limit = f"-runs={asked.runs}" if asked.runs else f"-max_total_time={asked.seconds}"
    print("| target | inputs | branches seen | peak memory, MB | |\n|---|---|---|---|---|", flush=True)
    worst = 0
    for target in asked.targets or known:
        status, text = run(target, limit)
        worst = max(worst, abs(status))
        print(row(target, status, text), flush=True)
        if status:
            print(text[-3000:], file=sys.stderr)
    return 1 if worst else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    sys.exit(main())
