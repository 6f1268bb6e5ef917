"""The state of each line and defect in one number, the worst highest, as queries: what the station shows, from series."""

from __future__ import annotations

from exporters.dashboards.parts import BAD, CALM, CARE, GOOD, UNSURE, WORST, Word, of

ROW = "plant, line, defect"

STATES = {
    5: Word("NOT INSPECTED", WORST),
    4: Word("PAGE", BAD),
    3: Word("BELOW", CARE),
    2: Word("UNKNOWN", UNSURE),
    1: Word("UNDECIDED", CALM),
    0: Word("PROVEN", GOOD),
}

MEANING = (
    "NOT INSPECTED: no sign of life of the worker, or a camera is down. PAGE: a page stands. BELOW: the upper limit of recall is under "
    "the page threshold in some window. UNKNOWN: no window says anything. UNDECIDED: the limits lie on both sides. PROVEN: the lower "
    "limit is at or above the threshold in every window."
)


def worst(how: str, metric: str, *chosen: str) -> str:
    """One value per row, the worst of all windows: ratios are never averaged."""
    return f"{how} by ({ROW}) ({of(metric, *chosen)})"


def threshold(*chosen: str) -> str:
    """The page threshold: there is one for each row that can page, whatever else is known of it."""
    return worst("max", "recall_threshold_ratio", *chosen, 'severity="page"')


def of_the_line(expr: str, *chosen: str) -> str:
    """A line's value beside each of its rows."""
    return f"({expr}) + on (plant, line) group_right () 0 * {threshold(*chosen)}"


def silent(*chosen: str) -> str:
    """Lines that nobody inspects: of these the alerts WorkerDown and CameraDown tell."""
    seen = f"time() - max by (plant, line) ({of('worker_seen_timestamp_seconds', *chosen)}) > 30"
    stopped = f"max by (plant, line) ({of('worker_stopped', *chosen)}) == 1"
    return f"({seen} unless {stopped}) or min by (plant, line) ({of('camera_up', *chosen)}) == 0"


def state(*chosen: str) -> str:
    """The number of STATES of each row."""
    rows = threshold(*chosen)
    first_that_holds = {
        5: f"{rows} and on (plant, line) ({silent(*chosen)})",
        4: f"{worst('max', 'recall_page', *chosen)} == 1 or {worst('max', 'challenge_page', *chosen)} == 1",
        3: f"{worst('min', 'recall_upper_ratio', *chosen)} < {rows}",
        2: f"{rows} unless {worst('max', 'recall_estimable', *chosen)} == 1",
        0: f"{worst('min', 'recall_lower_ratio', *chosen)} >= {rows} "
        f"and {worst('min', 'recall_estimable', *chosen)} == 1",
        1: rows,
    }
    return " or ".join(f"0 * ({test}) + {number}" for number, test in first_that_holds.items())
