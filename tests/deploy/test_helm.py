"""The chart as Helm renders it, held against the schemas of Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from service.jetstream import consumer
from service.settings import load
from tests.deploy.dockerfile import lineage, stages
from tests.deploy.tools import DEPLOY, PROJECT

CHART = DEPLOY / "helm/redrabbit"
OWN: dict[str, Any] = {
    "line": (DEPLOY / "line.yaml").read_text(encoding="utf-8"),
    "thresholds": (DEPLOY / "thresholds.yaml").read_text(encoding="utf-8"),
}
EVERYTHING: dict[str, Any] = OWN | {
    "models": {"persistentVolumeClaim": {"claimName": "models"}},
    "storage": {"size": "1Ti", "className": "local"},
    "camera": {"port": 8081, "tokenSecret": "camera"},
    "environment": {"REDRABBIT_MODEL": "/models/el-cells.onnx", "REDRABBIT_BATCH__SIZE": "32"},
    "monitoring": {"labels": {"release": "watch"}, "stationTokenSecret": "scrape"},
    "imagePullSecrets": [{"name": "harbour"}],
    "nodeSelector": {"line": "press-1"},
    "tolerations": [{"key": "line", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
POOL: dict[str, Any] = OWN | {
    "line": "line: press.1\nmodel: /models/m.onnx\nledger: postgresql://redrabbit@db/redrabbit\n"
    "audit_key: /var/lib/redrabbit-shared/audit.key\nmodels: /var/lib/redrabbit-shared/models\n"
    "cameras: {top.left: 'nats://nats:4222/parts?expire=10m', side: 'tls://nats:4222/parts'}\n",
    "models": {"persistentVolumeClaim": {"claimName": "models"}},
    "shared": {"persistentVolumeClaim": {"claimName": "line-7"}},
    "workers": {"replicas": 1, "autoscaling": {"enabled": True, "monitoring": "nats:8222", "frames": 32}},
}
KUBERNETES = ("1.27", "1.37")

Manifest = dict[str, Any]
Render = Callable[[Mapping[str, Any]], list[Manifest]]


@pytest.fixture(scope="module")
def render() -> Render:
    """Values in, manifests out."""

    def rendered(values: Mapping[str, Any]) -> list[Manifest]:
        with helm.Chart.load(str(CHART)) as chart:
            texts = chart.render(dict(values), name="press-1", namespace="plant")
        parts = [yaml.safe_load_all(text) for name, text in sorted(texts.items()) if name.endswith(".yaml")]
        return [manifest for documents in parts for manifest in documents if manifest]

    return rendered


def _only(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def test_helm_finds_nothing_wrong() -> None:
    """Not even something to warn of; that there is no icon is no more than news."""
    found = helm.lint(str(CHART), OWN, strict=True)
    assert found["errors"] == [] and all(message["severity"] <= 1 for message in found["messages"])


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", [OWN, EVERYTHING, POOL], ids=["least", "everything", "pool"])
def test_kubernetes_takes_what_is_rendered(render: Render, values: Mapping[str, Any], version: str) -> None:
    """No key that it does not know, from the oldest version that the chart names to a recent one."""
    kinds = []
    for manifest in render(values):
        kinds.append(manifest["kind"])
        if not manifest["apiVersion"].startswith(("monitoring.", "keda.")):
            kubernetes_validate.validate(manifest, version, strict=True)
    expected = {"ConfigMap", "PrometheusRule", "Service", "ServiceMonitor", "StatefulSet"}
    assert set(kinds) == expected | ({"Deployment", "PodMonitor", "ScaledObject"} if values is POOL else set())


def test_the_pod_is_restricted(render: Render) -> None:
    """As Kubernetes' restricted standard asks, and with read-only files besides; under the image's own user."""
    pod = _only(render(EVERYTHING), "StatefulSet")["spec"]["template"]["spec"]
    users = [rest for stage in lineage(stages(DEPLOY / "Dockerfile"), "cpu") for rest in stage.all("USER")]
    assert users == [f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["fsGroup"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= container["resources"].keys()


def test_one_pod_runs_all_three_and_is_asked_how_they_are(render: Render) -> None:
    """One ledger, one pod, three processes, each with its probes where it listens."""
    manifests = render(OWN)
    found = _only(manifests, "StatefulSet")["spec"]
    assert found["replicas"] == 1
    containers = {container["name"]: container for container in found["template"]["spec"]["containers"]}
    assert {name: container["args"] for name, container in containers.items()} == {
        name: [name] for name in ("worker", "station", "exporter")
    }
    listening = load(DEPLOY / "line.yaml", {one["name"]: one["value"] for one in containers["worker"]["env"]})
    for name, address in (
        ("worker", listening.metrics.worker),
        ("station", listening.station.listen),
        ("exporter", listening.metrics.exporter),
    ):
        container = containers[name]
        assert [f"0.0.0.0:{port['containerPort']}" for port in container["ports"]] == [address]
        assert container["image"] == f"redrabbit:{PROJECT['version']}"
        for probe, path in (("startupProbe", "/readyz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": name}


def test_more_workers_are_started_by_what_waits(render: Render) -> None:
    """KEDA is told the very consumer that the workers share; the service of the station does not lead to them, Prometheus does."""
    manifests = render(POOL)
    scaled, pool = _only(manifests, "ScaledObject")["spec"], _only(manifests, "Deployment")["spec"]
    assert scaled["scaleTargetRef"] == {"name": "press-1-workers"} and "replicas" not in pool
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (1, 4)
    found = {trigger["metadata"]["consumer"]: trigger["metadata"] for trigger in scaled["triggers"]}
    assert set(found) == {consumer("press.1", camera) for camera in ("top.left", "side")}
    for metadata in found.values():
        assert metadata == {
            "natsServerMonitoringEndpoint": "nats:8222",
            "account": "$G",
            "stream": "parts",
            "consumer": metadata["consumer"],
            "lagThreshold": "32",
        }
    (container,) = pool["template"]["spec"]["containers"]
    assert container["args"] == ["worker"]
    one = _only(manifests, "StatefulSet")["spec"]["template"]["spec"]
    for shared in (container, *one["containers"]):
        assert {"name": "shared", "mountPath": "/var/lib/redrabbit-shared"} in shared["volumeMounts"]
    assert {key: one[key] for key in one if key not in ("containers", "volumes")}.items() <= pool["template"][
        "spec"
    ].items()
    labels = pool["template"]["metadata"]["labels"].items()
    assert not _only(manifests, "Service")["spec"]["selector"].items() <= labels
    monitor = _only(manifests, "PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels
    assert monitor["podMetricsEndpoints"][0]["relabelings"][0]["replacement"] == "redrabbit-worker"
    fixed = render(POOL | {"workers": {"replicas": 3}})
    assert _only(fixed, "Deployment")["spec"]["replicas"] == 3
    assert not [manifest for manifest in fixed if manifest["kind"] == "ScaledObject"]


def test_a_service_called_redrabbit_confuses_no_setting(render: Render) -> None:
    """The cluster would add REDRABBIT_PORT to the environment, and a setting of that name is refused."""
    assert _only(render(OWN), "StatefulSet")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_line_and_thresholds_arrive_as_they_are(render: Render) -> None:
    """The files of one machine, not written again; another line.yaml restarts the pod."""
    manifests = render(OWN)
    (data,) = [
        manifest["data"]
        for manifest in manifests
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == "press-1"
    ]
    assert {name: yaml.safe_load(text) for name, text in data.items()} == {
        "line.yaml": yaml.safe_load(OWN["line"]),
        "thresholds.yaml": yaml.safe_load(OWN["thresholds"]),
    }
    other = render(OWN | {"line": OWN["line"] + "threads: 2\n"})
    templates = [_only(found, "StatefulSet")["spec"]["template"]["metadata"] for found in (manifests, other)]
    assert templates[0]["annotations"] != templates[1]["annotations"]


def test_grafana_gets_the_dashboards_of_one_machine(render: Render) -> None:
    """As its sidecar looks for them, unread by Helm, each small enough for a config map; a second line of the same Prometheus leaves
    them and the rules to the first."""
    found = {
        name: text
        for manifest in render(OWN)
        if manifest["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in manifest["data"].items()
    }
    files = {f"redrabbit-{file.name}": file for file in (DEPLOY / "grafana/dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in found.items()} == {
        name: json.loads(file.read_text()) for name, file in files.items()
    }
    assert len(found) == 3 and max(map(len, found.values())) < 900_000
    second = render(OWN | {"monitoring": {"shared": False}})
    assert sorted(manifest["kind"] for manifest in second) == ["ConfigMap", "Service", "ServiceMonitor", "StatefulSet"]


def test_the_rules_are_those_of_one_machine(render: Render) -> None:
    """Prometheus' own templates come through unread; the operator's monitors give the jobs the names that the rules know."""
    rules = {
        manifest["metadata"]["name"]: manifest["spec"]
        for manifest in render(OWN)
        if manifest["kind"] == "PrometheusRule"
    }
    files = (DEPLOY / "prometheus/rules").glob("*.yml")
    assert rules == {f"press-1-{file.stem}": yaml.safe_load(file.read_text()) for file in files}
    assert "{{ $labels.line }}" in str(rules)
    jobs = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    endpoints = _only(render(EVERYTHING), "ServiceMonitor")["spec"]["endpoints"]
    assert [endpoint["relabelings"][0]["replacement"] for endpoint in endpoints] == [job["job_name"] for job in jobs]
    assert [endpoint.get("authorization") for endpoint in endpoints] == [
        None,
        None,
        {"credentials": {"name": "scrape", "key": "token"}},
    ]


def test_without_an_operator_nothing_is_asked_of_it(render: Render) -> None:
    """monitoring.enabled leaves its kinds out."""
    kinds = {manifest["kind"] for manifest in render(OWN | {"monitoring": {"enabled": False}})}
    assert kinds == {"ConfigMap", "Service", "StatefulSet"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "line: expected the text of your line.yaml"),
        ({"line": "line: a"}, "thresholds: expected the text"),
        (OWN | {"replicas": 2}, "replicas"),
        (OWN | {"image": {"tag": "latest"}}, "tag"),
        (OWN | {"environment": {"PASSWORD": "x"}}, "PASSWORD"),
        (OWN | {"workers": {"replicas": 2}}, "needs a ledger in PostgreSQL"),
        (POOL | {"line": POOL["line"].replace("nats://nats:4222/parts", "folder:///in")}, "expected every camera"),
        (POOL | {"workers": {"autoscaling": {"enabled": True}}}, "autoscaling.monitoring: expected HOST:8222"),
    ],
)
def test_bad_values_are_named(render: Render, values: Mapping[str, Any], words: str) -> None:
    """What is missing, what does not exist, and what must not be."""
    with pytest.raises(helm.HelmError, match=words), helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(dict(values))
        render(values)
