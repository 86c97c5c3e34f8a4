"""What docs/INTAKE.md shows works as it is written."""

import json
import re
from pathlib import Path

from exporter.cli.settings import CHECKS
from exporter.config import parse
from exporter.requests.posted.push import parse as parse_event
from exporter.server.intake import EVENTS_PATH, SCHEMA_PATH, TRACES_PATH

PAGE = (Path(__file__).parents[2] / "docs" / "INTAKE.md").read_text()


def test_its_configuration_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    servers = parse(text, {}, CHECKS).servers
    assert [(one.name, one.requests[0].source, dict(one.requests[0].options)) for one in servers] == [
        ("chat", "otlp", {"service": "vllm-server"}),
        ("train", "push", {}),
    ]


def test_its_events_are_events() -> None:
    found = re.findall(
        r"^(\{.*\})$|-d '(\{.*?\})'", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE
    )
    kinds = [parse_event(alone or inline).event for alone, inline in found]
    assert kinds == ["complete", "complete", "start", "end"]


def test_its_answer_has_the_keys_that_answers_have() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(text).keys() == {"accepted", "duplicates", "rejected"}


def test_its_paths_are_those_that_are_served() -> None:
    assert {TRACES_PATH, EVENTS_PATH, SCHEMA_PATH} <= set(re.findall(r"(/(?:api/)?v1/[a-z/]*[a-z])\b", PAGE))
