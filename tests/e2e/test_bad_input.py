"""Bad input gets one clear line on stderr and status 2: what, where, what was expected. No traceback, nothing half-written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from service.cli.demo import MODEL
from tests.servers import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]


def _settings(folder: Path) -> dict[str, object]:
    (folder / "in").mkdir()
    (folder / "thresholds.yaml").write_text("defaults: {recall: {page: 0.8}}\n")
    return {
        "line": "a",
        "model": str(MODEL),
        "allow_ungated": True,
        "cameras": {"left": f"folder://{folder}/in"},
        "station": {"listen": f"127.0.0.1:{free_port()}"},
        "metrics": {"exporter": f"127.0.0.1:{free_port()}", "worker": f"127.0.0.1:{free_port()}"},
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs one command over line.yaml with the given keys laid over good ones."""
    good = _settings(tmp_path)

    def command(name: str, **keys: object) -> subprocess.CompletedProcess[str]:
        (tmp_path / "line.yaml").write_text(yaml.safe_dump(good | keys))
        line = [sys.executable, "-m", "service.cli", name, "--config", str(tmp_path / "line.yaml")]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)

    return command


def _assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("redrabbit: "), done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_good_input_passes_the_check(run: Run) -> None:
    """Otherwise the tests below would prove nothing."""
    done = run("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "el-cells" in done.stdout
    assert "defective: recall below 0.8; never without an audited miss" in done.stdout


def test_the_check_says_what_becomes_of_a_part_that_nobody_judges(run: Run) -> None:
    """In one line."""
    done = run("check", parts={"wait": "200ms", "missing": "stop"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "parts       not inspected 0.2 s after a gap in the trigger numbers: stop, recorded" in done.stdout


def test_thresholds_that_could_hardly_ever_page_are_refused(run: Run, tmp_path: Path) -> None:
    """One part a bucket, and a false page in a year: no bucket could hold the evidence."""
    (tmp_path / "thresholds.yaml").write_text(
        "defaults: {bucket: {parts: 1, closes_after: 1h}, false_page_every: 365d}\n"
    )
    _assert_one_line(run("check"), "defective", "bucket of 1 parts", "larger bucket.parts")


def test_a_page_that_could_never_clear_by_itself_is_refused(run: Run, tmp_path: Path) -> None:
    """No window could prove so high a recall, were every part in it a caught defect."""
    (tmp_path / "thresholds.yaml").write_text(
        "defaults: {recall: {page: 0.99, warn: 0.99}, windows: [{parts: 1000}], false_page_every: 1d}\n"
    )
    _assert_one_line(run("check"), "defective", "no window of 1000 parts can prove recall of 0.99", "larger window")


@pytest.mark.parametrize("command", ["check", "worker", "station", "exporter", "up"])
def test_a_bad_thresholds_file_is_refused_by_whoever_reads_it(run: Run, tmp_path: Path, command: str) -> None:
    """A percentage where a ratio belongs."""
    (tmp_path / "thresholds.yaml").write_text("defaults: {recall: {page: 80}}\n")
    _assert_one_line(run(command), "thresholds.yaml", "recall.page", "80", "0.8")


@pytest.mark.parametrize("command", ["check", "worker", "station", "exporter", "up"])
def test_a_bad_line_file_is_refused(run: Run, command: str) -> None:
    """An unknown key."""
    _assert_one_line(run(command, camera="x"), "line.yaml", "camera")


@pytest.mark.parametrize("command", ["check", "worker"])
@pytest.mark.parametrize("content", [None, b"", b"not a model", MODEL.read_bytes()[:5000]])
def test_a_bad_model_file_is_refused(run: Run, tmp_path: Path, command: str, content: bytes | None) -> None:
    """Missing, empty, of another kind, cut off."""
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    _assert_one_line(run(command, model="m.onnx"), "m.onnx")


@pytest.mark.parametrize("command", ["check", "worker", "up"])
def test_a_model_that_has_not_passed_the_gate_is_refused(run: Run, command: str) -> None:
    """It says what to do about it."""
    _assert_one_line(
        run(command, allow_ungated=False),
        "el-cells.onnx",
        "the gate refused it: recall of defective",
        "--allow-ungated",
    )


@pytest.mark.parametrize("command", ["check", "worker"])
def test_a_gpu_that_is_not_there_is_an_error(run: Run, command: str) -> None:
    """Never a silent fall back to the CPU."""
    _assert_one_line(run(command, providers=["NoSuchExecutionProvider"]), "NoSuchExecutionProvider")


@pytest.mark.parametrize("command", ["check", "worker"])
@pytest.mark.parametrize("url", ["carrier-pigeon://x", "folder:///no/such/folder", "dataset://elpv?rate=fast", "in"])
def test_a_bad_camera_is_refused_by_name(run: Run, command: str, url: str) -> None:
    """Scheme, folder or option."""
    _assert_one_line(run(command, cameras={"left": url}), "left")


@pytest.mark.parametrize(("where", "named"), [("cameras", "camera left"), ("publish", "publish")])
def test_a_nats_server_that_does_not_answer_is_named(run: Run, where: str, named: str) -> None:
    """The line would start, and wait for it; whoever checks wants to know."""
    url = f"nats://127.0.0.1:{free_port()}/parts"
    keys = {"cameras": {"left": url}} if where == "cameras" else {"publish": url}
    _assert_one_line(run("check", **keys), named, url)


@pytest.mark.parametrize("command", ["check", "worker"])
def test_a_bad_release_is_refused(run: Run, command: str) -> None:
    """An unknown scheme."""
    _assert_one_line(run(command, releases=["smoke://signal"]), "smoke", "webhook")


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("worker", {"metrics": {"worker": "{}"}}),
        ("exporter", {"metrics": {"exporter": "{}"}}),
        ("station", {"station": {"listen": "{}"}}),
        ("up", {"station": {"listen": "{}"}}),
    ],
)
def test_a_port_in_use_is_named(run: Run, command: str, keys: dict[str, dict[str, str]]) -> None:
    """Another program listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        filled = {key: dict.fromkeys(value, address) for key, value in keys.items()}
        _assert_one_line(run(command, **filled), address)


@pytest.mark.parametrize("command", ["check", "worker", "station"])
def test_a_ledger_that_cannot_be_written_is_named(run: Run, tmp_path: Path, command: str) -> None:
    """A folder where the file should be; a file where its folder should be; something that is no ledger."""
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "other.db").write_text("this is no database, it is a text of some length\n" * 50)
    _assert_one_line(run(command, ledger="sqlite:///folder.db"), "folder.db")
    _assert_one_line(run(command, ledger="sqlite:///file/ledger.db"), "file")
    _assert_one_line(run(command, ledger="sqlite:///other.db"), "other.db")
    _assert_one_line(run(command, ledger="oracle:///x"), "oracle", "sqlite")


def test_a_station_open_to_all_on_the_network_is_refused(run: Run) -> None:
    """Open is for this machine only."""
    _assert_one_line(run("station", station={"listen": f"0.0.0.0:{free_port()}", "open_on_loopback": True}), "0.0.0.0")


def test_a_command_needs_no_traceback_to_say_that_it_is_unknown() -> None:
    """Also without any file."""
    line = [sys.executable, "-m", "service.cli", "fly"]
    _assert_one_line(subprocess.run(line, capture_output=True, text=True, check=False, env=dict(os.environ)), "fly")
