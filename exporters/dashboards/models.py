"""Of one line's models: hints from the scores, the shadow beside the active one, and when another took over."""

from __future__ import annotations

from exporters.dashboards.parts import (
    BAD,
    CARE,
    DEFECT,
    GOOD,
    LINE,
    WINDOW,
    Event,
    Kind,
    Panel,
    Query,
    Step,
    by_name,
    of,
)

HINTS = (
    Panel(
        Kind.SERIES,
        "Expected recall (a hint)",
        "percentunit",
        "What the scores alone lead to expect, if they still mean what they meant in validation. Blind to new defects: it proves "
        "nothing, and where it leaves the audited recall the audits are right.",
        "ScoreDrift",
        (
            Query(f"min({of('expected_recall_ratio', *DEFECT)})", "expected"),
            Query(f"min({of('recall_ratio', *WINDOW)})", "recall"),
        ),
        width=9,
        most=1.0,
    ),
    Panel(
        Kind.SERIES,
        "Score drift (a hint)",
        "short",
        "Population stability index of the scores against validation. Above 0.25 camera, light or product have changed: look at "
        "new pictures beside old ones. Audits say whether recall has suffered.",
        "ScoreDrift",
        (Query(f"max({of('score_drift', *LINE)})", "drift"),),
        width=9,
        steps=(Step(None, GOOD), Step(0.25, CARE)),
    ),
    Panel(
        Kind.STAT,
        "Audit draw, p-value",
        "none",
        "Probability of draws this far from what was promised. Under one in a million the draw is biased and no estimate can be "
        "trusted until it is known why.",
        "AuditDrawBiased",
        (Query(f"min({of('audit_draw_pvalue', *LINE)})", "p-value"),),
        width=6,
        steps=(Step(None, BAD), Step(1e-6, GOOD)),
    ),
)

ROLE = by_name("role")
SHADOW = (
    Panel(
        Kind.SERIES,
        "Recall beside the shadow",
        "percentunit",
        "Of the active model and of the shadow over the parts that both judged, audit-weighted. Empty without a shadow: "
        "`redrabbit models shadow MODEL.onnx` starts one. The p-value says whether a difference is more than chance.",
        "ModelUngated",
        (Query(f"min by (role) ({of('shadow_recall_ratio', *DEFECT)})", ROLE),),
        width=6,
        most=1.0,
    ),
    Panel(
        Kind.SERIES,
        "Precision beside the shadow",
        "percentunit",
        "Of both over the parts that both judged. A shadow that catches more by rejecting more shows it here.",
        "ModelUngated",
        (Query(f"min by (role) ({of('shadow_precision_ratio', *DEFECT)})", ROLE),),
        width=6,
        most=1.0,
    ),
    Panel(
        Kind.SERIES,
        "Flagged by one of them alone",
        "short",
        "Parts that one model flagged and the other did not, audit-weighted, by what they actually are. Defective ones tell who "
        "catches more, good ones who rejects more.",
        "ModelUngated",
        (
            Query(
                f"sum by (role, actual) ({of('shadow_alone_parts', *DEFECT)})",
                f"{ROLE} alone, actual {by_name('actual')}",
            ),
        ),
        width=6,
    ),
    Panel(
        Kind.SERIES,
        "p-value of both being alike",
        "none",
        "Paired test, for one look that was settled beforehand: who looks every day sees a difference by chance.",
        "ModelUngated",
        (Query(f"min by (actual) ({of('shadow_pvalue', *DEFECT)})", f"actual {by_name('actual')}"),),
        width=6,
        powers=True,
        most=1.0,
    ),
)

_INFO = of("model_info", *LINE, 'role="active"')
_SINCE = of("model_since_timestamp_seconds", *LINE)
CHANGES = Event(
    "model changes",
    f"max by (plant, line, model) ({_INFO}) * on (plant, line) group_left () max by (plant, line) ({_SINCE}) * 1000",
    f"{by_name('model')} judges from here on: windows and evidence begin anew",
)
