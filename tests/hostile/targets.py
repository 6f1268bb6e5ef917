"""What is fuzzed: functions that take any bytes and must end without an error. Shared by atheris and by the short run of `make test`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from pydantic import ValidationError

from service import thresholds
from service.cameras.ids import valid_part_id
from service.errors import BadImage, InvalidInput
from service.images import decode
from service.model.contract import Contract, first
from service.ports import LabelReceipt
from service.records import Label
from service.station.access import Caller
from service.station.csvfile import FORMULA, import_labels, safe
from service.station.desk import PART_ID, Desk
from service.station.meter import Unmetered
from tests.line import MODEL

ONE_LINE = 1000
NOW = 1_772_366_400.0


def said(error: BaseException) -> None:
    """What somebody reads: one line, and not a long one."""
    text = str(error)
    assert "\n" not in text and len(text) < ONE_LINE, text[:200]


def pictures(data: bytes) -> None:
    try:
        image = decode(data, 1_000_000)
    except BadImage as fault:
        assert fault.reason in BadImage.REASONS
        said(fault)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


class _Ledger:
    """Takes everything; a part whose id is short is known."""

    def parts(self, part_ids: Sequence[str]) -> Mapping[str, Any]:
        return {}

    def line_state(self) -> tuple[list[Any], list[Any], list[Any]]:
        return [MODEL], [], []

    def add_labels(self, labels: Sequence[Label], client: str = "") -> list[LabelReceipt]:
        for label in labels:
            assert valid_part_id(label.part_id)
            assert label.label in ("good", "crack", "unsure")
            assert not label.inspector.startswith(FORMULA)
            assert 0 < label.labelled_at <= NOW + 60
        return [LabelReceipt(label.part_id, "waiting") for label in labels]


def labels(data: bytes) -> None:
    ledger: Any = _Ledger()
    desk = Desk(ledger, ledger, lambda: NOW, Unmetered())
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(data)
        file.flush()
        try:
            done = import_labels(Path(file.name), desk, Caller("otto", "admin"))
        except InvalidInput as error:
            said(error)
        else:
            assert done.counts == Counter(done.counts)
            for _, reason in done.refused:
                assert "\n" not in reason and len(reason) < ONE_LINE
    assert not any(cell.startswith(FORMULA) for cell in safe([data.decode("utf-8", "replace")]))


def thresholds_yaml(data: bytes) -> None:
    try:
        found = thresholds.parse(data.decode("utf-8", "replace"))
    except InvalidInput as error:
        said(error)
    else:
        assert 0 < found.line("a").false_page_every <= thresholds.LONGEST


def metadata(data: bytes) -> None:
    try:
        contract = Contract.model_validate_json(data)
    except ValidationError as error:
        said(ValueError(first(error)))
    else:
        assert contract.good in contract.classes
        assert all(0 < threshold <= 1 for threshold in contract.thresholds.values())
        assert 0 < contract.temperature < float("inf")


def part_ids(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert valid_part_id(text) == (PART_ID.fullmatch(text) is not None)
    if valid_part_id(text):
        path = PurePosixPath("/var/pictures") / text
        assert path.parent == PurePosixPath("/var/pictures") and path.name == text
        assert unquote(quote(text)) == text and text.isascii() and text.isprintable()
        assert safe([text]) == [text]


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "pictures": pictures,
    "labels": labels,
    "thresholds": thresholds_yaml,
    "metadata": metadata,
    "part-ids": part_ids,
}
