"""The machines: speed, cameras, ledger, models, and whether exporter and label server do their work."""

from __future__ import annotations

from exporters.dashboards.parts import (
    BAD,
    CARE,
    GOOD,
    PLANT,
    UP_OR_DOWN,
    YES_OR_NO,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    Step,
    Variable,
    by_name,
    of,
    quantile,
    rate,
)

LINES = (PLANT, 'line=~"$line"')
NAME = by_name("line")
CAMERA = f"{NAME} {by_name('camera')}"
UP = f"max by (plant, line, camera) ({of('camera_up', *LINES)})"

SPEED = (
    Panel(
        Kind.SERIES,
        "Throughput",
        "parts/s",
        "Parts inspected, by verdict; audit is a passed part that was drawn. At 0 the line stands or its parts pass without inspection.",
        "WorkerDown",
        (Query(f"sum by (verdict) ({rate('parts_total', *LINES)})", by_name("verdict")),),
        width=8,
    ),
    Panel(
        Kind.SERIES,
        "Time per part, 99 % within, by stage",
        "s",
        "Which stage holds the line up. record: the disk. infer: the model or the machine's load. release: whoever takes the verdict.",
        "LedgerUnavailable",
        (Query(quantile(0.99, "part_seconds", "stage", *LINES), by_name("stage")),),
        width=8,
    ),
    Panel(
        Kind.SERIES,
        "Frame to released verdict",
        "s",
        "Time that a part takes all in all. Above the line's cycle time frames pile up or are dropped.",
        "WorkerDown",
        tuple(
            Query(quantile(share, "part_seconds", "", *LINES, 'stage="total"'), name)
            for share, name in ((0.5, "half within"), (0.95, "95 % within"), (0.99, "99 % within"))
        ),
        width=8,
    ),
    Panel(
        Kind.SERIES,
        "Frames dropped",
        "frames/s",
        "Frames that got no verdict: their parts were not inspected. Broken pictures: the camera. A full line: fewer frames or a faster "
        "machine. 0 only while the worker answers and has dropped none.",
        "CameraDown",
        (
            Query(
                f"sum by (plant, line, camera, reason) ({rate('frames_dropped_total', *LINES)}) "
                f"or on (plant, line, camera) 0 * {UP}",
                f"{CAMERA} {by_name('reason')}",
            ),
        ),
        width=12,
        height=6,
    ),
    Panel(
        Kind.SERIES,
        "Sign of life of the worker",
        "s",
        "How long ago. Above 30 s nobody inspects the line, unless its cameras came to their end.",
        "WorkerDown",
        (Query(f"time() - max by (plant, line) ({of('worker_seen_timestamp_seconds', *LINES)})", NAME),),
        width=12,
        height=6,
        steps=(Step(None, GOOD), Step(30, BAD)),
    ),
)

CAMERAS = (
    Panel(
        Kind.STATES,
        "Cameras",
        "none",
        "Whether each delivers. Down: stop the line or inspect by hand, then look at power, cable, network. It reconnects by itself.",
        "CameraDown",
        (Query(UP, CAMERA),),
        height=6,
        words=UP_OR_DOWN,
    ),
    Panel(
        Kind.SERIES,
        "Age of the newest frame",
        "s",
        "A camera that is up and whose newest frame grows old shows a picture that has stopped.",
        "CameraDown",
        (
            Query(
                f"time() - max by (plant, line, camera) ({of('camera_last_frame_timestamp_seconds', *LINES)})", CAMERA
            ),
        ),
        height=6,
    ),
)


def _limit(kind: str, name: str = "degraded beyond") -> Query:
    chosen = of("camera_threshold_ratio", *LINES, f'kind="{kind}"')
    return Query(f"max by (kind) ({chosen})", name)


def _seen(title: str, kind: str, about: str) -> Panel:
    """Against how the camera saw when the model took over."""
    found = Query(f"max by (plant, line, camera) ({of(f'camera_{kind}_ratio', *LINES)})", CAMERA)
    return Panel(Kind.SERIES, title, "percentunit", about, "CameraDegraded", (found, _limit(kind)), width=8, height=6)


_PER_CAMERA = "sum by (plant, line, camera)"

