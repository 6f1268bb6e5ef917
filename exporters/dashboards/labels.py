"""Of one line: what waits for inspectors, what comes back from them, and what challenge parts showed."""

from __future__ import annotations

from exporters.dashboards.parts import (
    BAD,
    DEFECT,
    GOOD,
    LINE,
    Kind,
    Panel,
    Query,
    Step,
    by_name,
    of,
    quantile,
    rate,
)

LABELS = (
    Panel(
        Kind.SERIES,
        "Audits and rejects due",
        "short",
        "Parts that wait for a label: drawn ones (audit) tell of escapes, rejected ones (review) of overkill.",
        "DefectRecallUnknown",
        (Query(f"sum by (source) ({of('review_pending', *LINE)})", by_name("source")),),
        width=6,
    ),
    Panel(
        Kind.SERIES,
        "Longest wait for a label",
        "s",
        "Age of the oldest part that is due. Above the limit (labels.starved_after) recall is getting unknown and no page can be "
        "trusted to come: label, or draw fewer.",
        "DefectRecallUnknown",
        (
            Query(
                f"time() - min({of('review_oldest_pending_timestamp_seconds', *LINE)}) "
                f"or 0 * (sum({of('review_pending', *LINE)}) == 0)",
                "oldest",
            ),
            Query(f"min({of('labels_starved_after_seconds', *LINE)})", "starved limit"),
        ),
        width=6,
    ),
    Panel(
        Kind.SERIES,
        "Labels",
        "labels/s",
        "Labels accepted, by where the part came from. A line that runs and gets none goes blind.",
        "DefectRecallUnknown",
        (Query(f"sum by (source) ({rate('labels_total', *LINE)})", by_name("source")),),
        width=6,
    ),
    Panel(
        Kind.SERIES,
        "Lag from capture to label",
        "s",
        "How late labels come. Those that come after bucket.closes_after change buckets that had closed: let it be longer than "
        "nine labels in ten take.",
        "DefectRecallUnknown",
        (
            Query(quantile(0.5, "label_lag_seconds", "", *LINE), "half within"),
            Query(quantile(0.9, "label_lag_seconds", "", *LINE), "nine in ten within"),
        ),
        width=6,
    ),
    Panel(
        Kind.SERIES,
        "Share of passed parts that is drawn",
        "percentunit",
        "The audit budget from now on. It is four times audit.budget while evidence is high, so that the answer comes sooner.",
        "DefectRecallAtRisk",
        (Query(f"max({of('audit_budget_ratio', *LINE)})", "drawn for audit"),),
        width=12,
        height=6,
        most=1.0,
    ),
    Panel(
        Kind.SERIES,
        "Corrected and late labels",
        "short",
        "Labels that corrected an earlier one of the same inspector, and labels that changed a bucket after it had closed. Many: "
        "go through the catalogue of defects together.",
        "DefectRecallUnknown",
        (
            Query(f"sum({of('label_corrections_total', *LINE)})", "corrections"),
            Query(f"sum({of('late_label_changes', *LINE)})", "after closing"),
        ),
        width=12,
        height=6,
    ),
)

CHALLENGE = (
    Panel(
        Kind.SERIES,
        "Challenge parts",
        "short",
        "Red rabbits that went through, all in all. One missed: send it again at once. Two in a row: hold the parts since one was caught.",
        "ChallengePartMissed",
        (Query(f"sum by (outcome) ({of('challenge_parts_total', *LINE)})", by_name("outcome")),),
        width=8,
    ),
    Panel(
        Kind.SERIES,
        "Evidence of challenge parts",
        "short",
        "As the evidence above, from challenge parts alone. Empty until one is registered: `redrabbit challenge add`.",
        "ChallengePartMissed",
        (
            Query(f"max({of('challenge_evidence', *DEFECT)})", "evidence"),
            Query(f"max({of('challenge_evidence_limit', *DEFECT)})", "page limit"),
        ),
        width=8,
        powers=True,
    ),
    Panel(
        Kind.STAT,
        "Overdue",
        "short",
        "Challenge parts that were due while the line went on. `redrabbit challenge list` names them: send them through.",
        "ChallengeOverdue",
        (Query(f"sum({of('challenge_overdue', *LINE)})", "parts"),),
        width=4,
        steps=(Step(None, GOOD), Step(1, BAD)),
    ),
    Panel(
        Kind.STAT,
        "Last one",
        "s",
        "How long ago a challenge part last went through. No data: none ever did.",
        "ChallengeOverdue",
        (Query(f"time() - max({of('challenge_last_timestamp_seconds', *LINE)})", "ago"),),
        width=4,
    ),
)
