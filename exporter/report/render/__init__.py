"""A report as people and programs read it. Every format says the same, to the digits that it shows.

contents    Report ─► Document: words, tables and their order, the same for people whatever they look at
text, markdown, html    Document ─► text
json        Report ─► JSON: every figure, in base units, null where it is not known
"""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from exporter.report.render import html, json, markdown, text
from exporter.report.render.contents import document
from exporter.report.summary import Report

Format = Literal["text", "markdown", "html", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)

_RENDERERS: Mapping[Format, Callable[[Report], str]] = {
    "text": lambda report: text.render(document(report)),
    "markdown": lambda report: markdown.render(document(report)),
    "html": lambda report: html.render(document(report)),
    "json": json.render,
}


def render(report: Report, how: Format) -> str:
    """The report, ending in a line break."""
    return _RENDERERS[how](report)