PICTURES = (
    _seen(
        "Fine detail, as when the model took over",
        "sharpness",
        "Strength of the finest detail against brightness, as a share of what it was. Less is out of focus or dirty; more than the "
        "limit's inverse is noise. A gap: the first hundred pictures under the model in force are still being looked at.",
    ),
    _seen(
        "Brightness, as when the model took over",
        "brightness",
        "As a share of what it was. Look at light and exposure. A meant change is taken up by `redrabbit cameras retake`.",
    ),
    _seen(
        "Overexposed pixels, beyond those of then",
        "overexposed",
        "Share of the pixels at the upper end of the scale, where no defect can be seen. Look at light, reflections, exposure.",
    ),
    Panel(
        Kind.SERIES,
        "The same picture again",
        "short",
        "Newest pictures in a row that are the very same: a sensor gives none. At the limit the camera is frozen and somebody is paged.",
        "CameraDegraded",
        (
            Query(f"max by (plant, line, camera) ({of('camera_repeated_frames', *LINES)})", CAMERA),
            Query(f"max({of('camera_threshold_frames', *LINES)})", "frozen from"),
        ),
        width=12,
        height=6,
    ),
    Panel(
        Kind.SERIES,
        "Triggers without a picture",
        "percentunit",
        "Parts that were never photographed, by the running number of the trigger, where the camera or the sender gives one. Each is an escape.",
        "CameraDegraded",
        (
            Query(
                f"1 - {_PER_CAMERA} ({rate('camera_frames_total', *LINES)}) "
                f"/ ({_PER_CAMERA} ({rate('camera_triggers_total', *LINES)}) > 0)",
                CAMERA,
            ),
            _limit("missed"),
        ),
        width=12,
        height=6,
    ),
)


def _frames(title: str, about: str, alert: str, metric: str) -> Panel:
    """Of a JetStream."""
    found = f"max by (plant, line, camera) ({of(metric, *LINES)}) or 0 * {UP}"
    where = f"In the JetStream, by camera; 0 without one. {about}"
    return Panel(Kind.SERIES, title, "short", where, alert, (Query(found, CAMERA),), width=8, height=5)


RELEASE = f"{NAME} {by_name('release')}"
RELEASES = (
    Panel(
        Kind.STATES,
        "Verdicts reach the line's controls",
        "none",
        "Whether each machine that verdicts are released to can be reached; up without one. Down: every part is treated by the fail-safe.",
        "ReleaseDown",
        (
            Query(
                f"min by (plant, line, release) ({of('release_up', *LINES)}) "
                f"or 1 + 0 * max by (plant, line) ({of('ledger_up', *LINES)})",
                RELEASE,
            ),
        ),
        height=6,
        words=UP_OR_DOWN,
    ),
    Panel(
        Kind.SERIES,
        "Verdicts that came too late",
        "parts/s",
        "Parts for which the fail-safe held, as their verdict had not arrived by the deadline; 0 without a machine.",
        "VerdictsLate",
        (
            Query(
                f"sum by (plant, line, release) ({rate('release_failsafe_total', *LINES)}) "
                f"or 0 * max by (plant, line) ({of('ledger_up', *LINES)})",
                RELEASE,
            ),
        ),
        height=6,
    ),
)

MODEL = (
    Panel(
        Kind.STATES,
        "Ledger",
        "none",
        "Whether the worker can write its records. Down: it holds the line, as no verdict leaves before its record is on disk. Make room.",
        "LedgerUnavailable",
        (Query(f"min by (plant, line) ({of('ledger_up', *LINES)})", NAME),),
        width=12,
        height=5,
        words=UP_OR_DOWN,
    ),
    Panel(
        Kind.STATES,
        "Model has passed the gate",
        "none",
        "No: somebody let it in with --allow-ungated. `redrabbit models rollback` brings back the one before.",
        "ModelUngated",
        (Query(f"min by (plant, line) ({of('model_gated', *LINES)})", NAME),),
        width=12,
        height=5,
        words=YES_OR_NO,
    ),
    Panel(
        Kind.TABLE,
        "Models in force",
        "none",
        "Which model judges, which is a shadow, and on what it runs. A provider that is not the wished one is slow, not wrong.",
        "ModelUngated",
        (Query(f"max by (plant, line, role, model, provider, digest) ({of('model_info', *LINES)})", ""),),
        width=16,
        height=6,
    ),
    Panel(
        Kind.SERIES,
        "Parts that the shadow missed",
        "parts/s",
        "Parts that the shadow did not judge because it could not keep up. The line itself does not wait for it.",
        "ModelUngated",
        (Query(f"sum by (plant, line) ({rate('shadow_dropped_total', *LINES)})", NAME),),
        width=8,
        height=6,
    ),
    Panel(
        Kind.SERIES,
        "Pictures on this machine alone",
        "short",
        "Kept pictures that the shared store has not taken yet; 0 without one. Rising: other stations cannot show them; see to the store.",
        "PicturesNotShipped",
        (
            Query(
                f"max by (plant, line) ({of('images_waiting', *LINES)}) "
                f"or 0 * max by (plant, line) ({of('ledger_up', *LINES)})",
                NAME,
            ),
        ),
        width=8,
        height=5,
    ),
    _frames(
        "Frames that wait for a worker",
        "It comes back to 0 between bursts, or the workers do not keep up: start another.",
        "FramesWaiting",
        "frames_waiting",
    ),
    _frames("Frames that nobody judged", "Look at them, then empty the stream.", "FramesDead", "frames_dead"),
)

