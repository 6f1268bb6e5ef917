"""A camera and a PLC that the demo brings along, both over their real protocols on loopback, with the real worker in between.

The camera sends its test pattern: what the model says of that means nothing. It shows the way from the camera to the diverter.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from service.errors import InvalidInput
from service.monitor import Monitor
from service.ports import Clock, LedgerReader
from service.records import LineSnapshot

SERIAL = "VIVA-FAKE-001"
SIDE = 300
GVCP_PORT = 3956
"""The one UDP port on which GigE Vision cameras are found."""

CODES: Mapping[int, str] = {1: "pass", 2: "reject", 3: "audit", 4: "stop"}
NODES = ("Sequence", "ResultEvaluationCode", "PartId", "Missed", "Heartbeat", "Ready")
STARTS_WITHIN = 30.0
CHUNK = 1_000


@contextmanager
def gige_camera(rate: float) -> Iterator[str]:
    """viva-genicam's fake camera at so many pictures a second; yields its URL for line.yaml. Raises InvalidInput."""
    try:
        from viva_genicam import GenicamError
        from viva_genicam.testing import FakeGigeCamera
    except ImportError as error:
        raise InvalidInput("--camera gige: needs the extra `gige`: pip install 'redrabbit[gige]'") from error
    camera = FakeGigeCamera(SIDE, SIDE, max(1, round(rate)))
    try:
        camera.start()
    except (GenicamError, OSError, RuntimeError) as error:
        raise InvalidInput(f"--camera gige: cannot listen on UDP port {GVCP_PORT} of 127.0.0.1: {error}") from error
    try:
        yield f"gige://{SERIAL}?trigger=off&packet_size=auto"
    finally:
        camera.stop()


class Plc:
    """An OPC UA server that stands for the line's controls. told: verdicts by code, as they came; late: parts for which the fail-safe held."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.told: Counter[str] = Counter()
        self.late = 0
        self._holds: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="plc", daemon=True)
        self._server: Any = None

    @property
    def address(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plc"

    def release(self, folder: Path) -> str:
        """Its URL for line.yaml; the map of its nodes is put into the folder."""
        (file := folder / "plc.yaml").write_text("".join(f"{name}: ns=2;s={name}\n" for name in NODES))
        return f"opcua://127.0.0.1:{self.port}/plc?map_file={file}&divert_audits=true&deadline=1s"

    def start(self) -> None:
        """Raises InvalidInput."""
        try:
            import asyncua  # noqa: F401
        except ImportError as error:
            raise InvalidInput("--release opcua: needs the extra `opcua`: pip install 'redrabbit[opcua]'") from error
        logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(STARTS_WITHIN)

    def close(self) -> None:
        if self._server is not None:
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(STARTS_WITHIN)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def __str__(self) -> str:
        codes = ", ".join(f"{self.told[code]} {code}" for code in CODES.values() if self.told[code] or code != "stop")
        return f"{codes}, {self.late} too late"

    async def _serve(self) -> None:
        from asyncua import Server, ua
        from asyncua.common.callback import CallbackType

        kinds = {"PartId": ("", ua.VariantType.String), "Ready": (False, ua.VariantType.Boolean)}
        self._server = server = Server()
        await server.init()
        server.set_endpoint(self.address)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace("urn:redrabbit:demo:plc")
        for name in NODES:
            value, kind = kinds.get(name, (0, ua.VariantType.UInt32))
            node = await server.nodes.objects.add_variable(
                ua.NodeId(name, index), f"{index}:{name}", value, varianttype=kind
            )
            await node.set_writable()
        server.subscribe_server_callback(CallbackType.PostWrite, self._written)
        await server.start()

    async def _written(self, event: Any, _: Any) -> None:
        """As a PLC's program: a new Sequence says that the rest is new."""
        written = {one.NodeId.Identifier: one.Value.Value.Value for one in event.request_params.NodesToWrite}
        self._holds |= written
        if "Sequence" not in written or "ResultEvaluationCode" not in self._holds:
            return
        if missed := self._holds["Missed"]:
            self.late += missed
        else:
            self.told[CODES[self._holds["ResultEvaluationCode"]]] += 1


class Unlabelled:
    """A line of whose parts nobody knows the truth: they are counted, and no inspector says anything. As demo.live.Live is asked."""

    done = True

    def __init__(self, line: str, reader: LedgerReader, monitor: Monitor, clock: Clock) -> None:
        self._line, self._reader, self._monitor, self._clock = line, reader, monitor, clock
        self._last_part = 0
        self._started = clock()
        self.parts = 0

    def step(self) -> LineSnapshot | None:
        while rows := self._reader.parts_after(self._last_part, CHUNK):
            self._last_part = rows[-1].sequence
            self.parts += len(rows)
        return self._monitor.snapshot().lines.get(self._line)

    @property
    def rate(self) -> float:
        """Parts a second since the start."""
        return self.parts / max(1e-9, self._clock() - self._started)

    def report(self, _: LineSnapshot) -> None:
        """Nothing is known that could be compared."""
