import itertools
from pathlib import Path
from typing import Any

import helm_python
import pytest

from deploy.places import CHART
from exporter import __version__
from tests.deploy import kubernetes
from tests.deploy.chart import CI_VALUES, Object, objects, of_kind, one, texts, values_of

WARNING = 2

CONFIG: dict[str, Any] = {"servers": [{"name": "chat", "requests": {"source": "vllm", "path": "/var/log/llm/*.log"}}]}
VARIANTS: tuple[dict[str, Any], ...] = (
    {"state": {"enabled": False}},
    {"state": {"volume": {"persistentVolumeClaim": {"claimName": "state"}}}, "livenessProbe": None},
    {"web": {"enabled": True, "existingSecret": "web", "tlsSecret": "certificates", "https": True}},
)
SPREAD: list[dict[str, Any]] = [
    {"mode": mode, "gpu": {"access": access}, "config": CONFIG, **more}
    for mode, access, more in itertools.product(("daemonset", "sidecar"), ("runtime", "cdi", "claim", "none"), VARIANTS)
]
ALL_ON: dict[str, Any] = {
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
}


@pytest.mark.parametrize("file", CI_VALUES, ids=lambda file: file.stem)
def test_helm_lints_it_strictly_with_each_file_of_values(file: Path) -> None:
    report = helm_python.lint(str(CHART), values_of(file), strict=True)
    assert [each for each in report["messages"] if each["severity"] >= WARNING] == []


@pytest.mark.parametrize("file", CI_VALUES, ids=lambda file: file.stem)
def test_every_release_of_kubernetes_takes_every_object(file: Path) -> None:
    rendered = objects(values_of(file))
    assert rendered
    assert [problem for each in rendered for problem in kubernetes.problems(each)] == []


def test_modes_gpus_state_and_web_go_together() -> None:
    found = {
        problem
        for values in SPREAD
        for each in objects(values)
        if each["kind"] in ("DaemonSet", "Pod", "MutatingAdmissionPolicy")
        for problem in kubernetes.problems(each, kubernetes.EDGES)
    }
    assert found == set()


def test_no_two_objects_have_one_name() -> None:
    for file in CI_VALUES:
        names = [
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for each in objects(values_of(file))
        ]
        assert len(names) == len(set(names)), file.stem