COLLECTOR = by_name("collector")
EXPORTER = (
    Panel(
        Kind.STATES,
        "Collectors",
        "none",
        "Down: the exporter answers without those figures, and pages that need them stand as they were. Its log says why.",
        "ExporterDown",
        (Query(f"min by (collector) ({of('collector_success', PLANT)})", COLLECTOR),),
        width=8,
        words=UP_OR_DOWN,
    ),
    Panel(
        Kind.SERIES,
        "Time per collector",
        "s",
        "snapshot reads the ledger and computes everything. Near the scrape's time limit: scrape less often.",
        "ExporterDown",
        (Query(f"max by (collector) ({of('collector_seconds', PLANT)})", COLLECTOR),),
        width=8,
    ),
    Panel(
        Kind.STATES,
        "Processes that answer",
        "none",
        "Exporter, worker and station of each machine. Start again what is down: the ledger has everything.",
        "ExporterDown",
        (
            Query(
                f'min by (job, instance) (up{{{PLANT},job=~"redrabbit-.*"}})', f"{by_name('job')} {by_name('instance')}"
            ),
        ),
        width=8,
        words=UP_OR_DOWN,
    ),
)

STATION = (
    Panel(
        Kind.STAT,
        "thresholds.yaml is valid",
        "none",
        "No: it was edited badly and the last good one is in force. `redrabbit check` names the key.",
        "ThresholdsInvalid",
        (Query(f"min({of('thresholds_valid', PLANT)})", "valid"),),
        width=4,
        height=6,
        words=YES_OR_NO,
    ),
    Panel(
        Kind.STAT,
        "Labels without a part",
        "short",
        "Labels whose part is not in the ledger. Some come before their part; if they stay, somebody sends wrong part ids.",
        "DefectRecallUnknown",
        (Query(f"sum({of('labels_without_part', PLANT)})", "labels"),),
        width=4,
        height=6,
        steps=(Step(None, GOOD), Step(100, CARE)),
    ),
    Panel(
        Kind.SERIES,
        "Label server: answers",
        "requests/s",
        "By HTTP status. 503: the ledger could not be read or written; who sent labels keeps them and sends them again.",
        "LedgerUnavailable",
        (Query(f"sum by (status) ({rate('station_request_seconds_count', PLANT)})", by_name("status")),),
        width=5,
        height=6,
    ),
    Panel(
        Kind.SERIES,
        "Label server: 99 % within",
        "s",
        "Time per answer. A label is answered once it is on disk: a slow disk shows here.",
        "LedgerUnavailable",
        (Query(quantile(0.99, "station_request_seconds", "route", PLANT), by_name("route")),),
        width=6,
        height=6,
    ),
    Panel(
        Kind.SERIES,
        "Labels refused, answers without ledger",
        "short",
        "Since the station began, by reason: an unknown class or part is the sender's to mend. 0 only while the station answers.",
        "DefectRecallUnknown",
        (
            Query(
                f"sum by (reason) ({of('labels_rejected_total', PLANT)}) "
                f"or on () 0 * sum({of('station_ledger_unavailable_total', PLANT)})",
                f"refused {by_name('reason')}",
            ),
            Query(f"sum({of('station_ledger_unavailable_total', PLANT)})", "answers without ledger"),
        ),
        width=5,
        height=6,
    ),
)

BOARD = Board(
    "redrabbit-machine",
    "redrabbit: machine",
    "What the lines run on: speed, cameras, releases, ledger, models, exporter and label server.",
    (
        Variable("plant", "redrabbit_ledger_up", every=True),
        Variable("line", of("ledger_up", PLANT), every=True),
    ),
    (
        Row("Speed", SPEED),
        Row("Cameras", CAMERAS),
        Row("Pictures", PICTURES),
        Row("Releases", RELEASES),
        Row("Ledger and models", MODEL),
        Row("Exporter", EXPORTER),
        Row("Thresholds and label server", STATION),
    ),
)
