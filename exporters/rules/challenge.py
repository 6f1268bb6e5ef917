"""Challenge parts, and hints: drift of the scores, draws that do not follow their probabilities."""

from __future__ import annotations

from exporters.rules.parts import PAGE_THRESHOLD, ROW, Alert, held, plain

CHALLENGE = (
    Alert(
        "ChallengePartMissed",
        "page",
        f"max by (line, defect) ({held('redrabbit_challenge_page', 'evidence')}) == 1",
        f"{ROW}: challenge parts go through",
        "Challenge parts that line {{ $labels.line }} let pass prove that recall of {{ $labels.defect }} fell below "
        f"{PAGE_THRESHOLD}. Passed parts at risk: {plain('redrabbit_parts_at_risk')}; the station lists them. "
        "It stands until somebody acknowledges it or recall is proven again.",
        by="evidence",
    ),
    Alert(
        "ChallengePartMissed",
        "ticket",
        'increase(redrabbit_challenge_parts_total{outcome="missed"}[1h]) > 0',
        "{{ $labels.line }}: a challenge part was missed",
        "Line {{ $labels.line }} judged a challenge part other than it is known to be. Send it again: one miss proves little, "
        "two in a row a lot.",
        by="part",
    ),
    Alert(
        "ChallengeOverdue",
        "ticket",
        f"max by (line) ({held('redrabbit_challenge_overdue', 'challenge')}) > 0",
        "{{ $labels.line }}: {{ $value }} challenge parts are overdue",
        "The line has gone on since they were due. `redrabbit challenge list` names them.",
    ),
    Alert(
        "ScoreDrift",
        "ticket",
        f"max by (line) ({held('redrabbit_score_drift', 'drift')}) > 0.25",
        "{{ $labels.line }}: the scores have drifted",
        "Scores of line {{ $labels.line }} lie otherwise than in validation: population stability index "
        "{{ $value | humanize }}, above 0.25. Look at the pictures; audits say whether recall has suffered.",
        wait="30m",
        linger="10m",
    ),
    Alert(
        "AuditDrawBiased",
        "ticket",
        f"max by (line) ({held('redrabbit_audit_draw_pvalue', 'audit')}) < 1e-6",
        "{{ $labels.line }}: the audit draw does not follow its probabilities",
        "Draws of line {{ $labels.line }} this far from their probabilities happen by chance with probability "
        "{{ $value }}: no estimate of recall can be trusted until it is known why.",
        linger="10m",
    ),
)
