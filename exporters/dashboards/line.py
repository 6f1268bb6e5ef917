"""One line, one kind of defect, one window: what is known of it, how well, and what is due."""

from __future__ import annotations

from exporters.dashboards.labels import CHALLENGE, LABELS
from exporters.dashboards.models import CHANGES, HINTS, SHADOW
from exporters.dashboards.parts import (
    BAD,
    CARE,
    DEFECT,
    GOOD,
    LINE,
    PLANT,
    WINDOW,
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
from exporters.dashboards.state import MEANING, STATES, state


def _limits(metric: str) -> tuple[Query, ...]:
    """A ratio between its limits, of which Grafana draws a band, and the thresholds that it is judged by."""
    return (
        Query(f"min({of(f'{metric}_upper_ratio', *WINDOW)})", "upper limit"),
        Query(f"min({of(f'{metric}_lower_ratio', *WINDOW)})", "lower limit"),
        Query(f"min({of(f'{metric}_ratio', *WINDOW)})", metric),
        Query(f"max by (severity) ({of(f'{metric}_threshold_ratio', *DEFECT)})", f"{by_name('severity')} threshold"),
    )


NOW = (
    Panel(
        Kind.STAT,
        "State",
        "none",
        MEANING,
        "DefectRecallBelowThreshold",
        (Query(state(*DEFECT), "state"),),
        width=6,
        height=4,
        words=STATES,
    ),
    Panel(
        Kind.STAT,
        "Passed parts at risk",
        "short",
        "Parts that a standing page touches. Hold them and look at them again: the station lists them with their lots.",
        "DefectRecallBelowThreshold",
        (Query(f"sum({of('parts_at_risk', *DEFECT)}) or 0 * (sum({of('recall_page', *DEFECT)}) == 0)", "parts"),),
        width=6,
        height=4,
        steps=(Step(None, GOOD), Step(1, BAD)),
    ),
    Panel(
        Kind.STAT,
        "Labels due",
        "short",
        "Rejected and drawn parts that wait for an inspector. The station hands them out, what tells most first.",
        "DefectRecallUnknown",
        (Query(f"sum({of('review_pending', *LINE)})", "parts"),),
        width=6,
        height=4,
    ),
    Panel(
        Kind.STAT,
        "Buckets that count",
        "short",
        "Closed buckets of the model in force. At 0 nothing is known yet: labels need time to arrive, and a new model begins anew.",
        "DefectRecallUnknown",
        (Query(f"sum({of('closed_buckets', *LINE)})", "buckets"),),
        width=6,
        height=4,
        steps=(Step(None, CARE), Step(1, GOOD)),
    ),
)

RECALL = (
    Panel(
        Kind.SERIES,
        "Recall",
        "percentunit",
        "Share of the real defects that the line catches, audit-weighted, between its 95 % limits. Upper limit under the page "
        "threshold: defects escape. Lower limit above it: proven. A gap: the labels do not say. Seen in labels alone is too high, "
        "because almost only rejects are looked at again.",
        "DefectRecallBelowThreshold",
        (*_limits("recall"), Query(f"min({of('recall_observed_ratio', *WINDOW)})", "seen in labels alone")),
        width=16,
        height=10,
        most=1.0,
    ),
    Panel(
        Kind.SERIES,
        "Evidence that recall fell",
        "short",
        "Rises with each audited miss that a line at its threshold would not have. At the limit somebody is paged and it begins "
        "anew. From a tenth of it on, label what is due first.",
        "DefectRecallAtRisk",
        (
            Query(f"max({of('recall_evidence', *DEFECT)})", "evidence"),
            Query(f"max({of('recall_evidence_limit', *DEFECT)})", "page limit"),
        ),
        width=8,
        height=10,
        powers=True,
    ),
)


MISSING = (
    Panel(
        Kind.SERIES,
        "Parts that nobody judged",
        "parts/s",
        "By what the line was told. No picture came, or it could not be judged. Passed ones may be escapes, and no recall "
        "knows of them. Counted where line.yaml has `parts`.",
        "PartsNotInspected",
        (Query(f"max by (outcome) ({rate('parts_not_inspected_total', *LINE)})", by_name("outcome")),),
        width=24,
        height=6,
    ),
)


def _cell(labels: str, label: str, value: str, outcomes: str) -> str:
    return f'label_replace({labels}, "{label}", "{value}", "outcome", "{outcomes}")'


def _confusion() -> str:
    """Outcomes by what inspectors settled on and what the line said; good parts that passed are mostly never looked at."""
    found = f"sum by (outcome) ({of('window_parts', *WINDOW)})"
    for label, value, outcomes in (
        ("actual", "defective", "true_positive|false_negative"),
        ("actual", "good", "false_positive"),
        ("predicted", "reject", "true_positive|false_positive"),
        ("predicted", "pass", "false_negative"),
    ):
        found = _cell(found, label, value, outcomes)
    return f"sum by (actual, predicted) ({found})"


PRECISION = (
    Panel(
        Kind.SERIES,
        "Precision",
        "percentunit",
        "Share of the rejected parts that are real defects, between its 95 % limits. Upper limit under the warn threshold: overkill. "
        "Nothing escapes, good parts are lost: plan another decision threshold or model.",
        "DefectPrecisionBelowThreshold",
        _limits("precision"),
        width=10,
        most=1.0,
    ),
    Panel(
        Kind.SERIES,
        "Overkill",
        "percentunit",
        "Share of the good parts that were rejected (false-reject ratio), among labelled ones. Look at the false rejects: dust, "
        "reflections, a new variant of the product.",
        "DefectPrecisionBelowThreshold",
        (Query(f"max({of('false_reject_ratio', *WINDOW)})", "false-reject ratio"),),
        width=6,
    ),
    Panel(
        Kind.MATRIX,
        "Confusion of labelled parts",
        "short",
        "Actual is what inspectors settled on, predicted is the line's verdict. As labelled, not weighted: misses are those that "
        "an audit happened to find. Good parts that passed are not counted, since few are looked at.",
        "DefectRecallBelowThreshold",
        (Query(_confusion(), "parts"),),
        width=8,
    ),
)

BOARD = Board(
    "redrabbit-line",
    "redrabbit: line",
    "One line: recall and precision with their limits, the evidence, what is due, and hints.",
    (
        Variable("plant", "redrabbit_ledger_up", every=True),
        Variable("line", of("closed_buckets", PLANT)),
        Variable("defect", of("recall_threshold_ratio", *LINE)),
        Variable("window", of("recall_estimable", *LINE)),
    ),
    (
        Row("Now", NOW),
        Row("Recall: are we letting bad parts through?", RECALL),
        Row("Precision: are we throwing good parts away?", PRECISION),
        Row("Parts that nobody judged", MISSING),
        Row("Labels and audits", LABELS),
        Row("Challenge parts", CHALLENGE),
        Row("Hints", HINTS),
        Row("Shadow", SHADOW),
    ),
    (CHANGES,),
)
