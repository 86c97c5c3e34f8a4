"""A dashboard: its variables, links and annotations, and its rows of panels laid out from left to right."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dash

from grafana.panels import DATASOURCE, Placed

TAG = "llm-energy"
COLUMNS = 24

SCHEMA_VERSION = 39
"""Of Grafana 10.4: every later one brings it up to date by itself. The SDK would write its own, 11.6's."""

RESTARTS = "changes(llm_energy_exporter_process_start_time_seconds{%s}[2m]) > 0"
RESTART_TEXTS = {"step": "60s", "titleFormat": "Exporter restarted", "textFormat": "{{instance}}", "tagKeys": "job"}
"""Of an annotation out of Prometheus. Grafana's published types leave them out."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard.

    Attributes:
        name: of its file, and the end of its uid.
        variables: beside the data source; see below for those that boards share.
        narrowed: by what its restarts are narrowed down, as in its queries.
    """

    name: str
    title: str
    description: str
    variables: tuple[dash.VariableModel, ...]
    rows: tuple[Row, ...]
    narrowed: str
    since: str = "now-1h"

    @property
    def uid(self) -> str:
        """Stable: links and bookmarks name it."""
        return f"{TAG}-{self.name}"

    def written(self) -> str:
        """The JSON that Grafana imports."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n"

    def as_json(self) -> dict[str, Any]:
        """As plain lists and dictionaries."""
        board = dash.Dashboard(
            uid=self.uid,
            title=self.title,
            description=self.description,
            tags=[TAG],
            timezone="browser",
            editable=False,
            graph_tooltip=dash.DashboardCursorSync.CROSSHAIR,
            time=dash.DashboardDashboardTime(self.since, "now"),
            refresh="30s",
            schema_version=SCHEMA_VERSION,
            panels=list(_laid_out(self.rows)),
            templating=dash.DashboardDashboardTemplating([_datasource(), *self.variables]),
            annotations=dash.AnnotationContainer([_restarts(self.narrowed)]),
            links=[_link()],
        )
        document: dict[str, Any] = json.loads(JSONEncoder().encode(board))
        document["id"] = None
        document["annotations"]["list"][0].update(RESTART_TEXTS)
        return document


def _laid_out(rows: Sequence[Row]) -> Iterator[dash.Panel | dash.RowPanel]:
    """From left to right, and on a new line where a panel does not fit any more."""
    number, y = 1, 0
    for row in rows:
        yield dash.RowPanel(title=row.title, id_val=number, grid_pos=dash.GridPos(h=1, w=COLUMNS, x=0, y=y))
        number, y, x, tallest = number + 1, y + 1, 0, 0
        for one in row.panels:
            if x + one.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            one.panel.id_val, one.panel.grid_pos = number, dash.GridPos(h=one.height, w=one.width, x=x, y=y)
            yield one.panel
            number, x, tallest = number + 1, x + one.width, max(tallest, one.height)
        y += tallest


def choice(name: str, label: str, query: str, *, everything: str = ".*") -> dash.VariableModel:
    """A variable of which any number of values can be chosen, all of them to begin with.

    `query` says where the values come from, such as `label_values(metric, label)`; `everything` is the regular
    expression that stands for all: `.*` keeps series without the label.
    """
    return dash.VariableModel(
        dash.VariableType.QUERY,
        name,
        label,
        hide=dash.VariableHide.DONT_HIDE,
        query={"query": query, "refId": f"variable-{name}"},
        datasource=DATASOURCE,
        current=dash.VariableOption(selected=True, text=["All"], value=["$__all"]),
        multi=True,
        refresh=dash.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dash.VariableSort.ALPHABETICAL_ASC,
        include_all=True,
        all_value=everything,
    )


def one_of(name: str, label: str, description: str, *values: str) -> dash.VariableModel:
    """A variable that is one of these values, the first to begin with."""
    options = [dash.VariableOption(selected=value == values[0], text=value, value=value) for value in values]
    return dash.VariableModel(
        dash.VariableType.CUSTOM,
        name,
        label,
        hide=dash.VariableHide.DONT_HIDE,
        description=description,
        query=",".join(values),
        current=options[0],
        options=options,
    )


def number(name: str, label: str, description: str, value: str) -> dash.VariableModel:
    """A variable that users type."""
    option = dash.VariableOption(selected=True, text=value, value=value)
    return dash.VariableModel(
        dash.VariableType.TEXTBOX,
        name,
        label,
        hide=dash.VariableHide.DONT_HIDE,
        description=description,
        query=value,
        current=option,
        options=[option],
    )


BUILD = "llm_energy_exporter_build_info"
JOB = choice("job", "Job", f"label_values({BUILD}, job)", everything=".+")
INSTANCE = choice("instance", "Instance", f'label_values({BUILD}{{job=~"$job"}}, instance)', everything=".+")
_OF_TARGET = '{job=~"$job", instance=~"$instance"'
SERVER_CHOICE = choice("server", "Server", f"label_values(llm_running_requests{_OF_TARGET}}}, server)")
MODEL_CHOICE = choice("model", "Model", f'label_values(llm_requests_total{_OF_TARGET}, server=~"$server"}}, model)')


def _datasource() -> dash.VariableModel:
    return dash.VariableModel(
        dash.VariableType.DATASOURCE,
        "datasource",
        "Data source",
        hide=dash.VariableHide.DONT_HIDE,
        query="prometheus",
        refresh=dash.VariableRefresh.ON_DASHBOARD_LOAD,
    )


def _restarts(narrowed: str) -> dash.AnnotationQuery:
    return dash.AnnotationQuery(
        "Exporter restarts", DATASOURCE, enable=True, icon_color="purple", expr=RESTARTS % narrowed
    )


def _link() -> dash.DashboardLink:
    return dash.DashboardLink(
        "LLM energy",
        dash.DashboardLinkType.DASHBOARDS,
        "external link",
        "The other dashboards, with the same choices",
        tags=[TAG],
        include_vars=True,
        keep_time=True,
    )
