import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import manifests
from deploy.places import EXAMPLES
from exporter.requests.registry import SOURCES
from tests.deploy import kubernetes
from tests.deploy.chart import containers_of, named, values_of

PLAIN = sorted(manifests.MANIFESTS.glob("*.yaml"))
COMPOSE = sorted((EXAMPLES / "compose").glob("*.yaml"))

A_SERVER = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("told to stop", flush=True), sys.exit(7)))
print("ready", *sys.argv[1:], flush=True)
time.sleep(60)
"""


def documents(file: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


@pytest.mark.parametrize("file", PLAIN, ids=lambda file: file.stem)
def test_every_release_of_kubernetes_takes_every_manifest(file: Path) -> None:
    assert [problem for each in documents(file) for problem in kubernetes.problems(each)] == []


@pytest.mark.parametrize("file", PLAIN, ids=lambda file: file.stem)
def test_manifests_can_be_applied_as_they_are(file: Path) -> None:
    for each in documents(file):
        assert each["kind"].startswith("MutatingAdmissionPolicy") or each["metadata"]["namespace"] == "llm"
        assert "Helm" not in each["metadata"]["labels"].values()


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.stem)
def test_compose_takes_every_file(file: Path) -> None:
    schema = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    found = subprocess.run(
        [Path(sys.executable).with_name(schema[0]), *schema[1:]], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_there_is_an_example_of_each_server_that_people_ask_for() -> None:
    sources = {
        values_of(file)["llm-energy-exporter"]["config"]["servers"][0]["requests"]["source"]
        for file in manifests.servers()
    }
    assert sources == {"vllm", "otlp", "sglang", "llamacpp"} <= SOURCES.keys()


def test_the_server_writes_its_log_where_the_sidecar_reads_it() -> None:
    for file in PLAIN:
        for each in documents(file):
            if each["kind"] == "Deployment" and "tee" in file.read_text():
                pod = each["spec"]["template"]["spec"]
                volumes = {volume["name"] for volume in pod["volumes"]}
                for container in containers_of(pod):
                    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
                    assert mounts["/var/log/llm"] == "llm-logs"
                    assert set(mounts.values()) <= volumes


@pytest.mark.parametrize("name", ["vllm-log", "sglang", "llamacpp"])
def test_the_script_around_a_server_copies_its_output_and_lets_it_have_the_signals(name: str, tmp_path: Path) -> None:
    deployment = next(each for each in documents(manifests.MANIFESTS / f"{name}.yaml") if each["kind"] == "Deployment")
    server = named("server", deployment["spec"]["template"]["spec"])
    before, _, command = server["args"][0].rpartition("exec ")
    log = tmp_path / "server.log"
    (tmp_path / "server.py").write_text(A_SERVER)
    script = before.replace("/var/log/llm/server.log", str(log)) + f"exec {sys.executable} {tmp_path}/server.py "
    script += command.partition(" ")[2]
    with subprocess.Popen([*server["command"], script], stdout=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == 7
        assert process.stdout.readline() == "told to stop\n"
        assert "told to stop" in eventually(log)  # before what is left is killed, `tee` among it
        os.killpg(process.pid, signal.SIGKILL)  # as a container's end does to what is left in it
    assert "--" in log.read_text()


def eventually(log: Path) -> str:
    """What `tee` has written, which outlives the server by a moment."""
    end = time.monotonic() + 10
    while "told to stop" not in log.read_text() and time.monotonic() < end:
        time.sleep(0.05)
    return log.read_text()
