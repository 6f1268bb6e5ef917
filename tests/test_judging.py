"""How a worker comes by its models: admitted first, from line.yaml or the models folder, and drawn for who asks where they look."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from service.cli import judging
from service.errors import InvalidInput
from service.ledger.store import SqlLedger, open_ledger
from service.model.shelf import Shelf
from service.records import ModelOrder, Role, Taken
from service.settings import Settings, load
from service.thresholds import parse
from tests.line import LINE, Counts, picture
from tests.model.test_model import SAYS, SHIPPED, _toy

ONE, TWO = (_toy(SAYS | {"name": name}) for name in ("one", "two"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "one.onnx").write_bytes(ONE)
    config = tmp_path / "line.yaml"
    config.write_text(json.dumps({"line": LINE, "model": "one.onnx", "cameras": {"left": f"folder://{tmp_path}"}}))
    return load(config, {})


@pytest.fixture
def ledger(settings: Settings) -> Iterator[SqlLedger]:
    with closing(open_ledger(settings.ledger, time.time)) as opened:
        yield opened


def _gate(file: Path) -> str | None:
    return "no passing gate" if b'"two"' in file.read_bytes() else None


def test_what_is_not_admitted_does_not_judge(settings: Settings, ledger: SqlLedger) -> None:
    """Neither at the start, where nothing else could, nor by an order, where the old one goes on; the reason is told."""
    rules = parse("{}")
    settings.model.write_bytes(TWO)
    with (
        pytest.raises(InvalidInput, match="no passing gate"),
        judging.judges(settings, b"k" * 32, ledger, lambda: rules, Counts(), "w", _gate),
    ):
        pass
    settings.model.write_bytes(ONE)
    digest = Shelf(settings.models).keep(TWO)
    ledger.order_model(ModelOrder(LINE, Role.ACTIVE, digest, "two", "eva"))
    with judging.judges(settings, b"k" * 32, ledger, lambda: rules, Counts(), "w", _gate) as judges:
        while ledger.model_orders(LINE)[0].open:
            time.sleep(0.05)
        assert judges.active.info.name == "one"
    (order,) = ledger.model_orders(LINE)
    assert order.outcome is Taken.REFUSED and order.why.endswith("no passing gate")


def test_the_configured_model_can_come_back_after_its_file_was_overwritten(
    settings: Settings, ledger: SqlLedger
) -> None:
    """What judges is kept in the models folder, ordered or not."""
    with judging.judges(settings, b"k" * 32, ledger, lambda: parse("{}"), Counts(), "w"):
        pass
    settings.model.write_bytes(b"gone")
    assert Shelf(settings.models).file(sha256(ONE).hexdigest()).read_bytes() == ONE


def test_a_heatmap_is_of_the_model_that_judged_the_part(settings: Settings) -> None:
    """None for a model that has none, or that is not on this machine."""
    shelf = Shelf(settings.models)
    heatmap = judging.heatmaps(settings)
    drawn = heatmap(picture(0.5), shelf.keep(SHIPPED.read_bytes()))
    assert drawn is not None and drawn.startswith(b"\x89PNG")
    assert heatmap(picture(0.5), shelf.keep(ONE)) is None
    assert heatmap(picture(0.5), "f" * 64) is None
