"""Whether the line is inspected, recorded and watched at all."""

from __future__ import annotations

from exporters.rules.parts import HOLD, Alert, firing, held

_LAST_KNOWN = 'last_over_time(redrabbit_ledger_up{job="redrabbit-worker"}[1d])'
_SCRAPE_FAILS = 'on (job, instance) up{job="redrabbit-worker"} == 0'
_STOPPED = f"on (line) {held('redrabbit_worker_stopped', 'freshness')} == 1"
_READ = held('redrabbit_collector_success{collector="snapshot"}')
_COLLECTED = held('redrabbit_collector_success{collector!="snapshot"}')

BATCH = 16
"""Frames that a worker fetches at once: fewer may wait at any moment while it keeps up."""


def _not_inspected(severity: str, chosen: str, by: str, what: str, description: str) -> Alert:
    return Alert(
        "PartsNotInspected",
        severity,
        f"max by (line) (increase(redrabbit_parts_not_inspected_total{chosen}[1h])) > 0",
        f"{{{{ $labels.line }}}}: parts {what}",
        description,
        by=by,
        dashboard="line",
    )


HEALTH = (
    Alert(
        "WorkerDown",
        "page",
        f"max by (line, instance) ({_LAST_KNOWN} and {_SCRAPE_FAILS}) * 0 unless {_STOPPED} "
        f'or max by (instance) (up{{job="redrabbit-worker"}} == 0 unless on (job, instance) {_LAST_KNOWN})',
        "{{ $labels.line }} {{ $labels.instance }}: the worker does not answer",
        "The worker at {{ $labels.instance }} (line {{ $labels.line }}) cannot be scraped: "
        "parts may pass without inspection.",
        wait="1m",
        by="scrape",
        dashboard="machine",
    ),
    Alert(
        "WorkerDown",
        "page",
        # Its last sign of life, held, would call every worker dead while the exporter is: it only keeps up a page that fires.
        "(time() - max by (line) (redrabbit_worker_seen_timestamp_seconds) > 30 "
        f"or time() - max by (line) (last_over_time(redrabbit_worker_seen_timestamp_seconds[{HOLD}])) > 30 "
        f"and on (line) {firing('WorkerDown', 'heartbeat')}) unless {_STOPPED}",
        "{{ $labels.line }}: no sign of life of the worker",
        "No worker of line {{ $labels.line }} has given a sign of life for {{ $value | humanizeDuration }}: "
        "parts may pass without inspection.",
        linger="1m",
        by="heartbeat",
        dashboard="machine",
    ),
    _not_inspected(
        "page",
        '{outcome="pass"}',
        "passed",
        "passed uninspected",
        "Nobody has judged parts of line {{ $labels.line }}, and the line was told to let them pass: their defects are escapes. "
        "Hold them; the station's Today lists them for engineers.",
    ),
    _not_inspected(
        "ticket",
        '{outcome!="pass"}',
        "held",
        "were not inspected",
        "Nobody has judged parts of line {{ $labels.line }}: their pictures did not come, or were none. They were rejected, or the line "
        "was told to stop.",
    ),
    Alert(
        "ModelUngated",
        "ticket",
        f"max by (line) ({held('redrabbit_model_gated')}) == 0",
        "{{ $labels.line }}: the model has not passed the gate",
        "Line {{ $labels.line }} runs a model that the release gate has not passed: somebody let it in with --allow-ungated.",
        wait="5m",
        dashboard="machine",
    ),
    Alert(
        "ExporterDown",
        "page",
        'up{job="redrabbit-exporter"} == 0 or absent(up{job="redrabbit-exporter"})',
        "{{ $labels.instance }}: the exporter does not answer",
        "The exporter {{ $labels.instance }} cannot be scraped: recall is not watched, no page about it can come.",
        wait="1m",
        dashboard="machine",
    ),
    Alert(
        "ExporterDown",
        "page",
        f"{_COLLECTED} == 0",
        "{{ $labels.instance }}: the exporter fails at {{ $labels.collector }}",
        "The exporter {{ $labels.instance }} answers without the figures of {{ $labels.collector }}; its log says why.",
        wait="1m",
        linger="5m",
        by="collector",
        dashboard="machine",
    ),
    Alert(
        "LedgerUnavailable",
        "page",
        f"max by (line) ({held('redrabbit_ledger_up')}) == 0",
        "{{ $labels.line }}: the ledger cannot be written",
        "The worker of line {{ $labels.line }} holds its verdicts back because their record cannot be written.",
        wait="30s",
        linger="5m",
        by="worker",
        dashboard="machine",
    ),
    Alert(
        "LedgerUnavailable",
        "page",
        f"{_READ} == 0",
        "{{ $labels.instance }}: the ledger cannot be read",
        "The exporter {{ $labels.instance }} cannot read the ledger: recall is not watched, no page about it can come.",
        wait="1m",
        linger="5m",
        by="exporter",
        dashboard="machine",
    ),
    Alert(
        "FramesWaiting",
        "ticket",
        f"max by (line, camera) ({held('redrabbit_frames_waiting')}) > {BATCH}",
        "{{ $labels.line }} {{ $labels.camera }}: the workers do not keep up",
        "{{ $value }} frames of {{ $labels.camera }} wait for a worker of line {{ $labels.line }}, and it has never been fewer than a "
        "batch for a quarter of an hour: verdicts come late.",
        wait="15m",
        dashboard="machine",
    ),
    Alert(
        "FramesDead",
        "ticket",
        f"max by (line, camera) ({held('redrabbit_frames_dead')}) > 0",
        "{{ $labels.line }} {{ $labels.camera }}: parts that nobody judged",
        "{{ $value }} frames of {{ $labels.camera }} of line {{ $labels.line }} got no verdict and lie among the dead letters.",
        dashboard="machine",
    ),
    Alert(
        "PicturesNotShipped",
        "ticket",
        f"max by (line) ({held('redrabbit_image_store_up')}) == 0",
        "{{ $labels.line }}: the shared store takes no pictures",
        "Pictures of line {{ $labels.line }} stay on the machine that took them: other stations cannot show them.",
        wait="15m",
        dashboard="machine",
    ),
    Alert(
        "ThresholdsInvalid",
        "ticket",
        f"{held('redrabbit_thresholds_valid', 'thresholds')} == 0",
        "{{ $labels.instance }}: thresholds.yaml cannot be read",
        "The last good thresholds stay in force. `redrabbit check` names the key and the value.",
        dashboard="machine",
    ),
    Alert(
        "Watchdog",
        "info",
        "vector(1)",
        "Alerting works",
        "Always fires. Whoever receives it must call for help when it stops coming.",
        dashboard="machine",
    ),
)
