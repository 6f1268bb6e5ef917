"""`python -m tests.faults.broker`: what a nats-server that is killed counts and keeps, with none of our code about it.

A bare client publishes numbered messages to a work queue and two pull and acknowledge them, while the server is killed at random
moments. Then all are left alone for ten times as long as the server waits for an acknowledgement. Prints a row of docs/faults.md a round.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import nats
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig

from tests.jetstream import Nats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUNDS = 6
KILLS = 25
ACK_WAIT = 3.0
ID = "Nats-Msg-Id"


async def _told(_: Exception) -> None:
    """That it is away is what is tried here."""


@asynccontextmanager
async def _client(server: Nats) -> AsyncIterator[Any]:
    address = f"nats://{server.address}"
    client = await nats.connect(address, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_told)  # type: ignore[arg-type]
    yield client.jetstream(timeout=2)
    await client.close()


async def _publish(server: Nats, sent: set[str], ended: asyncio.Event) -> None:
    async with _client(server) as stream:
        while not ended.is_set():
            name = str(len(sent))
            with suppress(Error, TimeoutError, OSError):
                await stream.publish("q.a", bytes(300), headers={ID: name})
                sent.add(name)
            await asyncio.sleep(0.01)


async def _pull(server: Nats, done: set[str], ended: asyncio.Event) -> None:
    async with _client(server) as stream:
        while not ended.is_set():
            with suppress(Error, TimeoutError, OSError):
                pulling = await stream.pull_subscribe_bind("pulls", "q")
                while not ended.is_set():
                    with suppress(TimeoutError):
                        for message in await pulling.fetch(5, timeout=0.5):
                            await message.ack()
                            done.add(message.headers[ID])


async def _round(server: Nats, random: Random) -> str:
    """One row."""
    sent: set[str] = set()
    done: set[str] = set()
    no_more, ended = asyncio.Event(), asyncio.Event()
    async with _client(server) as stream:
        await stream.add_stream(StreamConfig(name="q", subjects=["q.a"], retention=RetentionPolicy.WORK_QUEUE))
        pulls = ConsumerConfig(durable_name="pulls", ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT)
        await stream.add_consumer("q", pulls)
    publishing = asyncio.create_task(_publish(server, sent, no_more))
    pulling = [asyncio.create_task(_pull(server, done, ended)) for _ in range(2)]
    for _ in range(KILLS):
        await asyncio.sleep(random.uniform(0.2, 1.0))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    no_more.set()
    await publishing
    await asyncio.sleep(10 * ACK_WAIT)
    lying = await asyncio.to_thread(server.lying, "q", ID)
    counts = [await asyncio.to_thread(server.unacknowledged, "q", "pulls")]
    async with _client(server) as stream:
        await stream.purge_stream("q")
        await asyncio.sleep(1)
    counts.append(await asyncio.to_thread(server.unacknowledged, "q", "pulls"))
    ended.set()
    await asyncio.gather(*pulling)
    return f"| {len(sent)} | {len(sent - done)} | {counts[0]} | {len(lying)} | {len({*lying} - done)} | {counts[1]} |"


def main() -> None:
    print("| sent | never pulled | unacknowledged | lying | of these never pulled | unacknowledged after a purge |")
    print("|---|---|---|---|---|---|")
    for number in range(ROUNDS):
        with TemporaryDirectory() as folder:
            server = Nats(Path(folder))
            server.start()
            try:
                print(asyncio.run(_round(server, Random(number))), flush=True)
            finally:
                server.stop()


if __name__ == "__main__":
    main()
