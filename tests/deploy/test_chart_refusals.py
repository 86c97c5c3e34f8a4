from typing import Any

import helm_python
import pytest

from deploy.places import CHART
from tests.deploy.chart import objects

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("/mode", {"mode": "deployment"}),
    ("nope", {"nope": 1}),
    ("runtimeClass", {"gpu": {"runtimeClass": "nvidia"}}),
    ("/gpu/access", {"gpu": {"access": "privileged"}}),
    ("/image/digest", {"image": {"digest": "sha256:abc"}}),
    ("/service/port", {"service": {"port": "9460"}}),
    ("/service/port", {"service": {"port": 0}}),
    ("/podMonitor/interval", {"podMonitor": {"interval": "15 seconds"}}),
    ("LLMEnergyNoSuchAlert", {"prometheusRule": {"alerts": {"LLMEnergyNoSuchAlert": {"enabled": False}}}}),
    ("sevrity", {"prometheusRule": {"alerts": {"LLMEnergyIdleWaste": {"sevrity": "info"}}}}),
    ("/state/sizeLimit", {"state": {"sizeLimit": "256 MB"}}),
    ("/sidecar/podLabels", {"sidecar": {"podLabels": {"llm-energy-exporter/sidecar": True}}}),
    ("/sidecar/injection/failurePolicy", {"sidecar": {"injection": {"failurePolicy": "ignore"}}}),
    ("/livenessProbe", {"livenessProbe": {"httpGet": {"path": "/x"}}}),
    ("attributon", {"config": {"attributon": {"policy": "time"}}}),
    ("intervall", {"config": {"power": {"intervall": "50ms"}}}),
    ("/config/servers/0", {"config": {"servers": [{"name": "chat"}]}}),
    ("gpu", {"config": {"servers": [{"name": "chat", "gpu": [0], "requests": {"source": "vllm"}}]}}),
    ("/config/servers", {"config": {"servers": {"name": "chat"}}}),
]
AT_ODDS: list[tuple[str, dict[str, Any]]] = [
    ("networkPolicy.enabled", {"mode": "sidecar", "networkPolicy": {"enabled": True}}),
    ("serviceMonitor.enabled", {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}),
    ("serviceMonitor.enabled", {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}),
    ("web.enabled", {"web": {"enabled": True}}),
    ("config.listen", {"config": {"listen": "127.0.0.1:9460"}}),
    ("config.listen", {"config": {"listen": "0.0.0.0:0"}}),
    (
        "rbac.serviceAccounts",
        {
            "mode": "sidecar",
            "config": {"servers": [{"name": "a", "requests": {"source": "vllm", "kubernetes": {"pod": "p"}}}]},
        },
    ),
]


@pytest.mark.parametrize(("key", "values"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_value_is_refused_with_its_key(key: str, values: dict[str, Any]) -> None:
    with helm_python.Chart.load(str(CHART)) as chart, pytest.raises(helm_python.HelmValuesError) as refused:
        chart.validate_schema(chart.merge_values(values))
    assert key in str(refused.value)


@pytest.mark.parametrize(("key", "values"), AT_ODDS, ids=lambda value: value if isinstance(value, str) else "")
def test_values_that_do_not_go_together_are_refused_with_the_key_to_change(key: str, values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        objects(values)
    assert f"{key}:" in str(refused.value)
