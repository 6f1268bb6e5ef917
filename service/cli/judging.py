"""Which model a worker begins with, and how it follows the orders for another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from service.errors import InvalidInput
from service.inspection import Inspection
from service.judges import PATIENCE, Judges
from service.orders import OrderFollower, Orders, standing
from service.ports import Meter, ModelLedger
from service.records import RecordedOrder, Role
from service.settings import Settings
from service.thresholds import Thresholds

if TYPE_CHECKING:
    from service.model.detector import OnnxDetector

Admit = Callable[[Path], str | None]
"""Whether a model file may be loaded at all: None, or why not."""


def admit_all(_: Path) -> str | None:
    """For those that look at a model and do not let it judge."""
    return None


def admission(settings: Settings) -> Admit:
    """A model that is to judge parts must have passed the gate, unless line.yaml or --allow-ungated says otherwise."""
    from service.model.contract import read_bytes
    from service.model.passport import refusal

    def admit(path: Path) -> str | None:
        why = refusal(read_bytes(path))
        return None if why is None or settings.allow_ungated else f"{why} (--allow-ungated runs it all the same)"

    return admit


def load(path: Path, providers: Sequence[str], threads: int | None, admit: Admit = admit_all) -> OnnxDetector:
    """Admitted, loaded and warm. Raises InvalidInput."""
    from service.model.detector import OnnxDetector

    why = admit(path)
    if why is not None:
        raise InvalidInput(f"{path}: {why}")
    return OnnxDetector(path, providers, threads)


@contextmanager
def judges(
    settings: Settings,
    key: bytes,
    ledger: ModelLedger,
    thresholds: Callable[[], Thresholds],
    meter: Meter,
    worker: str,
    admit: Admit = admit_all,
) -> Iterator[Judges]:
    """The one to begin with, and a thread beside that follows the orders until the end."""
    from service.model.shelf import Shelf

    shelf = Shelf(settings.models)

    def ordered(digest: str, role: Role) -> Inspection:
        threads = 1 if role is Role.SHADOW else settings.threads  # the line's machine is the line's
        needed = admit if role is Role.ACTIVE else admit_all  # a shadow has no say
        return Inspection(load(shelf.file(digest), settings.providers, threads, needed), key)

    def configured() -> Inspection:
        model = load(settings.model, settings.providers, settings.threads, admit)
        shelf.keep(settings.model.read_bytes())  # so that one can come back to it
        return Inspection(model, key)

    orders = Orders(settings.line, worker, ledger, ordered, thresholds, meter, time.time, settings.batch.size)
    begun, ended = Judges(orders.first(configured)), Event()
    meter.gated(begun.active.info.gated)
    follower = OrderFollower(orders, begun)
    thread = Thread(target=follower.follow, args=(ended,), name="model orders", daemon=True)
    thread.start()
    try:
        yield begun
    finally:
        ended.set()
        thread.join(2 * PATIENCE)


def heatmaps(settings: Settings) -> Callable[[bytes, str], bytes | None]:
    """Draws where a model of the models folder looks; it is loaded when somebody first asks, on the CPU and one thread."""
    from service.images import decode, encode
    from service.model.detector import CPU, overlaid
    from service.model.shelf import Shelf

    shelf = Shelf(settings.models)
    loaded = lru_cache(maxsize=2)(lambda digest: load(shelf.file(digest), (CPU,), 1))

    def heatmap(picture: bytes, digest: str) -> bytes | None:
        image = decode(picture)
        try:
            found = loaded(digest).heatmap(image)
        except InvalidInput:  # of another machine, or gone
            return None
        return None if found is None else encode(overlaid(image, found))

    return heatmap


def would_begin(settings: Settings) -> tuple[OnnxDetector, bool]:
    """The model that a worker would begin with now, and whether an order wins over line.yaml. Writes nothing.

    Raises InvalidInput, also for a ledger that cannot be read.
    """
    from service.ledger.sqlite import NotYet
    from service.ledger.store import open_ledger
    from service.model.shelf import Shelf

    admit = admission(settings)
    orders: Sequence[RecordedOrder] = ()
    with suppress(NotYet), closing(open_ledger(settings.ledger, time.time, read_only=True)) as ledger:
        orders = ledger.model_orders(settings.line)
    for recorded in standing(orders):
        with suppress(InvalidInput):
            file = Shelf(settings.models).file(recorded.order.digest)
            return load(file, settings.providers, settings.threads, admit), True
    return load(settings.model, settings.providers, settings.threads, admit), False
