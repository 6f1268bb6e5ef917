"""Verdicts that do not reach the line's controls, or reach them too late."""

from __future__ import annotations

from exporters.rules.parts import Alert, held

RELEASES = (
    Alert(
        "ReleaseDown",
        "page",
        # Several workers of a line have each their own connection: one that is down is not made good by the others.
        f"min by (line, release) ({held('redrabbit_release_up')}) == 0",
        "{{ $labels.line }}: no verdict reaches {{ $labels.release }}",
        "Line {{ $labels.line }} cannot reach {{ $labels.release }}: its parts are treated by the fail-safe, whatever is wrong with them.",
        wait="1m",
        linger="5m",
        dashboard="machine",
    ),
    Alert(
        "VerdictsLate",
        "ticket",
        "sum by (line, release) (increase(redrabbit_release_failsafe_total[10m])) > 0",
        "{{ $labels.line }}: verdicts come too late for {{ $labels.release }}",
        "{{ $value | humanize }} verdicts of line {{ $labels.line }} had not reached {{ $labels.release }} by their deadline in ten minutes: "
        "the fail-safe held for their parts.",
        dashboard="machine",
    ),
)
