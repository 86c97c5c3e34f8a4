import copy
from typing import Any

import helm_python
import pytest
import yaml

from deploy import manifests
from deploy.places import CHART
from tests.deploy import kubernetes
from tests.deploy.admission import admitted
from tests.deploy.chart import CI_VALUES, Object, named, objects, of_kind, one, values_of
from tests.deploy.test_chart import CONFIG
from tests.deploy.test_chart_security import SERVER_POD

SIDECARS = [file for file in CI_VALUES if values_of(file)["mode"] == "sidecar"]
VALUES: dict[str, Any] = {"mode": "sidecar", "config": CONFIG}


def policy(values: dict[str, Any]) -> Object:
    return one("MutatingAdmissionPolicy", values)


@pytest.mark.parametrize("access", ["runtime", "cdi", "claim", "none"])
@pytest.mark.parametrize("native", [True, False])
def test_a_pod_that_asks_for_it_gets_a_sidecar_and_is_still_a_good_pod(access: str, *, native: bool) -> None:
    pod = admitted(SERVER_POD, policy(VALUES | {"gpu": {"access": access}, "sidecar": {"native": native}}))
    assert kubernetes.problems(pod, kubernetes.EDGES) == []
    sidecar = named("llm-energy-exporter", pod["spec"])
    assert (sidecar in pod["spec"].get("initContainers", [])) is native
    assert sidecar.get("restartPolicy") == ("Always" if native else None)
    assert named("server", pod["spec"]) == SERVER_POD["spec"]["containers"][0]


def test_what_is_injected_is_what_a_chart_of_your_own_includes() -> None:
    with manifests.own_chart() as chart:
        values = {"image": "vllm", "command": ["vllm"], "llm-energy-exporter": {"config": CONFIG}}
        files = manifests.rendered(chart, values, "energy")
    included = next(text for path, text in files.items() if path.endswith("server.yaml"))
    deployment = next(each for each in yaml.safe_load_all(included) if each["kind"] == "Deployment")
    injected = admitted(SERVER_POD, policy(VALUES))["spec"]
    own = deployment["spec"]["template"]["spec"]
    assert named("llm-energy-exporter", injected) == named("llm-energy-exporter", own)
    ours = [each for each in injected["volumes"] if each["name"].startswith("llm-energy-exporter")]
    assert [each for each in own["volumes"] if each["name"].startswith("llm-energy-exporter")] == ours


def test_the_log_is_mounted_where_the_pod_has_one() -> None:
    def mounts(pod: Object) -> list[str]:
        sidecar = named("llm-energy-exporter", admitted(pod, policy(VALUES))["spec"])
        return [each["mountPath"] for each in sidecar["volumeMounts"]]

    without = copy.deepcopy(SERVER_POD)
    del without["spec"]["volumes"]
    assert "/var/log/llm" in mounts(SERVER_POD)
    assert "/var/log/llm" not in mounts(without)


def test_nobody_gets_two_sidecars() -> None:
    once = admitted(SERVER_POD, policy(VALUES))
    assert admitted(once, policy(VALUES)) == once


def test_a_pod_that_did_not_ask_is_left_alone() -> None:
    pod = copy.deepcopy(SERVER_POD)
    pod["metadata"]["labels"] = {"app": "vllm"}
    assert admitted(pod, policy(VALUES)) == pod


def test_conditions_of_the_user_hold_too() -> None:
    values = values_of(CHART / "ci" / "sidecar-values.yaml")
    spared = copy.deepcopy(SERVER_POD)
    spared["metadata"]["annotations"] = {"no-energy": "please"}
    assert admitted(spared, policy(values)) == spared
    assert admitted(SERVER_POD, policy(values)) != SERVER_POD


def test_what_the_pod_had_stays() -> None:
    pod = copy.deepcopy(SERVER_POD)
    pod["metadata"]["annotations"] = {"mine": "1"}
    pod["spec"]["initContainers"] = [{"name": "fetch", "image": "fetch"}]
    changed = admitted(pod, policy(VALUES | {"gpu": {"access": "cdi"}}))
    assert changed["metadata"]["annotations"]["mine"] == "1"
    assert [each["name"] for each in changed["spec"]["initContainers"]] == ["fetch", "llm-energy-exporter"]
    assert changed["spec"]["volumes"][0] == pod["spec"]["volumes"][0]


@pytest.mark.parametrize("file", SIDECARS, ids=lambda file: file.stem)
def test_the_configuration_is_in_every_namespace_that_is_injected(file: Any) -> None:
    values = values_of(file)
    where = {each["metadata"]["namespace"] for each in of_kind("ConfigMap", values)}
    for each in of_kind("MutatingAdmissionPolicy", values):
        (selected,) = each["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"]
        assert set(selected["values"]) == where


def test_a_failure_to_inject_keeps_no_server_from_starting() -> None:
    assert policy(VALUES)["spec"]["failurePolicy"] == "Ignore"


def test_the_patch_sets_args_which_an_apply_configuration_may_not() -> None:
    (mutation,) = policy(VALUES)["spec"]["mutations"]
    assert mutation["patchType"] == "JSONPatch"
    assert "args: [" in mutation["jsonPatch"]["expression"]


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_the_version_of_the_api_can_be_chosen(version: str) -> None:
    values = VALUES | {"sidecar": {"injection": {"apiVersion": version}}}
    for each in objects(values):
        if each["kind"].startswith("MutatingAdmissionPolicy"):
            assert each["apiVersion"] == f"admissionregistration.k8s.io/{version}"
            assert kubernetes.problems(each) == []


def test_a_chart_that_only_includes_the_sidecar_injects_nothing() -> None:
    values = values_of(CHART / "ci" / "own-chart-values.yaml")
    assert {each["kind"] for each in objects(values)} == {"ConfigMap", "Service", "Pod"}


def test_the_example_of_a_chart_of_your_own_lints() -> None:
    with manifests.own_chart() as chart:
        for file in manifests.servers():
            report = helm_python.lint(str(chart), values_of(file), strict=True, namespace="llm")
            assert [each for each in report["messages"] if each["severity"] >= 2] == []
