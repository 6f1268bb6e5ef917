"""The image, without an engine to build it: what the Dockerfile says, and what it installs, started as it would be."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.deploy.dockerfile import exec_form, lineage, stages
from tests.deploy.tools import DEPLOY, ROOT, installed, run, wheels
from tests.servers import free_port, until

FILE = DEPLOY / "Dockerfile"
STAGES = stages(FILE)
PLACE = "/opt/redrabbit"
OWNER = 10001


def test_hadolint_has_nothing_to_say() -> None:
    """Neither an error nor a hint."""
    assert run(installed("hadolint"), str(FILE)) == ""


def test_what_is_built_on_has_a_version() -> None:
    """No image without a tag, none that is the latest."""
    outside = {stage.source for stage in STAGES.values()} - set(STAGES)
    assert len(outside) == 1 and all(re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+-[a-z-]+", image) for image in outside)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_process_is_nobody_and_hears_its_signals(target: str) -> None:
    """A fixed number that is not root's, and no shell between the engine and the process."""
    steps = [step for stage in lineage(STAGES, target) for step in stage.steps]
    last = dict(steps)
    assert last["USER"] == f"{OWNER}:{OWNER}" and last["VOLUME"] == "/var/lib/redrabbit"
    assert exec_form(last["ENTRYPOINT"]) == ["redrabbit"] and exec_form(last["CMD"]) == ["up"]
    assert exec_form(last["HEALTHCHECK"])[0] == "python"
    assert "ADD" not in last and not re.search(r"(?i)token|password|secret|apikey", str(steps))
    assert f"COPY --from=build-{target} {PLACE} {PLACE}" in [f"{word} {rest}" for word, rest in steps]


def test_only_what_the_wheel_is_made_of_reaches_the_engine() -> None:
    """Everything is left out but what is copied: a ledger, a key or a model cannot slip in."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    copied = {word for rest in STAGES["build-cpu"].all("COPY") for word in rest.split()[:-1]}
    assert lines[0] == "*" and {line[1:] for line in lines if line[0] == "!"} == copied


@pytest.mark.parametrize(
    ("extras", "machine", "expected"),
    [
        (("postgres",), "x86_64", "onnxruntime-gpu"),
        (("postgres", "gpu"), "x86_64", "onnxruntime-gpu"),
        (("postgres",), "aarch64", "onnxruntime"),
    ],
)
def test_there_is_exactly_one_onnxruntime(extras: tuple[str, ...], machine: str, expected: str) -> None:
    """The two packages overwrite each other's files. With `gpu` NVIDIA's libraries come along, without it they do not."""
    named = [f"--extra={extra}" for extra in extras]
    options = [f"--python-platform={machine}-manylinux_2_28", "--python-version=3.11", "--no-header", "--no-annotate"]
    found = run(installed("uv"), "pip", "compile", "--quiet", "pyproject.toml", *named, *options, environment=wheels())
    packages = re.findall(r"^([a-z0-9-]+)==", found, re.MULTILINE)
    assert [name for name in packages if name.startswith("onnxruntime")] == [expected]
    assert ("nvidia-cudnn-cu13" in packages or "nvidia-cudnn-cu12" in packages) == ("gpu" in extras)
    assert "psycopg-binary" in packages and "torch" not in packages


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as the image's root: the steps of build-cpu taken one by one, into a virtual environment of its own."""
    folder = tmp_path_factory.mktemp("image")
    place, source = folder / "opt", folder / "src"
    source.mkdir()
    environment = {
        **wheels(),
        "VIRTUAL_ENV": str(place),
        "PATH": f"{Path(installed('uv')).parent}:{os.environ['PATH']}",
    }
    for word, rest in STAGES["build-cpu"].steps:
        if word == "COPY":
            *names, target = rest.split()
            for name in names:
                _copy(ROOT / name, source / (target + Path(name).name if target.endswith("/") else target))
        elif word == "RUN" and not rest.startswith("python -m pip install"):  # uv itself is here
            run(*shlex.split(rest.replace(PLACE, str(place))), folder=source, environment=environment)
    shutil.rmtree(source)
    yield folder
    shutil.rmtree(folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)


def _configured(root: Path) -> Path:
    """deploy/line.yaml and what it names, as mounted; what it writes under a folder beside."""
    config, data = root / "etc", root / "var"
    shutil.copytree(DEPLOY / "models", config / "models")
    shutil.copy(ROOT / "thresholds.yaml", config)
    line = (DEPLOY / "line.yaml").read_text()
    (config / "line.yaml").write_text(line.replace("/var/lib/redrabbit", str(data)))
    (data / "in").mkdir(parents=True)
    return config / "line.yaml"


def _environment(image: Path, line: Path, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "PATH": f"{image}/opt/bin:/usr/bin:/bin",
        "HOME": str(image / "var"),
        "TMPDIR": str(image / "var"),
        "REDRABBIT_CONFIG": str(line),
        "REDRABBIT_STATION__LISTEN": f"0.0.0.0:{ports['8080']}",
        "REDRABBIT_METRICS__EXPORTER": f"0.0.0.0:{ports['9108']}",
        "REDRABBIT_METRICS__WORKER": f"0.0.0.0:{ports['9109']}",
    }


def test_what_is_installed_starts_and_says_so(image: Path) -> None:
    """With the image's own command, on read-only files and without a capability, where this machine lets us: healthy by the
    image's own check, with metrics, and the ledger where it belongs; SIGTERM ends it with status 0."""
    last = dict(step for stage in lineage(STAGES, "cpu") for step in stage.steps)
    ports = {port: free_port() for port in ("8080", "9108", "9109")}
    environment = _environment(image, _configured(image), ports)
    command = [f"{image}/opt/bin/{exec_form(last['ENTRYPOINT'])[0]}", *exec_form(last["CMD"])]
    health = [
        re.sub("|".join(ports), lambda port: str(ports[port[0]]), word) for word in exec_form(last["HEALTHCHECK"])
    ]
    health[0] = f"{image}/opt/bin/python"
    process = subprocess.Popen([*_confined(image / "var"), *command], env=environment, cwd=image / "var")
    try:
        until(lambda: process.poll() is not None or _ends(health, environment), "the health check's consent")
        assert process.poll() is None
        for port, series in (("9108", "redrabbit_collector_success"), ("9109", "redrabbit_ledger_up")):
            until(lambda p=port, s=series: s in httpx.get(f"http://127.0.0.1:{ports[p]}/metrics").text, series)
        assert httpx.get(f"http://127.0.0.1:{ports['8080']}/metrics").status_code == 401
        assert {file.name for file in (image / "var").iterdir()} >= {"redrabbit.db", "audit.key", "models", "in"}
    finally:
        process.terminate()
    assert process.wait(30) == 0


def _confined(writable: Path) -> list[str]:
    """What a command stands behind to see everything read-only but one folder, and to have no capability; [] where not allowed."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mounts = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && cd "$0" && exec "$@"'
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    found = ["unshare", "--mount", *user, "sh", "-c", mounts, str(writable), *without]
    proven = [*found, "sh", "-c", 'touch here && ! touch "$0"', str(writable.parent / "not-here")]
    return found if subprocess.run(proven, capture_output=True, check=False).returncode == 0 else []


def _ends(command: list[str], environment: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
