"""What all releases to the floor have in common, with a peer that does what real ones do only now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.records import FailSafe
from service.releases.floor import FloorOptions, FloorRelease, Surroundings
from service.releases.result import FAILED, NOT_DECIDABLE, Say, Told, result
from tests.ledger.rows import missing
from tests.releases.floor import Counting, part
from tests.servers import until


class Peer:
    """Fulfils floor.Peer. told: what it was told; stumbles: what it does in place of taking a verdict, one after the other."""

    late_is_broken = True

    def __init__(self, *stumbles: str) -> None:
        self.stumbles = list(stumbles)
        self.told: list[Told] = []
        self.opened = 0

    async def open(self) -> int:
        self.opened += 1
        return 100

    async def tell(self, told: Told) -> None:
        stumble = self.stumbles.pop(0) if self.stumbles else ""
        if stumble == "breaks":
            raise ConnectionResetError("reset by peer")
        if stumble == "hangs":
            await asyncio.sleep(3600)
        if stumble == "hangs, and makes an error of its own of being cancelled":
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                raise Cancelled from None
        self.told.append(told)

    async def beat(self, count: int) -> None: ...

    async def rest(self) -> None: ...

    async def close(self) -> None: ...


class Cancelled(asyncio.CancelledError):
    """As the waiting library of asyncua has one, which asyncio.timeout lets through."""


@contextmanager
def release(peer: Peer, deadline: float) -> Iterator[tuple[FloorRelease, Counting]]:
    meter = Counting()
    options = FloorOptions(deadline=f"{deadline}s", failsafe=FailSafe.REJECT)
    running = FloorRelease("peer", peer, options, Surroundings(meter, lambda: 0.0))
    try:
        yield running, meter
    finally:
        running.close()


def test_a_connection_that_breaks_is_made_anew_and_the_verdict_still_arrives_in_time() -> None:
    """Not missed: the deadline had not passed. The sequence goes on where the peer has it."""
    peer = Peer("breaks")
    with release(peer, 30.0) as (floor, meter):
        floor.release([part("a"), part("b")])
        until(lambda: meter.sent == 2, "told")
    assert [(one.number, one.verdict.part_id, one.missed) for one in peer.told] == [(101, "a", 0), (102, "b", 0)]
    assert (peer.opened, meter.failsafes) == (2, 0)


@pytest.mark.parametrize("stumble", ["hangs", "hangs, and makes an error of its own of being cancelled"])
def test_what_hangs_is_given_up_and_the_failsafe_stands_for_all_up_to_the_newest(stumble: str) -> None:
    """Those that wait behind it expire before it has failed: the newest is told all the same, and the release lives on."""
    peer = Peer(stumble)
    with release(peer, 0.2) as (floor, meter):
        floor.release([part("a"), part("b"), part("c")])
        until(lambda: meter.failsafes == 3 and peer.told, "given up, and told")
        until(lambda: _taken(floor, meter), "the next verdict is taken")
    first = peer.told[0]
    assert (first.number, first.say, first.missed, first.missed_ever) == (103, Say.REJECT, 3, 3)


def _taken(floor: FloorRelease, meter: Counting) -> bool:
    floor.release([part("next")])
    return meter.sent > 0


def test_a_part_that_nobody_judged_is_not_decidable_and_counts_as_told() -> None:
    """In its turn, with its own code, and not as missed; where it is late the fail-safe stands for it as for every other."""
    peer = Peer()
    with release(peer, 30.0) as (floor, meter):
        floor.release([part("a")])
        floor.release_not_inspected([missing("n", outcome=FailSafe.STOP), missing("m", outcome=FailSafe.PASS)])
        until(lambda: meter.sent == 3, "told")
    told = [result(one) for one in peer.told]
    assert [(one["Sequence"], one["PartId"], one["Missed"]) for one in told] == [
        (101, "a", 0),
        (102, "n", 0),
        (103, "m", 0),
    ]
    assert [one["ResultEvaluationCode"] for one in told[1:]] == [Say.STOP, Say.PASS]
    assert {(one["ResultState"], one["ResultEvaluation"], one["ResultEvaluationDetails"]) for one in told[1:]} == {
        (FAILED, NOT_DECIDABLE, "no_picture")
    }
    peer = Peer("hangs")
    with release(peer, 0.2) as (floor, meter):
        floor.release_not_inspected([missing("n", outcome=FailSafe.PASS)])
        until(lambda: peer.told, "the fail-safe is told")
    late = result(peer.told[0])
    assert (late["ResultEvaluationCode"], late["Missed"], late["ResultEvaluationDetails"]) == (Say.REJECT, 1, "")
