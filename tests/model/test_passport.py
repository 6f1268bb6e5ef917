"""The gate's word travels with the model, and a changed byte breaks it."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.gate.gate import stamp
from service.model.passport import Passport, bare, digest, passport, refusal, stamped
from tests.model.graphs import convolutions, passed, saved

CONTENT: bytes = convolutions({"out": 2, "kernel": 3}).SerializeToString()


def issued(content: bytes, verdict: str = "pass") -> Passport:
    found = passport(passed(content, verdict), "m")
    assert found is not None
    return found


def test_a_stamped_model_is_the_same_model() -> None:
    """Its own bytes, its digest and its graph stay; a second stamp takes the place of the first."""
    once = passed(CONTENT)
    assert bare(once) == CONTENT and digest(once) == sha256(CONTENT).hexdigest()
    assert onnx.load_model_from_string(once).graph == onnx.load_model_from_string(CONTENT).graph
    assert passport(once, "m") == issued(CONTENT)
    twice = stamped(once, issued(CONTENT, "refuse"))
    found = passport(twice, "m")
    assert found is not None and found.verdict == "refuse" and bare(twice) == CONTENT


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_breaks_it(data: st.DataObject) -> None:
    """Wherever it is, in the model or in the passport: it is refused, or there is no passport any more."""
    whole = bytearray(passed(CONTENT))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with suppress(InvalidInput):
        assert passport(bytes(whole), "m") is None


def test_who_may_judge(tmp_path: Path) -> None:
    """Only a model that passed: not one without a passport, with another verdict, or changed since."""
    file = saved(convolutions({"out": 2, "kernel": 3}), tmp_path)
    assert "has not passed the gate" in (refusal(file.read_bytes()) or "")
    for verdict, says in (
        ("refuse", "the gate refused it: chance: Because."),
        ("undecided", "the gate could not decide"),
    ):
        stamp(file, "d" * 64, 1.0, issued(CONTENT, verdict).checks)
        assert says in (refusal(file.read_bytes()) or "")
    stamp(file, "d" * 64, 1.0, issued(CONTENT).checks)
    assert refusal(file.read_bytes()) is None
    file.write_bytes(file.read_bytes().replace(b"conv0", b"conv1"))
    assert "was changed after the gate looked at it" in (refusal(file.read_bytes()) or "")


def test_a_stamp_that_cannot_be_written_leaves_the_model(tmp_path: Path) -> None:
    """One line, and the file as it was."""
    file = saved(convolutions({"out": 2, "kernel": 3}), tmp_path)
    with pytest.raises(InvalidInput):
        stamp(tmp_path / "missing" / "model.onnx", "d" * 64, 1.0, issued(CONTENT).checks)
    assert file.read_bytes() == CONTENT and list(tmp_path.iterdir()) == [file]
