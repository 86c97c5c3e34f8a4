"""What the restricted profile of Kubernetes' Pod Security Standards asks for, and what is asked of nobody."""

from functools import cache
from typing import Any

import pytest

from deploy import manifests
from deploy.places import CHART
from tests.deploy import admission
from tests.deploy.chart import CI_VALUES, Object, containers_of, objects, of_kind, one, pod_of, texts, values_of
from tests.deploy.test_chart import SPREAD

SERVER_POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "vllm", "labels": {"llm-energy-exporter/sidecar": "true"}},
    "spec": {"containers": [{"name": "server", "image": "vllm"}], "volumes": [{"name": "llm-logs", "emptyDir": {}}]},
}
ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


@cache
def pods() -> list[Object]:
    """Every pod of every combination of values; sidecars in pods as the policy leaves them."""
    found = []
    for values in [*(values_of(file) for file in CI_VALUES), *SPREAD]:
        everything = objects(values)
        found += [pod for each in everything if (pod := pod_of(each))]
        for policy in (each for each in everything if each["kind"] == "MutatingAdmissionPolicy"):
            found.append(admission.admitted(SERVER_POD, policy)["spec"])
    return found


def ours() -> list[Object]:
    return [each for pod in pods() for each in containers_of(pod) if "llm-energy-exporter" in each["image"]]


def test_there_is_something_to_look_at() -> None:
    assert len(pods()) > 40
    assert len(ours()) > 40


def test_every_container_of_ours_runs_as_nobody() -> None:
    for container in ours():
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == 65532


def test_every_container_of_ours_has_a_read_only_root_and_can_gain_nothing() -> None:
    for container in ours():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "privileged" not in context


def test_no_pod_of_ours_reaches_into_its_node() -> None:
    for pod in pods():
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys()
        for volume in pod.get("volumes", []):
            assert volume.keys() - {"name"} <= ALLOWED_VOLUMES
        for container in containers_of(pod):
            assert all("hostPort" not in port for port in container.get("ports", []))


def test_no_container_of_ours_takes_a_gpu() -> None:
    for container in ours():
        resources = container.get("resources", {})
        assert "nvidia.com/gpu" not in {**resources.get("limits", {}), **resources.get("requests", {})}


def test_only_the_state_can_be_written() -> None:
    for container in ours():
        writable = {each["mountPath"] for each in container.get("volumeMounts", []) if not each.get("readOnly")}
        assert writable <= {"/var/lib/llm-energy-exporter"}


def test_a_password_hash_is_in_the_secret_and_nowhere_else() -> None:
    values = values_of(CHART / "ci" / "web-values.yaml")
    (digest,) = values["web"]["config"]["basic_auth_users"].values()
    assert [path for path, text in texts(values).items() if digest in text] == ["secret.yaml"]


def test_no_service_account_may_do_anything_but_read_logs() -> None:
    for values in (values_of(file) for file in CI_VALUES):
        for role in of_kind("Role", values):
            for rule in role["rules"]:
                assert (rule["resources"], rule["verbs"]) in ((["pods/log"], ["get"]), (["pods"], ["list"]))
        assert not of_kind("ClusterRole", values)


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        (
            "runtime",
            {"env": {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "utility"}, "runtime": "nvidia"},
        ),
        ("cdi", {"annotation": "management.nvidia.com/gpu=all"}),
        ("claim", {"claims": [{"name": "gpu"}]}),
        ("none", {}),
    ],
)
def test_each_way_to_a_gpu_asks_for_what_it_needs_and_no_more(access: str, expected: dict[str, Any]) -> None:
    template = one("DaemonSet", {"gpu": {"access": access}})["spec"]["template"]
    pod, container = template["spec"], template["spec"]["containers"][0]
    env = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("NVIDIA")}
    found = {
        "env": env,
        "runtime": pod.get("runtimeClassName"),
        "annotation": template["metadata"]["annotations"].get("nvidia.cdi.k8s.io/container.llm-energy-exporter"),
        "claims": container["resources"].get("claims"),
    }
    assert {key: value for key, value in found.items() if value} == expected


def test_a_claim_of_a_daemonset_sees_every_gpu_and_takes_none() -> None:
    template = one("ResourceClaimTemplate", {"gpu": {"access": "claim"}})
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"]["adminAccess"] is True
    assert request["exactly"]["allocationMode"] == "All"


def test_examples_give_the_gpu_to_the_server_and_the_sidecar_none() -> None:
    for path, text in manifests.written().items():
        if "limits: {nvidia.com/gpu" in text:
            assert text.count("nvidia.com/gpu") == 1, path.name
