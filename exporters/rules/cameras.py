"""Cameras that deliver nothing, and cameras that see worse than when the model took over."""

from __future__ import annotations

from exporters.rules.parts import Alert, held

_NAMED = "{{ $labels.line }}: camera {{ $labels.camera }}"


def _camera(figure: str) -> str:
    return f"max by (line, camera) ({held(f'redrabbit_camera_{figure}')})"


def _camera_limit(kind: str) -> str:
    series = held(f'redrabbit_camera_threshold_ratio{{kind="{kind}"}}', "thresholds")
    return f"on (line) group_left () max by (line) ({series})"


def _outside(kind: str) -> str:
    """Less than the threshold, or more than its inverse."""
    found = _camera(f"{kind}_ratio")
    return f"{found} < {_camera_limit(kind)} or {found} > {_camera_limit(kind).replace('max by', '1 / max by')}"


def _degraded(by: str, expr: str, description: str) -> Alert:
    return Alert(
        "CameraDegraded",
        "ticket",
        expr,
        f"{_NAMED} sees worse: {by}",
        f"Camera {{{{ $labels.camera }}}} of line {{{{ $labels.line }}}} {description}",
        wait="2m",
        linger="5m",
        by=by,
        dashboard="machine",
    )


CAMERAS = (
    Alert(
        "CameraDown",
        "page",
        f"{_camera('up')} == 0",
        "{{ $labels.line }}: camera {{ $labels.camera }} is down",
        "Camera {{ $labels.camera }} of line {{ $labels.line }} delivers no pictures: its parts are not inspected.",
        wait="1m",
        linger="5m",
        dashboard="machine",
    ),
    Alert(
        "CameraDegraded",
        "page",
        f"{_camera('repeated_frames')} >= on (line) group_left () "
        f"max by (line) ({held('redrabbit_camera_threshold_frames', 'thresholds')})",
        f"{_NAMED} is frozen",
        "Camera {{ $labels.camera }} of line {{ $labels.line }} gave the very same picture {{ $value }} times in a row: "
        "its parts are not inspected.",
        linger="5m",
        by="frozen",
        dashboard="machine",
    ),
    _degraded(
        "sharpness",
        _outside("sharpness"),
        "has {{ $value | humanizePercentage }} of the fine detail that it had when the model took over: "
        "less is out of focus or dirty, more is noise.",
    ),
    _degraded(
        "brightness",
        _outside("brightness"),
        "gives pictures of {{ $value | humanizePercentage }} of the brightness of when the model took over.",
    ),
    _degraded(
        "overexposed",
        f"{_camera('overexposed_ratio')} > {_camera_limit('overexposed')}",
        "overexposes {{ $value | humanizePercentage }} of its pixels more than when the model took over.",
    ),
    _degraded(
        "missed",
        "1 - sum by (line, camera) (increase(redrabbit_camera_frames_total[10m])) / "
        f"sum by (line, camera) (increase(redrabbit_camera_triggers_total[10m]) > 0) > {_camera_limit('missed')}",
        "gave no picture for {{ $value | humanizePercentage }} of its triggers in ten minutes: those parts are not inspected.",
    ),
)
