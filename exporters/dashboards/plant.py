"""Every line of a plant at a glance, the worst first."""

from __future__ import annotations

from exporters.dashboards.parts import (
    BAD,
    CALM,
    CARE,
    GOOD,
    PLANT,
    UP_OR_DOWN,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    Step,
    Variable,
    by_name,
    of,
    rate,
)
from exporters.dashboards.state import MEANING, STATES, of_the_line, state, threshold, worst

LINE = f"{by_name('line')} {by_name('plant')}"
ROW = f"{by_name('line')} {by_name('defect')} {by_name('plant')}"
WAITED = (
    f"(time() - max by (plant, line) ({of('review_oldest_pending_timestamp_seconds', PLANT)}) "
    f"or 0 * (sum by (plant, line) ({of('review_pending', PLANT)}) == 0))"
)
"""How long the oldest part that is due has waited; 0 is true where nothing is due."""

STARVED = f"{WAITED} / max by (plant, line) ({of('labels_starved_after_seconds', PLANT)})"
EVIDENCE = f"{worst('max', 'recall_evidence', PLANT)} / {worst('max', 'recall_evidence_limit', PLANT)}"
SEEN = (
    f"time() - max by (plant, line) ({of('worker_seen_timestamp_seconds', PLANT)}) "
    f"unless max by (plant, line) ({of('worker_stopped', PLANT)}) == 1"
)
TENTH = (Step(None, GOOD), Step(0.1, CARE), Step(1.0, BAD))
WHOLE = (Step(None, GOOD), Step(0.5, CARE), Step(1.0, BAD))


def _line(expr: str) -> str:
    return of_the_line(expr, PLANT)


def _recall(limit: str) -> str:
    """Of the rows that have a threshold: what cannot page is the same number again."""
    return f"{worst('min', f'recall_{limit}_ratio', PLANT)} and {threshold(PLANT)}"


NOW = (
    Panel(
        Kind.STAT,
        "Pages that stand",
        "short",
        "Defects of lines on which a page stands, until somebody takes it on. Above 0: open the line below, hold its parts at risk.",
        "DefectRecallBelowThreshold",
        (
            Query(
                f"sum(max by (plant, line, defect) ({of('recall_page', PLANT)})) "
                f"+ (sum(max by (plant, line, defect) ({of('challenge_page', PLANT)})) or vector(0))",
                "pages",
            ),
        ),
        width=6,
        height=4,
        steps=(Step(None, GOOD), Step(1, BAD)),
    ),
    Panel(
        Kind.STAT,
        "Passed parts at risk",
        "short",
        "Parts that standing pages touch: they may hold escapes. The station lists them with their lots.",
        "DefectRecallBelowThreshold",
        (Query(f"sum({of('parts_at_risk', PLANT)}) or 0 * (sum({of('recall_page', PLANT)}) == 0)", "parts"),),
        width=6,
        height=4,
        steps=(Step(None, GOOD), Step(1, BAD)),
    ),
    Panel(
        Kind.STAT,
        "Rows whose recall is proven",
        "percentunit",
        "Share of all lines and defects whose recall is PROVEN. It falls when labels run dry as well as when defects escape.",
        "DefectRecallUnknown",
        (
            Query(
                f"count(({state(PLANT)}) == 0) / count({threshold(PLANT)}) or 0 * count({threshold(PLANT)})", "proven"
            ),
        ),
        width=6,
        height=4,
        steps=(Step(None, CALM), Step(1, GOOD)),
        most=1.0,
    ),
    Panel(
        Kind.STAT,
        "Exporters that answer",
        "percentunit",
        "Whoever does not answer watches nothing, and its lines leave the table within minutes. Start it again: nothing is lost.",
        "ExporterDown",
        (
            Query(
                f'sum(up{{{PLANT},job="redrabbit-exporter"}}) / count(up{{{PLANT},job="redrabbit-exporter"}})', "answer"
            ),
        ),
        width=6,
        height=4,
        steps=(Step(None, BAD), Step(1, GOOD)),
        most=1.0,
    ),
)

LINES = (
    Panel(
        Kind.TABLE,
        "Lines, the worst first",
        "short",
        f"One row per line and defect. {MEANING} Recall is the worst window's. Evidence is a share of what pages, 100 % at most; label wait is "
        "the oldest due part's, as a share of labels.starved_after. What is not known is empty. A click on a line opens it.",
        "DefectRecallBelowThreshold",
        (
            Query(state(PLANT), "state", words=STATES),
            Query(_recall("lower"), "recall lower", "percentunit"),
            Query(_recall("upper"), "recall upper", "percentunit"),
            Query(threshold(PLANT), "page threshold", "percentunit"),
            Query(f"clamp_max({EVIDENCE}, 1)", "evidence", "percentunit", TENTH),
            Query(_line(STARVED), "label wait", "percentunit", WHOLE),
            Query(
                _line(f"min by (plant, line) ({of('camera_up', PLANT)})"),
                "cameras",
                words=UP_OR_DOWN,
            ),
            Query(_line(SEEN), "worker seen", "s", (Step(None, GOOD), Step(30, BAD))),
        ),
        width=24,
        height=7,
    ),
    Panel(
        Kind.STATES,
        "State of every line",
        "none",
        f"The state over time. {MEANING} A gap means that nobody knows: the exporter did not answer.",
        "DefectRecallBelowThreshold",
        (Query(state(PLANT), ROW),),
        width=24,
        height=6,
        words=STATES,
    ),
)

FLOW = (
    Panel(
        Kind.SERIES,
        "Parts inspected",
        "parts/s",
        "What the ledger records, by line. A line that falls to 0 stands, or its parts pass without inspection: look at its worker.",
        "WorkerDown",
        (Query(f"sum by (plant, line) ({rate('parts_total', PLANT)})", LINE),),
        width=8,
    ),
    Panel(
        Kind.SERIES,
        "Evidence, as a share of what pages",
        "percentunit",
        "Evidence that recall is below its page threshold. From a tenth on label what is due first; at the whole somebody is paged, "
        "and it begins anew while the page stands.",
        "DefectRecallAtRisk",
        (Query(EVIDENCE, ROW),),
        width=8,
        steps=TENTH,
        powers=True,
    ),
    Panel(
        Kind.SERIES,
        "Parts that wait for a label",
        "short",
        "Rejected and drawn parts that are due and not labelled. If it only rises, there are too few inspectors or too large a budget.",
        "DefectRecallUnknown",
        (Query(f"sum by (plant, line) ({of('review_pending', PLANT)})", LINE),),
        width=8,
    ),
    Panel(
        Kind.TABLE,
        "Alerts that fire",
        "none",
        "Alerts of the chosen plants, and those that name none. Watchdog always fires: when this table is empty, alerting itself "
        "does not work.",
        "Watchdog",
        (
            Query(
                "max by (plant, severity, alertname, line, defect, camera, instance) "
                '(ALERTS{plant=~"$plant|",alertstate="firing"})',
                "",
            ),
        ),
        width=24,
        height=7,
    ),
)

BOARD = Board(
    "redrabbit-plant",
    "redrabbit: plant",
    "Every line at a glance, the worst first: what to open now.",
    (Variable("plant", "redrabbit_ledger_up", every=True),),
    (Row("Now", NOW), Row("Lines", LINES), Row("What flows", FLOW)),
)
