"""One night, from a clean start: what reaches whoever is on call, and what does not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import onnx
import pytest

from service.model.passport import bare
from tests.e2e.night import LINE, MODEL, night
from tests.servers import until

PAGE = "DefectRecallBelowThreshold"


def _worse(file: Path) -> Path:
    """The same network, deciding so late that hardly a defect is rejected."""
    model = onnx.load_model_from_string(bare(MODEL.read_bytes()))
    said = next(one for one in model.metadata_props if one.key == "redrabbit")
    said.value = json.dumps(json.loads(said.value) | {"name": "late", "thresholds": {"defective": 0.97}})
    onnx.save(model, file)
    return file


@pytest.mark.timeout(900)
def test_the_story_of_a_night(tmp_path: Path) -> None:
    """Healthy; a bad model; one page. Labels stop; the page stands. Rolled back; it clears once. The worker hangs; that alone is told."""
    with night(tmp_path) as line:
        until(
            lambda: line.value("redrabbit_closed_buckets") >= 12, "a healthy quarter of an hour, in short", patience=120
        )
        assert "Watchdog" in line.stack.receiver.names()
        assert not [post for post in line.stack.receiver.posts if post.path == "/pager"]

        done = line.redrabbit("models", "activate", str(_worse(tmp_path / "late.onnx")), "--by", "eva")
        assert done.returncode == 0, done.stderr
        until(lambda: line.pages(PAGE), "the page", patience=180)
        page = line.stack.receiver.named(PAGE)
        assert page is not None
        _is_told_whole(page)

        line.labelling.clear()
        until(lambda: line.stack.receiver.named("DefectRecallUnknown"), "that nobody labels", patience=180)
        assert line.firing(PAGE) and not line.ended(PAGE)

        line.labelling.set()
        assert line.redrabbit("models", "rollback", "--by", "eva").returncode == 0
        until(lambda: line.ended(PAGE), "the page to clear", patience=240)
        until(lambda: not line.firing("DefectRecallUnknown"), "the labels to be back", patience=120)
        assert len(line.ended(PAGE)) == 1 and not line.firing(PAGE)
        assert len({json.loads(post.body)["groupKey"] for post in line.pages(PAGE)}) == 1

        told = len(line.stack.receiver.posts)
        with line.stopped("worker"):
            until(lambda: line.pages("WorkerDown"), "the worker", patience=120)
            time.sleep(10)
        since = [post for post in line.stack.receiver.posts[told:] if post.path == "/pager"]
        assert {name for post in since for name in post.names} == {"WorkerDown"}
        assert len({json.loads(post.body)["groupKey"] for post in since}) == 1


def _is_told_whole(page: dict[str, dict[str, str]]) -> None:
    """Line, defect, figures, and links that lead there."""
    labels, says = page["labels"], page["annotations"]
    assert (labels["line"], labels["defect"], labels["severity"]) == (LINE, "defective", "page")
    assert "defects escape" in says["summary"] and "60%" in says["description"] and LINE in says["description"]
    assert says["runbook_url"].endswith(f"/runbook#{PAGE.lower()}")
    assert says["dashboard_url"].endswith(f"/d/redrabbit-line?var-line={LINE}&var-defect=defective")
    assert says["station_url"]


@pytest.mark.timeout(400)
def test_whoever_is_called_about_cameras_and_processes_is_told_which_and_what_to_do(tmp_path: Path) -> None:
    """A camera that never comes, an exporter that hangs: each page arrives with its name, a sentence and its section of the runbook."""
    with night(tmp_path, side="rtsp://127.0.0.1:9/none#stale=2s") as line:
        until(lambda: line.pages("CameraDown"), "the camera", patience=120)
        _tells(line.stack.receiver.named("CameraDown"), {"line": LINE, "camera": "side"}, "delivers no pictures")
        with line.stopped("exporter"):
            until(lambda: line.pages("ExporterDown"), "the exporter", patience=120)
        instance = line.addresses["exporter"]
        _tells(line.stack.receiver.named("ExporterDown"), {"instance": instance}, "recall is not watched")
        until(lambda: line.ended("ExporterDown"), "its return", patience=120)
        assert "Watchdog" in line.stack.receiver.names() and not line.pages(PAGE)


def _tells(alert: dict[str, dict[str, str]] | None, labels: dict[str, str], words: str) -> None:
    assert alert is not None and labels.items() <= alert["labels"].items() and alert["labels"]["severity"] == "page"
    says = alert["annotations"]
    assert words in says["description"] and all(value in says["summary"] for value in labels.values())
    assert says["runbook_url"].endswith(f"/runbook#{alert['labels']['alertname'].lower()}")
    assert "/d/redrabbit-machine" in says["dashboard_url"]
