"""Rendered pods as `podman play kube` takes them: `python -m tests.deploy.podman daemonset|injected PORT`.

Podman has no DaemonSets, native sidecars, projected volumes and names of nodes; each is replaced by its nearest kin.
Security contexts, images, arguments and mounts of containers stay as rendered, for they are what is tried.
"""

import sys
from typing import Any

import yaml

from tests.deploy.admission import admitted
from tests.deploy.chart import Object, objects, one

IMAGE = {"registry": "localhost", "repository": "llm-energy-exporter", "tag": "test", "pullPolicy": "Never"}
SERVER = """\
echo 'the log of a front that had three requests while the sidecar was there'
for number in 1 2 3; do
    sleep 2
    printf '{"msec":%s,"request_time":1.000,"request_id":"r%s","request_method":"POST",' "$(date +%s.%3N)" $number
    printf '"request_uri":"/v1/completions","status":200,"request_completion":"OK"}\\n'
done >>/var/log/llm/server.log
exec sleep 600
"""


def daemonset(port: int) -> list[Object]:
    """The DaemonSet's pod, and its ConfigMap."""
    config = {"listen": f"0.0.0.0:{port}", "servers": [{"name": "train", "requests": {"source": "push"}}]}
    values = {"image": IMAGE, "gpu": {"access": "none"}, "config": config}
    template = one("DaemonSet", values)["spec"]["template"]
    return [*config_maps(values), pod("energy-daemonset", template["spec"])]


def injected(port: int) -> list[Object]:
    """A server's pod as the admission policy leaves it. Its server writes a log of three requests."""
    requests = {"source": "jsonl", "path": "/var/log/llm/*.log", "start": "beginning", "profile": "nginx"}
    config = {"listen": f"0.0.0.0:{port}", "servers": [{"name": "chat", "model": "m", "requests": requests}]}
    values = {"mode": "sidecar", "image": IMAGE, "gpu": {"access": "none"}, "config": config}
    server = {
        "name": "server",
        "image": "localhost/llm-energy-exporter:test",
        "imagePullPolicy": "Never",
        "command": ["/bin/bash", "-c"],
        "args": [SERVER],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "llm-logs", "mountPath": "/var/log/llm"}],
    }
    asking: Object = {
        "metadata": {"labels": {"llm-energy-exporter/sidecar": "true"}},
        "spec": {"containers": [server], "volumes": [{"name": "llm-logs", "emptyDir": {}}]},
    }
    changed = admitted(asking, one("MutatingAdmissionPolicy", values))
    return [*config_maps(values), pod("energy-injected", changed["spec"])]


def config_maps(values: dict[str, Any]) -> list[Object]:
    """The configuration, without what Podman does not know of metadata."""
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each["metadata"]["name"]}, "data": each["data"]}
        for each in objects(values)
        if each["kind"] == "ConfigMap"
    ]


def pod(name: str, spec: Object) -> Object:
    """A pod that Podman can play."""
    containers = [container(each) for each in [*spec.get("initContainers", []), *spec["containers"]]]
    volumes = [volume(each) for each in spec["volumes"]]
    kept = {"securityContext": spec["securityContext"]} if "securityContext" in spec else {}
    played = {"hostNetwork": True, "containers": containers, "volumes": volumes, **kept}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": played}


def container(rendered: Object) -> Object:
    """A container on its host's network, so without ports; without probes, for which Podman wants curl inside."""
    env = [
        {"name": each["name"], "value": each.get("value", f"a-{each['name'].lower()}")}
        for each in rendered.get("env", [])
    ]
    left_out = ("env", "livenessProbe", "ports", "readinessProbe", "restartPolicy", "resources")
    return {key: value for key, value in rendered.items() if key not in left_out} | {"env": env}


def volume(rendered: Object) -> Object:
    """A volume; of a projected one its ConfigMap."""
    if "projected" in rendered:
        (source,) = rendered["projected"]["sources"]
        return {"name": rendered["name"], **source}
    return {"name": rendered["name"], "emptyDir": {}}


if __name__ == "__main__":
    yaml.safe_dump_all({"daemonset": daemonset, "injected": injected}[sys.argv[1]](int(sys.argv[2])), sys.stdout)
