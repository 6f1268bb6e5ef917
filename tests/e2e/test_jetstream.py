"""One camera machine, two workers, one ledger, as a user starts them; a worker is killed and the server gone in between."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

from service.jetstream import consumer
from service.ledger.store import open_ledger
from tests.jetstream import running
from tests.line import picture
from tests.servers import free_port, until

ROOT = Path(__file__).parents[2]
PARTS = 60


def _command(name: str, config: Path) -> list[str]:
    return [sys.executable, "-m", "service.cli", name, "--config", str(config)]


def test_every_frame_is_judged_once_whoever_dies(tmp_path: Path) -> None:
    """kill -9 of a worker, and nats-server gone for a while: each part is recorded once, its file has moved, and every frame is acknowledged."""
    (tmp_path / "in").mkdir()
    (tmp_path / "done").mkdir()
    with running(tmp_path / "nats") as server, ExitStack() as opened:

        def config(name: str, camera: str, more: str = "") -> Path:
            file = tmp_path / f"{name}.yaml"
            file.write_text(
                f"line: a\nmodel: {ROOT}/deploy/models/el-cells.onnx\nallow_ungated: true\nthresholds: {ROOT}/thresholds.yaml\n"
                f"cameras: {{top: '{camera}'}}\n{more}metrics: {{worker: 127.0.0.1:{free_port()}, camera: 127.0.0.1:{free_port()}}}\n"
            )
            return file

        def start(command: str, file: Path) -> subprocess.Popen[bytes]:
            process = opened.enter_context(subprocess.Popen(_command(command, file), env=os.environ))
            opened.callback(process.kill)
            return process

        stream = f"nats://{server.address}/parts"
        source = f"folder://{tmp_path}/in?settle=100ms&done={tmp_path}/done"
        start("camera", config("camera", source, f"publish: {stream}\n"))
        check = [*_command("check", config("checked", stream, f"publish: {stream}\n"))]
        said = subprocess.run(check, capture_output=True, text=True, check=True).stdout
        assert f"nats        {stream} answers, for camera top" in said and f"{stream} answers, for publish" in said
        workers = [start("worker", config(name, stream)) for name in ("one", "two")]
        for number in range(PARTS):
            file = tmp_path / "in" / f"p{number}.tmp"
            file.write_bytes(picture(number / PARTS))
            file.rename(file.with_suffix(".png"))
        with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", time.time)) as ledger:
            until(lambda: len(ledger.parts_after(0, 1000)) > 0, "the first record")
            workers[0].kill()
            server.stop()
            time.sleep(1)
            server.start()
            until(lambda: len(ledger.parts_after(0, 1000)) == PARTS, "every record", 120)
            rows = ledger.parts_after(0, 1000)
        until(lambda: server.unacknowledged("parts", consumer("a", "top")) == 0, "every acknowledgement", 120)
        workers[1].terminate()
        assert workers[1].wait(40) == 0
    assert sorted(row.verdict.part_id for row in rows) == sorted(f"p{n}" for n in range(PARTS))
    assert {row.verdict.camera for row in rows} == {"top"}
    assert len(list((tmp_path / "done").iterdir())) == PARTS
