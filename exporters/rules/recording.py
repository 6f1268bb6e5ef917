"""Counts that are added, and ratios of the sums: over lines, and by `plant` further on."""

from __future__ import annotations

from exporters.rules.parts import Recording
from service.quality.recall import POINT_NEEDS_MISSES

_ROWS = "plant, line, defect, window"


def _of_lines(metric: str) -> str:
    """Added over the lines whose escapes are known. Two exporters of one ledger say the same: the larger one counts once."""
    known, value = (f"max by ({_ROWS}) ({one})" for one in ("redrabbit_window_escaped_parts", metric))
    return f"sum by (plant, defect, window) ({value} and on ({_ROWS}) {known})"


RECORDING = (
    Recording(
        "line_verdict:redrabbit_parts:rate5m",
        "sum by (plant, line, verdict) (max by (plant, line, camera, verdict) (rate(redrabbit_parts_total[5m])))",
    ),
    Recording(
        "line_reason:redrabbit_frames_dropped:rate5m",
        "sum by (plant, line, reason) (rate(redrabbit_frames_dropped_total[5m]))",
    ),
    Recording(
        "line_stage_le:redrabbit_part_seconds_bucket:rate5m",
        "sum by (plant, line, stage, le) (rate(redrabbit_part_seconds_bucket[5m]))",
    ),
    Recording("defect_window:redrabbit_caught_parts:sum", _of_lines('redrabbit_window_parts{outcome="true_positive"}')),
    Recording("defect_window:redrabbit_escaped_parts:sum", _of_lines("redrabbit_window_escaped_parts")),
    Recording("defect_window:redrabbit_escaped_squares:sum", _of_lines("redrabbit_window_escaped_squares")),
    Recording("defect_window:redrabbit_audited_misses:sum", _of_lines("redrabbit_window_audited_misses")),
    Recording(
        "defect_window:redrabbit_largest_weight:max", "max by (plant, defect, window) (redrabbit_window_largest_weight)"
    ),
    Recording(
        "defect_window:redrabbit_recall:ratio",
        "defect_window:redrabbit_caught_parts:sum "
        "/ (defect_window:redrabbit_caught_parts:sum + defect_window:redrabbit_escaped_parts:sum > 0) "
        f"and defect_window:redrabbit_audited_misses:sum >= {POINT_NEEDS_MISSES}",
    ),
)
