"""`redrabbit demo --exit`: what the report says, with a fault and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def _report(folder: Path, *options: str, parts: int = 3000) -> dict[str, Any]:
    file = folder / f"{len(list(folder.iterdir()))}.json"
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "demo",
        "--parts",
        str(parts),
        "--exit",
        "--report",
        str(file),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _report(tmp_path_factory.mktemp("healthy"), "--seed", "1", "--prevalence", "0.05")


def test_a_healthy_line_pages_nobody(healthy: dict[str, Any]) -> None:
    """The truth lies within the limits, and there is no page."""
    recall = healthy["recall"]
    assert healthy["pages"] == []
    assert recall["lower"] <= recall["true"] <= recall["upper"]
    assert recall["observed"] > recall["true"]


def test_every_part_and_label_is_accounted_for(healthy: dict[str, Any]) -> None:
    """Verdicts add up to the parts; every reject and audit has its label, audited defects two."""
    verdicts, confusion = healthy["verdicts"], healthy["confusion"]
    assert healthy["parts"] == 3000 == sum(verdicts.values())
    assert confusion["true_positive"] + confusion["false_positive"] == verdicts["reject"]
    assert confusion["false_negative"] + confusion["true_negative"] == verdicts["audit"]
    assert healthy["labels"] == verdicts["reject"] + verdicts["audit"] + confusion["false_negative"]


def test_a_defocused_camera_is_found_out(tmp_path: Path, healthy: dict[str, Any]) -> None:
    """True recall falls, the report says so, and the page comes after the fault."""
    found = _report(tmp_path, "--seed", "1", "--prevalence", "0.05", "--fault", "defocus@1000")
    assert found["recall"]["true"] < healthy["recall"]["true"] - 0.2
    assert found["recall"]["lower"] <= found["recall"]["true"] <= found["recall"]["upper"]
    assert found["recall"]["state"] == "BELOW"
    (page,) = found["pages"]
    assert page["alert"] == "DefectRecallBelowThreshold"
    assert page["defect"] == "defective"
    assert page["part"] > 1000


def test_a_page_names_the_parts_at_risk(tmp_path: Path) -> None:
    """A line that was PROVEN before its camera failed: what is at risk begins before the fault and not at the beginning."""
    found = _report(tmp_path, "--seed", "3", "--prevalence", "0.1", "--fault", "defocus@1700")
    touched = found["at_risk"]
    assert 500 < touched["from_part"] <= 1700
    assert 1000 < touched["parts"] < 3000
    assert touched["lots"] == [f"lot-{number:03d}" for number in range((touched["from_part"] - 1) // 250, 12)]


def test_an_undecided_line_says_what_is_missing(tmp_path: Path) -> None:
    """Six hundred parts prove nothing yet; how many would is said."""
    found = _report(tmp_path, "--seed", "1", "--prevalence", "0.05", parts=600)
    assert found["recall"]["state"] == "UNDECIDED"
    assert found["recall"]["parts_to_prove"] > 600
    assert found["at_risk"] is None


def test_the_same_seed_gives_the_same_report(tmp_path: Path) -> None:
    """Timings aside; another seed gives another one."""
    first, again, other = (_report(tmp_path, "--seed", seed, parts=400) for seed in ("7", "7", "8"))
    for report in (first, again, other):
        del report["parts_per_second"]
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fault", "fog@10"], "fog@10"),
        (["--fault", "dim"], "KIND@PART"),
        (["--prevalence", "5"], "prevalence 5"),
        (["--rate", "0"], "rate 0"),
        (["--report", "/nowhere/r.json"], "/nowhere"),
        (["--parts", "0"], "--parts"),
    ],
)
def test_bad_options_get_one_line_and_status_2(options: list[str], words: str) -> None:
    """No traceback, no half-finished demo."""
    command = [sys.executable, "-m", "service.cli", "demo", "--exit", "--parts", "10", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1, done.stderr
