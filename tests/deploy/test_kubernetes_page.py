import json
import re
from typing import Any

import pytest

from deploy.places import CHART, ROOT
from deploy.schema import SCHEMA

PAGES = (ROOT / "docs" / "KUBERNETES.md", CHART / "README.md")
PROSE = {page: page.read_text().partition("<!-- values: generated")[0] for page in PAGES}
NAMED = sorted({found for text in PROSE.values() for found in re.findall(r"`([a-zA-Z]+(?:\.[A-Za-z_]+)+)[`:]", text)})
SCHEMA_OF_VALUES = json.loads(SCHEMA.read_text())


def values() -> list[str]:
    """What the pages name that looks like a path of values."""
    return [name for name in NAMED if name.partition(".")[0] in SCHEMA_OF_VALUES["properties"]]


def test_the_pages_name_values() -> None:
    assert len(values()) > 10


@pytest.mark.parametrize("path", values())
def test_a_value_that_a_page_names_exists(path: str) -> None:
    here: dict[str, Any] = SCHEMA_OF_VALUES
    for step in path.split("."):
        if here.get("propertyNames"):
            assert step in SCHEMA_OF_VALUES["definitions"]["alertName"]["enum"]
            here = here["additionalProperties"]
        else:
            here = here["properties"][step]
        if "$ref" in here:
            here = SCHEMA_OF_VALUES["definitions"][here["$ref"].rpartition("/")[2]]


def test_every_link_leads_somewhere() -> None:
    for page, text in PROSE.items():
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
