"""The checks of this folder see what they are for."""

import copy
from typing import Any

import pytest

from tests.deploy import admission, kubernetes
from tests.deploy.chart import CI_VALUES, of_kind, one, values_of

DAEMONSET = next(file for file in CI_VALUES if file.stem == "daemonset-values")


def container_of(daemonset: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = daemonset["spec"]["template"]["spec"]["containers"][0]
    return container


def test_a_misspelt_field_is_seen_in_every_release() -> None:
    daemonset = one("DaemonSet", {})
    container_of(daemonset)["ports"][0]["containrPort"] = 1
    assert len(kubernetes.problems(daemonset)) == len(kubernetes.VERSIONS)


@pytest.mark.parametrize(
    ("key", "value"), [("porrt", "x"), ("interval", "15x"), ("scheme", "ftp"), ("relabelings", [{"target": "node"}])]
)
def test_an_endpoint_that_the_operator_would_refuse_or_ignore_is_seen(key: str, value: Any) -> None:
    monitor = one("PodMonitor", values_of(DAEMONSET))
    assert kubernetes.problems(monitor) == []
    monitor["spec"]["podMetricsEndpoints"][0][key] = value
    assert any("podMetricsEndpoints/0" in problem for problem in kubernetes.problems(monitor))


@pytest.mark.parametrize(("key", "value"), [("for", "5 minutes"), ("severity", "info"), ("expr", {"a": 1})])
def test_a_rule_that_the_operator_would_refuse_or_ignore_is_seen(key: str, value: Any) -> None:
    rules = one("PrometheusRule", values_of(DAEMONSET))
    rules["spec"]["groups"][0]["rules"][0][key] = value
    assert kubernetes.problems(rules)


def test_a_type_that_is_not_named_by_its_path_is_seen_in_a_policy() -> None:
    (policy,) = of_kind("MutatingAdmissionPolicy", {"mode": "sidecar"})
    wrong = copy.deepcopy(policy)
    patch = wrong["spec"]["mutations"][0]["jsonPatch"]
    patch["expression"] = patch["expression"].replace("Object.spec.initContainers.env{", "Object.spec.env{")
    pod = {"metadata": {"labels": {"llm-energy-exporter/sidecar": "true"}}, "spec": {"containers": []}}
    with pytest.raises(AssertionError, match=r"Object\.spec\.env"):
        admission.admitted(pod, wrong)
