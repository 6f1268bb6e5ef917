"""compose.yaml as Docker Compose itself reads it, and the configurations that it lays before Prometheus and Alertmanager."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import load
from tests.deploy.tools import DEPLOY, PROJECT, installed, run
from tests.servers import program

OURS = ("worker", "station", "exporter")


@pytest.fixture(scope="module")
def project() -> Mapping[str, Any]:
    """Everything resolved, anchors and short forms too."""
    found = run(installed("docker-compose"), "--file", str(DEPLOY / "compose.yaml"), "config", "--format=json")
    return dict(json.loads(found))


def test_every_service_is_hardened(project: Mapping[str, Any]) -> None:
    """Nothing to write to but volumes, no capability, no way to another; looked after, and reached from this machine only."""
    for name, service in project["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"] and len(service["tmpfs"]) == 1, name
        assert service["restart"] == "unless-stopped" and service["healthcheck"]["test"][0] == "CMD", name
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"]), name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name


def test_our_three_are_of_this_version_and_share_one_volume(project: Mapping[str, Any]) -> None:
    """One image, one ledger; line.yaml as it ships, but for the addresses."""
    for name in OURS:
        service = project["services"][name]
        assert service["image"] == f"redrabbit:{PROJECT['version']}" and service["command"] == [name]
        mounts = {mount["target"]: mount for mount in service["volumes"]}
        assert mounts["/var/lib/redrabbit"]["source"] == "redrabbit"
        assert all(mount["read_only"] for target, mount in mounts.items() if target != "/var/lib/redrabbit")
        assert set(service["environment"]) == {
            "REDRABBIT_STATION__LISTEN",
            "REDRABBIT_METRICS__EXPORTER",
            "REDRABBIT_METRICS__WORKER",
        }


def test_what_is_mounted_is_there(project: Mapping[str, Any]) -> None:
    """A path that is missing would be made by the engine, as an empty folder."""
    sources = {
        mount["source"]
        for service in project["services"].values()
        for mount in service["volumes"]
        if mount["type"] == "bind"
    }
    assert len(sources) > 5 and [path for path in sorted(sources) if not Path(path).exists()] == []


def test_secrets_are_files_that_git_does_not_know(project: Mapping[str, Any]) -> None:
    """None stands in the environment of a container."""
    folder = DEPLOY / "secrets"
    assert {Path(secret["file"]).parent for secret in project["secrets"].values()} == {folder}
    assert run("git", "check-ignore", "deploy/secrets/station.token").strip() == "deploy/secrets/station.token"
    words = [name for service in project["services"].values() for name in service.get("environment") or ()]
    assert [
        name for name in words if re.search("PASSWORD|TOKEN|SECRET|KEY", name) and not name.endswith("__FILE")
    ] == []


def _laid_out(service: Mapping[str, Any], root: Path) -> None:
    """What the container of a service sees of our files."""
    for mount in service["volumes"]:
        target = root / mount["target"].lstrip("/")
        if mount["type"] == "bind":
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if Path(mount["source"]).is_dir() else shutil.copy
            copy(mount["source"], target)
    for secret in service.get("secrets", ()):
        (root / secret["target"].lstrip("/")).write_text("rr_x")


def test_prometheus_gets_a_configuration_that_it_takes(project: Mapping[str, Any], tmp_path: Path) -> None:
    """The rules, the targets and the token are where it looks for them."""
    _laid_out(project["services"]["prometheus"], tmp_path)
    said = run(program("promtool"), "check", "config", str(tmp_path / "etc/prometheus/prometheus.yml"))
    rules = len(list((DEPLOY / "prometheus/rules").glob("*.yml")))
    assert "SUCCESS" in said and f"{rules} rule files found" in said


def test_so_does_one_without_containers(tmp_path: Path) -> None:
    """The same file beside the targets of one machine, and a token."""
    shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    (tmp_path / "prometheus/station.token").write_text("rr_x")
    assert "SUCCESS" in run(program("promtool"), "check", "config", str(tmp_path / "prometheus/prometheus.yml"))


def test_alertmanager_gets_a_configuration_that_it_takes(project: Mapping[str, Any], tmp_path: Path) -> None:
    """The one that ships."""
    _laid_out(project["services"]["alertmanager"], tmp_path)
    assert "SUCCESS" in run(program("amtool"), "check-config", str(tmp_path / "etc/alertmanager/alertmanager.yml"))


def _targets(folder: Path) -> dict[str, list[str]]:
    return {file.stem: yaml.safe_load(file.read_text())[0]["targets"] for file in folder.glob("*.yml")}


def test_targets_are_those_who_listen(project: Mapping[str, Any]) -> None:
    """In containers by the service's name, on one machine by line.yaml's addresses; the ports are the same."""
    line = load(DEPLOY / "line.yaml", {})
    listening = {"station": line.station.listen, "exporter": line.metrics.exporter, "worker": line.metrics.worker}
    here, there = _targets(DEPLOY / "prometheus/targets"), _targets(DEPLOY / "prometheus/targets-compose")
    assert here == {name: [address] for name, address in listening.items()} | {"alertmanager": ["127.0.0.1:9093"]}
    assert there == {name: [f"{name}:{target.rpartition(':')[2]}"] for name, (target,) in here.items()}
    assert set(there) <= set(project["services"])
    given = load(DEPLOY / "line.yaml", project["services"]["worker"]["environment"])
    ours = (given.station.listen, given.metrics.exporter, given.metrics.worker)
    assert ours == ("0.0.0.0:8080", "0.0.0.0:9108", "0.0.0.0:9109")


def test_grafana_finds_its_dashboards(project: Mapping[str, Any]) -> None:
    """Where the provisioning looks is where they are mounted, and its data source is the Prometheus beside it."""
    grafana = project["services"]["grafana"]
    text = "".join(file.read_text() for file in (DEPLOY / "grafana/provisioning").rglob("*.y*ml"))
    path = re.search(r"^ +path: (\S+)$", text, re.MULTILINE)
    assert path is not None and "${PROMETHEUS_URL}" in text
    expected = path[1].replace("${GF_PATHS_PROVISIONING}", grafana["environment"]["GF_PATHS_PROVISIONING"])
    mounts = {mount["target"]: Path(mount["source"]) for mount in grafana["volumes"]}
    found = [source for target, source in mounts.items() if Path(expected).resolve() == Path(target)]
    assert found == [DEPLOY / "grafana/dashboards"] and list(found[0].glob("*.json"))
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
