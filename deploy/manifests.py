"""Plain manifests, rendered by Helm from the chart and from the example of a chart that includes the sidecar."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python
import yaml

from deploy.places import CHART, EXAMPLES, Written

OWN_CHART = EXAMPLES / "own-chart"
MANIFESTS = EXAMPLES / "kubernetes"
NAMESPACE = "llm"

_MARK = "# Written by `python -m deploy.sync`.\n"
_FOR_HELM_ALONE = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)


def _chat(requests: dict[str, Any]) -> dict[str, Any]:
    return {"name": "chat", "requests": requests}


_BY_API = {"selector": "app=vllm", "container": "server", "node": "${NODE_NAME}"}
_FROM_THE_CHART: Mapping[str, tuple[str, dict[str, Any]]] = {
    "daemonset": (
        "# An exporter on each node, which reads the logs of vLLM's pods there through the Kubernetes API.",
        {"mode": "daemonset", "config": {"servers": [_chat({"source": "vllm", "kubernetes": _BY_API})]}},
    ),
    "injection": (
        "# A sidecar for each pod that is labelled llm-energy-exporter/sidecar and logs into its volume llm-logs.",
        {"mode": "sidecar", "config": {"servers": [_chat({"source": "vllm", "path": "/var/log/llm/*.log"})]}},
    ),
}


def written() -> Written:
    """Every manifest."""
    whole = {name: _page(about, rendered(CHART, values, "energy")) for name, (about, values) in _FROM_THE_CHART.items()}
    with own_chart() as chart:
        whole |= {file.stem: _served(file, chart) for file in servers()}
    return {MANIFESTS / f"{name}.yaml": page for name, page in whole.items()}


def servers() -> list[Path]:
    """The values of each server's example."""
    return sorted((OWN_CHART / "servers").glob("*.yaml"))


@contextmanager
def own_chart() -> Iterator[Path]:
    """The example chart with its dependency in place, as `helm dependency build` would put it."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / OWN_CHART.name
        shutil.copytree(OWN_CHART, chart, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
        shutil.copytree(CHART, chart / "charts" / CHART.name)
        yield chart


def rendered(chart: Path, values: Mapping[str, Any], name: str) -> dict[str, str]:
    """What Helm makes of a chart: texts by the templates' paths, without notes and tests."""
    with helm_python.Chart.load(str(chart)) as loaded:
        files: dict[str, str] = loaded.render(dict(values), name=name, namespace=NAMESPACE)
    return {
        path: text
        for path, text in sorted(files.items())
        if text.strip() and "/tests/" not in path and not path.endswith("NOTES.txt")
    }


def _served(file: Path, chart: Path) -> str:
    text = file.read_text()
    about = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    return _page(about, rendered(chart, yaml.safe_load(text), file.stem.partition("-")[0]))


def _page(about: str, files: Mapping[str, str]) -> str:
    head = f"{about}\n#\n# kubectl create namespace {NAMESPACE}; kubectl apply -f THIS\n{_MARK}"
    documents = [_FOR_HELM_ALONE.sub("", _without_blank_lines(text)) for text in files.values()]
    return head + "".join(f"---\n{document.removeprefix('---').strip()}\n" for document in documents)


def _without_blank_lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
