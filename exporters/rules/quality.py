"""What pages and warns about recall and precision."""

from __future__ import annotations

from exporters.rules.parts import HOLD, PAGE_THRESHOLD, ROW, Alert, firing, held, plain, threshold, value

_UPPER = (
    "(" + held("redrabbit_recall_upper_ratio", "quality") + " or (last_over_time(redrabbit_recall_upper_ratio[" + HOLD
    + "]) and on (job, instance, line, defect, window) redrabbit_recall_estimable == 0))"
)  # fmt: skip


def _older(timestamp: str, than: str) -> str:
    """Seconds since a point in time, of lines where they are more or less (`than`: > or <) than what starves a line."""
    patience = f"max by (line) ({held('redrabbit_labels_starved_after_seconds', 'thresholds')})"
    return f"time() - max by (line) ({held(timestamp, 'freshness')}) {than} on (line) {patience}"


_FLOWING = f"on (line) ({_older('redrabbit_part_last_timestamp_seconds', '<')})"
_STARVED = _older("redrabbit_review_oldest_pending_timestamp_seconds", ">")
# Limits widen when labels stop: that must not end a page that they made.
_STANDS = f"and on (line, defect, window) {firing('DefectRecallBelowThreshold', 'window')} and on (line) ({_STARVED})"


def _row(figure: str) -> str:
    return f"max by (line, defect, window) ({held(f'redrabbit_{figure}', 'quality')})"


def _below(kind: str, severity: str = "") -> str:
    return f"< on (line, defect) group_left () {threshold(kind, severity)}"


QUALITY = (
    Alert(
        "DefectRecallBelowThreshold",
        "page",
        f"max by (line, defect) ({held('redrabbit_recall_page', 'evidence')}) == 1",
        f"{ROW}: defects escape",
        f"The audits of line {{{{ $labels.line }}}} prove that recall of {{{{ $labels.defect }}}} fell below {PAGE_THRESHOLD}. "
        f"Point estimate, best window: {value('redrabbit_recall_ratio')} (empty: too few misses to say). "
        f"Passed parts at risk: {plain('redrabbit_parts_at_risk')}; the station lists them. "
        "It stands until somebody acknowledges it or recall is proven again.",
        by="evidence",
    ),
    Alert(
        "DefectRecallBelowThreshold",
        "page",
        f"max by (line, defect, window) ({_UPPER}) {_below('recall', 'page')} "
        f"or max by (line, defect, window) ({_UPPER}) {_STANDS}",
        f"{ROW}: defects escape",
        "Recall of {{ $labels.defect }} on line {{ $labels.line }} over {{ $labels.window }} is at most "
        f"{{{{ $value | humanizePercentage }}}}; the page threshold is {PAGE_THRESHOLD}. "
        "It stands while parts wait too long for their labels, whatever the limit.",
        wait="1m",
        linger="5m",
        by="window",
    ),
    Alert(
        "DefectRecallAtRisk",
        "ticket",
        f"{_row('recall_ratio')} {_below('recall')}",
        f"{ROW}: recall may be too low",
        "The point estimate of recall of {{ $labels.defect }} on line {{ $labels.line }} over {{ $labels.window }} is "
        f"{{{{ $value | humanizePercentage }}}}, below its page or warn threshold; its limits do not prove it. "
        f"The page threshold is {PAGE_THRESHOLD}.",
        wait="30m",
        linger="10m",
    ),
    Alert(
        "DefectRecallAtRisk",
        "ticket",
        f"max by (line, defect) ({held('redrabbit_recall_evidence', 'evidence')}) > on (line, defect) "
        f"max by (line, defect) ({held('redrabbit_recall_evidence_limit', 'evidence')}) / 10",
        f"{ROW}: evidence is rising",
        "Evidence that recall of {{ $labels.defect }} on line {{ $labels.line }} fell is {{ $value | humanize }}: more than a tenth "
        "of what pages. Label what is due first.",
        linger="10m",
        by="evidence",
    ),
    Alert(
        "DefectRecallAtRisk",
        "ticket",
        f"{_row('recall_ceiling_ratio')} {_below('recall', 'page')}",
        f"{ROW}: so many misses are known",
        "Known misses, returns of customers among them, leave recall of {{ $labels.defect }} on line {{ $labels.line }} over "
        "{{ $labels.window }} at {{ $value | humanizePercentage }} at most, whatever the audits say.",
        wait="5m",
        linger="10m",
        by="ceiling",
    ),
    Alert(
        "DefectPrecisionBelowThreshold",
        "ticket",
        f"{_row('precision_upper_ratio')} {_below('precision')}",
        f"{ROW}: good parts are rejected",
        "Of the parts that line {{ $labels.line }} rejects for {{ $labels.defect }}, at most {{ $value | humanizePercentage }} "
        "are defective over {{ $labels.window }}: overkill above what thresholds.yaml allows.",
        wait="30m",
        linger="10m",
    ),
    Alert(
        "DefectRecallUnknown",
        "ticket",
        f"{_STARVED} and {_FLOWING}",
        "{{ $labels.line }}: parts wait for their labels",
        "Line {{ $labels.line }} runs, and its oldest part to review has waited {{ $value | humanizeDuration }}: longer than "
        "labels.starved_after. Recall is getting unknown; no page can be trusted to come.",
        wait="5m",
        linger="5m",
        by="labels",
    ),
    Alert(
        "DefectRecallUnknown",
        "ticket",
        f"max by (line, defect) ({held('redrabbit_recall_estimable', 'quality')}) == 0 and on (line, defect) {threshold('recall')} "
        f"and on (line) {held('redrabbit_closed_buckets', 'freshness')} > 0 and {_FLOWING}",
        f"{ROW}: recall is unknown",
        "Line {{ $labels.line }} runs and no window says anything about recall of {{ $labels.defect }}: "
        "no audited part is labelled. No page can come.",
        wait="1h",
        linger="5m",
        by="estimate",
    ),
)
