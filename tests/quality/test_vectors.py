"""Every case of the statistics' reference vectors, to 1e-9."""

import json
from pathlib import Path

import pytest

from service.quality import Evidence, drawn, estimate, weights
from service.quality.evidence import bets
from service.quality.recall import proportion, state

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
close = pytest.approx


def misses(raw: dict[str, int]) -> dict[int, int]:
    return {int(weight): count for weight, count in raw.items()}


def test_mixed_weights_give_the_reference_estimate_and_limits() -> None:
    """Recall, both limits, precision and the state of the first vector."""
    case = VECTORS["vector1_mixed_weights"]
    given, expected = case["input"], case["expect"]
    recall = estimate(given["TP"], misses(given["misses_by_weight"]), given["w_max_in_window"])
    assert recall.point == close(expected["recall"], abs=1e-9)
    assert recall.lower == close(expected["recall_lower"], abs=1e-9)
    assert recall.upper == close(expected["recall_upper"], abs=1e-9)
    assert recall.events == expected["m"]
    assert recall.denominator - recall.numerator == expected["F"]
    assert state(recall, 0.80) == expected["state_vs_0.80"]
    precision = proportion(given["TP"], given["TP"] + given["FP"])
    assert precision.point == close(expected["precision"], abs=1e-9)
    assert [precision.lower, precision.upper] == close(expected["precision_interval"], abs=1e-9)


@pytest.mark.parametrize("case", VECTORS["vector2_edges"])
def test_edges_have_the_reference_limits(case: dict) -> None:
    """No misses, no hits, neither, and one common weight."""
    given, expected = case["input"], case["expect"]
    arguments = (given["TP"], misses(given["misses_by_weight"]), given["w_max_in_window"])
    recall = estimate(*arguments)
    assert recall.point == (None if expected["recall"] is None else close(expected["recall"], abs=1e-9))
    assert recall.lower == close(expected["recall_lower"], abs=1e-9)
    assert recall.upper == close(expected["recall_upper"], abs=1e-9)
    if "recall_lower_one_sided_95" in expected:
        assert estimate(*arguments, confidence=0.90).lower == close(expected["recall_lower_one_sided_95"], abs=1e-9)


@pytest.mark.parametrize("corrected", [False, True])
def test_evidence_follows_the_reference_bucket_by_bucket(corrected: bool) -> None:
    """The meter, its page and its new start, before and after a correction that takes a miss back."""
    case = VECTORS["vector3_esr"]
    given = case["input"]
    expected = case["after_correction"] if corrected else case["expect"]
    meter = Evidence(given["R0"], given["budget"], given["c"])
    values, pages = [], []
    for index, bucket in enumerate(given["buckets"]):
        missed = {} if corrected and index == 3 else misses(bucket["misses_by_weight"])
        values.append(meter.close(bucket["TP"], missed))
        if values[-1] >= given["c"]:
            pages.append(index)
    assert values == close(expected["evidence"], rel=1e-9)
    assert pages == expected["page_at_bucket_index"]
    assert meter.paged
    assert bets(given["R0"], given["budget"]) == close(case["expect"]["lambda"], rel=1e-12)


def test_the_draw_takes_the_reference_parts() -> None:
    """The HMAC draw at weights 50 and 10 over 2,000 part ids."""
    case = VECTORS["vector4_draw"]
    key = case["key_utf8"].encode()
    ids = [f"LINE1-{number:06d}" for number in range(2000)]
    assert [part for part in ids if drawn(key, part, 50)] == case["drawn_w50"]
    assert sum(drawn(key, part, 10) for part in ids) == case["count_w10"]


def test_weights_spend_the_budget_as_the_reference_does() -> None:
    """Half the budget uniform, the rest by the root of the miss probability."""
    given = VECTORS["vector5_weights"]["input"]
    assert weights(given["budget"], given["share"], given["p_hat"]) == VECTORS["vector5_weights"]["expect_w"]
