"""Guessing at passwords, and at what it costs us."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import HTTPException

from service.station.sessions import PER_ADDRESS, Tries
from tests.hostile.memory import peak_growth
from tests.station.conftest import Station


def refused(tries: Tries, name: str, source: str) -> bool:
    try:
        tries.refuse_too_many(name, source)
    except HTTPException:
        return True
    return False


def test_a_name_for_every_try_is_not_remembered() -> None:
    """From one address only so many names are kept in mind, whatever is tried from it."""
    tries = Tries()
    assert [refused(tries, f"name {number}", "192.0.2.1") for number in range(2000)].count(False) == PER_ADDRESS.amount
    assert len(tries._storage.events) <= PER_ADDRESS.amount + 1


@pytest.mark.parametrize(
    ("one", "many", "apart"), [("2001:db8::1", "2001:db8::{:x}", "2001:db8:0:1::1"), ("odd", "odd", "other")]
)
def test_who_has_a_network_has_one_address(one: str, many: str, apart: str) -> None:
    """Of IPv6 everybody has 2^64; another network is somebody else."""
    tries = Tries()
    for number in range(PER_ADDRESS.amount):
        assert not refused(tries, f"name {number}", many.format(number + 1))
    assert refused(tries, "somebody", one)
    assert not refused(tries, "somebody", apart)


def test_passwords_are_looked_at_a_few_at_a_time(closed: Station) -> None:
    """Each look takes 64 MiB: forty at once would be more than two gigabytes."""

    def guess(number: int) -> int:
        return closed.client().post("/sign-in", data={"name": f"n{number}", "password": "x"}).status_code

    with ThreadPoolExecutor(40) as pool:
        grown, statuses = peak_growth(lambda: list(pool.map(guess, range(40))))
    assert set(statuses) == {401}
    assert grown < 700_000_000


@pytest.mark.parametrize("before", ["9" * 30, "-1", "nan", str(2**63)])
def test_a_place_in_the_trail_is_a_number_that_a_ledger_knows(station: Station, before: str) -> None:
    assert station.client().get("/trail", params={"before": before}).status_code == 422
