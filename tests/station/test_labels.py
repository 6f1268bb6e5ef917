"""Labels over HTTP: durable when answered, idempotent, and refused with a reason that stops no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from service.errors import LedgerUnavailable
from service.ports import LabelReceipt
from service.records import Label
from tests.station.conftest import OTHER, Station


def _label(part_id: object = "p1", label: object = "crack", **more: object) -> dict[str, Any]:
    return {"part_id": part_id, "label": label, "inspector": "ines", **more}


def test_a_label_is_in_the_ledger_when_it_is_answered(station: Station) -> None:
    """The receipt says recorded; the row is there, with the station's time."""
    station.part("p1")
    answer = station.client().post("/v1/labels", json=_label())
    assert (answer.status_code, answer.json()["status"]) == (200, "recorded")
    (row,) = station.ledger.labels_after(0, 10)
    assert row.label == Label("p1", "crack", "ines", station.clock.now)


def test_the_same_label_again_is_no_change_and_a_correction_is_a_new_row(station: Station) -> None:
    """Retries cost nothing; history is kept."""
    station.part("p1")
    client = station.client()
    statuses = [client.post("/v1/labels", json=_label(label=word)).json()["status"] for word in ("crack", "crack")]
    station.clock.now += 1
    statuses.append(client.post("/v1/labels", json=_label(label="good")).json()["status"])
    assert statuses == ["recorded", "unchanged", "recorded"]
    assert [row.label.label for row in station.ledger.labels_after(0, 10)] == ["crack", "good"]


def test_a_label_that_comes_before_its_part_waits(station: Station) -> None:
    """It is recorded at once, and the status says what it waits for."""
    answer = station.client().post("/v1/labels", json=_label())
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    assert len(station.ledger.labels_after(0, 10)) == 1


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (_label(part_id="../../etc/passwd"), "part_id"),
        (_label(part_id="a..b"), "part_id"),
        (_label(part_id="a\x00b"), "part_id"),
        (_label(part_id="p" * 10_000), "part_id"),
        (_label(part_id="p'; DROP TABLE labels;--"), "part_id"),
        (_label(part_id="\ud800"), "part_id"),
        (_label(part_id=None), "part_id"),
        (_label(part_id=["p1"]), "part_id"),
        (_label(label="scratch"), "label"),
        (_label(label=["good"]), "label"),
        (_label(label={}), "label"),
        (_label(label=None), "label"),
        (_label(inspector="<script>"), "inspector"),
        (_label(inspector=""), "inspector"),
        (_label(inspector="i" * 100), "inspector"),
        (_label(labelled_at="yesterday"), "labelled_at"),
        (_label(labelled_at="2026-01-01T00:00:00"), "labelled_at"),
        (_label(labelled_at=10**400), "labelled_at"),
        (_label(labelled_at=True), "labelled_at"),
        (_label(labelled_at=12), "labelled_at"),
        (_label(labelled_at="nan"), "labelled_at"),
        (_label(labelled_at="2099-01-01T00:00:00Z"), "future"),
        ("p1", "part_id"),
        (7, "part_id"),
    ],
)
def test_a_bad_label_is_refused_with_its_reason_and_stops_no_other(station: Station, bad: object, word: str) -> None:
    """Alone it is 422; among others the good ones are taken."""
    station.part("p2")
    client = station.client()
    as_json = {"Content-Type": "application/json"}
    alone = client.post("/v1/labels", content=json.dumps(bad), headers=as_json)
    assert alone.status_code == 422 and alone.json()["status"] == "refused" and word in alone.json()["reason"]
    answer = client.post("/v1/labels", content=json.dumps([bad, _label(part_id="p2")]), headers=as_json)
    assert answer.status_code == 200
    assert [receipt["status"] for receipt in answer.json()] == ["refused", "recorded"]
    echoed = alone.json()["part_id"]
    assert len(echoed) <= 128 and (echoed == "p1" if isinstance(bad, dict) and bad["part_id"] == "p1" else True)


def test_a_body_that_is_no_json_is_refused(station: Station) -> None:
    """With 4xx, not with a traceback."""
    answer = station.client().post("/v1/labels", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_more_labels_than_allowed_are_refused_together(station: Station) -> None:
    """Ten thousand at once is the limit."""
    assert station.client().post("/v1/labels", json=[_label()] * 10_001).status_code == 413


def test_the_time_may_be_given_in_two_ways(station: Station) -> None:
    """Seconds, or ISO 8601 with its zone."""
    station.part("p1")
    for at in (1_700_000_000, "2023-11-14T23:13:20+01:00"):
        station.client().post("/v1/labels", json=_label(labelled_at=at, inspector=f"i{str(at)[:3]}"))
    assert {row.label.labelled_at for row in station.ledger.labels_after(0, 10)} == {1_700_000_000.0}


class Full:
    """A ledger that takes no label."""

    def add_labels(self, labels: Sequence[Label], client: str = "") -> Sequence[LabelReceipt]:
        raise LedgerUnavailable("/srv/secret/ledger.db: disk full")


def test_nothing_is_acknowledged_while_the_ledger_takes_nothing(start: Callable[..., Station]) -> None:
    """503 with a time to come back, and not a word about paths."""
    station = start(labels=Full())
    answer = station.client().post("/v1/labels", json=_label())
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert "secret" not in answer.text


def test_an_inspectors_token_labels_under_its_own_name(station: Station) -> None:
    """Also when no name is given; never for somebody else."""
    station.part("p1")
    client = station.client(station.token("otto", "inspector"))
    assert client.post("/v1/labels", json={"part_id": "p1", "label": "good"}).json()["status"] == "recorded"
    assert "otto" in client.post("/v1/labels", json=_label()).json()["reason"]
    assert [row.label.inspector for row in station.ledger.labels_after(0, 10)] == ["otto"]


def test_a_token_of_one_line_labels_no_other(station: Station) -> None:
    """Neither parts of another line nor parts that nobody knows yet."""
    station.part("mine")
    station.part("theirs", line=OTHER)
    client = station.client(station.token("eva", "engineer", "a"))
    found = client.post("/v1/labels", json=[_label("mine"), _label("theirs", "dent"), _label("new")]).json()
    assert [receipt["status"] for receipt in found] == ["recorded", "refused", "refused"]


def test_a_class_of_another_line_is_refused(station: Station) -> None:
    """The part's own line says which words there are."""
    station.part("p1")
    assert "crack, good, unsure" in station.client().post("/v1/labels", json=_label(label="dent")).json()["reason"]