def test_what_is_namespaced_says_where_it_belongs() -> None:
    cluster_wide = {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
    for file in CI_VALUES:
        for each in objects(values_of(file)):
            if each["kind"] not in cluster_wide and each["metadata"]["name"] != "beside":
                assert each["metadata"]["namespace"], each["metadata"]["name"]


def test_mode_none_runs_nothing_and_still_has_rules_and_dashboards() -> None:
    kinds = {each["kind"] for each in objects({"mode": "none", **ALL_ON})}
    assert kinds == {"PrometheusRule", "ConfigMap"}
    assert one("PrometheusRule", {"mode": "none", **ALL_ON})["spec"]["groups"]


def test_by_default_nothing_is_made_that_needs_a_custom_resource() -> None:
    kinds = {each["kind"] for each in objects({})}
    assert kinds == {"ConfigMap", "DaemonSet", "Service", "ServiceAccount", "Pod"}


def test_the_version_of_the_program_is_the_version_of_the_image() -> None:
    container = one("DaemonSet", {})["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].endswith(f":{__version__}")


def test_a_digest_goes_before_a_tag_and_a_shared_registry_before_our_own() -> None:
    values = values_of(CHART / "ci" / "everything-values.yaml")
    container = one("DaemonSet", values)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].startswith("registry.example.com/llm-energy-exporter/llm-energy-exporter@sha256:0123")


def test_pods_are_restarted_when_the_configuration_changes() -> None:
    sums = {
        one("DaemonSet", {"config": {"servers": [], "power": {"interval": interval}}})["spec"]["template"]["metadata"][
            "annotations"
        ]["checksum/config"]
        for interval in ("50ms", "100ms")
    }
    assert len(sums) == 2


def test_extra_labels_of_pods_never_displace_those_that_select_them() -> None:
    daemonset = one("DaemonSet", {"podLabels": {"app.kubernetes.io/name": "mine", "tier": "x"}})
    labels = daemonset["spec"]["template"]["metadata"]["labels"]
    assert daemonset["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels["tier"] == "x"


def test_the_test_pod_is_not_taken_for_one_of_the_daemonset() -> None:
    (pod,) = of_kind("Pod", {})
    selector = one("DaemonSet", {})["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= pod["metadata"]["labels"].items()


def test_ports_of_reverse_proxies_are_opened_and_served() -> None:
    values = values_of(CHART / "ci" / "reverse-proxy-values.yaml")
    ports = {each["name"]: (each["port"], each["targetPort"]) for each in one("Service", values)["spec"]["ports"]}
    assert ports == {"energy-metrics": (9460, 9470), "energy-proxy": (8080, 8080), "energy-proxy1": (8081, 8081)}


def test_a_role_exists_only_where_logs_are_read_from_the_api_and_lists_only_for_selectors() -> None:
    assert not of_kind("Role", {"config": CONFIG})
    roles = of_kind("Role", values_of(CHART / "ci" / "everything-values.yaml"))
    rights = {
        role["metadata"]["namespace"]: [(*rule["resources"], *rule["verbs"]) for rule in role["rules"]]
        for role in roles
    }
    assert rights == {"chat": [("pods/log", "get")], "batch": [("pods/log", "get"), ("pods", "list")]}


def test_a_token_is_mounted_only_where_logs_are_read_from_the_api() -> None:
    def mounted(values: dict[str, Any]) -> bool:
        return bool(one("DaemonSet", values)["spec"]["template"]["spec"]["automountServiceAccountToken"])

    assert not mounted({"config": CONFIG})
    assert mounted(values_of(CHART / "ci" / "daemonset-values.yaml"))
    assert one("ServiceAccount", {})["automountServiceAccountToken"] is False


def test_monitors_find_the_node_and_the_port_that_there_is() -> None:
    for kind, values in (("PodMonitor", "daemonset"), ("PodMonitor", "sidecar"), ("ServiceMonitor", "web")):
        rendered = values_of(CHART / "ci" / f"{values}-values.yaml")
        spec = one(kind, rendered)["spec"]
        (endpoint,) = spec.get("podMetricsEndpoints") or spec["endpoints"]
        assert endpoint["port"] == "energy-metrics"
        assert endpoint["relabelings"][0]["targetLabel"] == "node"
        assert endpoint["scheme"] == ("https" if values == "web" else "http")


def test_what_must_be_let_out_is_let_out_and_nothing_else() -> None:
    def policy(config: dict[str, Any]) -> Object:
        return dict(one("NetworkPolicy", {"networkPolicy": {"enabled": True}, "config": config})["spec"])

    assert policy(CONFIG)["policyTypes"] == ["Ingress", "Egress"]
    asking = {"servers": [CONFIG["servers"][0] | {"metrics_url": "http://vllm:8000/metrics"}]}
    assert policy(asking)["policyTypes"] == ["Ingress"]
    dcgm = {"power": {"source": "dcgm", "dcgm": {"url": "http://nvidia-dcgm-exporter.gpu-operator:9400/metrics"}}}
    assert policy(CONFIG | dcgm)["policyTypes"] == ["Ingress"]


def test_sidecars_have_no_readiness_probe_since_it_would_decide_for_their_server() -> None:
    assert "readinessProbe" not in str(of_kind("MutatingAdmissionPolicy", {"mode": "sidecar"}))
    assert "readinessProbe" in str(one("DaemonSet", {}))


def test_probes_ask_over_https_and_only_knock_where_they_cannot_know_the_password() -> None:
    def probe(values: dict[str, Any]) -> Object:
        container = one("DaemonSet", values)["spec"]["template"]["spec"]["containers"][0]
        return dict(container["livenessProbe"])

    web = {"enabled": True, "config": {"tls_server_config": {"cert_file": "a", "key_file": "b"}}}
    assert probe({"web": web})["httpGet"]["scheme"] == "HTTPS"
    assert "httpGet" not in probe({"web": web, "config": {"servers": [], "web": {"probes": "closed"}}})


def test_notes_say_what_is_missing() -> None:
    notes = texts({})["NOTES.txt"]
    assert "NO SERVER is configured" in notes
    assert "NOBODY SCRAPES" in notes
    quiet = texts({"config": CONFIG, "podMonitor": {"enabled": True}})["NOTES.txt"]
    assert "NO SERVER" not in quiet
    assert "NOBODY SCRAPES" not in quiet
    assert "release" in quiet
