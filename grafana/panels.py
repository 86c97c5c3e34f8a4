"""Panels: Grafana's own, with the few choices that are ours. What is not chosen here is Grafana's default."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from grafana_foundation_sdk.models import bargauge as bars_model
from grafana_foundation_sdk.models import common, prometheus, xychart
from grafana_foundation_sdk.models import dashboard as dash
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import stat as stat_model
from grafana_foundation_sdk.models import table as table_model
from grafana_foundation_sdk.models import timeseries as timeseries_model

from grafana.colours import PLAIN, Steps
from grafana.query import Query

DATASOURCE = dash.DataSourceRef(type_val="prometheus", uid="${datasource}")

SCATTER_VERSION = "11.6.0"
"""Grafana 11.1 and later take a scatter without a version for one of old, and migrate what needs none."""


LABEL_WIDTH = 150
_WIDTHS = {"model": 210, "per": 90, "device": 130}
"""Of a table's columns that tell rows apart, in pixels; the others share what is left."""


@dataclass(frozen=True, slots=True)
class Look:
    """How values are shown.

    Attributes:
        unit: an id of Grafana's.
        steps: thresholds; a stat, a bar or a cell takes its colour from them.
        colours: series that have a colour of their own, by name.
        names: texts in place of numbers.
        nothing: what stands in an empty panel, where that means something.
    """

    unit: str
    decimals: int | None = None
    least: float | None = 0.0
    most: float | None = None
    steps: Steps = PLAIN
    colours: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    nothing: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel and how much room it takes: of 24 columns, and in rows of 30 pixels."""

    panel: dash.Panel
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a query that gives one value for each row."""

    heading: str
    expr: str
    look: Look
    painted: bool = False


def timeseries(  # noqa: PLR0913 - choices, each with a default
    title: str,
    description: str,
    *queries: Query,
    look: Look,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    lines: tuple[str, ...] = (),
    right: Mapping[str, str] | None = None,
    logarithmic: bool = False,
    bounds: bool = False,
    legend: bool = True,
) -> Placed:
    """Values over time.

    `stacked` makes areas on top of each other, over which `lines` are drawn as lines. Series of `right` have an axis of
    their own there, with their unit. `bounds` draws the thresholds as dashed lines. Without `legend` series are named
    by the tooltip only: where there are many alike.
    """
    custom = common.GraphFieldConfig(
        line_width=0 if stacked else 2,
        fill_opacity=70 if stacked else 0,
        show_points=common.VisibilityMode.NEVER,
        span_nulls=False,
        stacking=common.StackingConfig(common.StackingMode.NORMAL if stacked else common.StackingMode.NONE, "A"),
        scale_distribution=common.ScaleDistributionConfig(common.ScaleDistribution.LOG, 10) if logarithmic else None,
        thresholds_style=common.GraphThresholdsStyleConfig(
            common.GraphThresholdsStyleMode.DASHED if bounds else common.GraphThresholdsStyleMode.OFF
        ),
    )
    options = timeseries_model.Options(
        legend=_legend(show=legend),
        tooltip=common.VizTooltipOptions(common.TooltipDisplayMode.MULTI, common.SortOrder.DESCENDING),
    )
    overrides = [_override(name, _line()) for name in lines]
    overrides += [
        _override(name, {"unit": unit, "custom.axisPlacement": "right"}) for name, unit in (right or {}).items()
    ]
    config = _config(look, custom, overrides, mode=dash.FieldColorModeId.PALETTE_CLASSIC)
    return _placed("timeseries", title, description, _targets(queries), options, config, width, height)


def stat(  # noqa: PLR0913 - choices, each with a default
    title: str,
    description: str,
    query: Query,
    *,
    look: Look,
    width: int = 4,
    height: int = 4,
    trend: bool = False,
) -> Placed:
    """One number, large. `trend`: the latest, with its course behind it; else one for the dashboard's whole range."""
    options = stat_model.Options(
        graph_mode=common.BigValueGraphMode.AREA if trend else common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.VALUE,
        justify_mode=common.BigValueJustifyMode.AUTO,
        text_mode=common.BigValueTextMode.AUTO,
        reduce_options=_last(),
        orientation=common.VizOrientation.AUTO,
    )
    targets = _targets((query,), instant=not trend)
    return _placed("stat", title, description, targets, options, _config(look), width, height)


def bars(
    title: str,
    description: str,
    *queries: Query,
    look: Look,
    width: int = 8,
    height: int = 8,
) -> Placed:
    """Some numbers to compare, each for the dashboard's whole range or for now."""
    options = bars_model.Options(
        display_mode=common.BarGaugeDisplayMode.BASIC,
        value_mode=common.BarGaugeValueMode.COLOR,
        name_placement=common.BarGaugeNamePlacement.TOP,
        sizing=common.BarGaugeSizing.AUTO,
        legend=_legend(show=False),
        reduce_options=_last(),
        text=common.VizTextDisplayOptions(title_size=14, value_size=16),
        orientation=common.VizOrientation.HORIZONTAL,
    )
    targets = _targets(queries, instant=True)
    return _placed("bargauge", title, description, targets, options, _config(look), width, height)


def heatmap(  # noqa: PLR0913 - choices, each with a default
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    width: int = 12,
    height: int = 9,
) -> Placed:
    """A histogram over time: the darker, the more. `query` gives its buckets by `le`; exemplars are dots on it."""
    options = heatmap_model.Options(
        calculate=False,
        color=heatmap_model.HeatmapColorOptions(
            heatmap_model.HeatmapColorMode.SCHEME,
            "Oranges",
            "dark-orange",
            heatmap_model.HeatmapColorScale.EXPONENTIAL,
            0.5,
            64,
        ),
        filter_values=heatmap_model.FilterValueRange(le=1e-9),
        rows_frame=heatmap_model.RowsHeatmapOptions(layout=common.HeatmapCellLayout.AUTO),
        show_value=common.VisibilityMode.NEVER,
        cell_gap=1,
        cell_values=heatmap_model.CellValues(unit="short"),
        y_axis=heatmap_model.YAxisConfig(unit=unit, axis_placement=common.AxisPlacement.LEFT),
        legend=heatmap_model.HeatmapLegend(show=True),
        tooltip=heatmap_model.HeatmapTooltip(common.TooltipDisplayMode.SINGLE, y_histogram=True),
        exemplars=heatmap_model.ExemplarConfig("rgba(31, 96, 196, 0.9)"),
    )
    targets = _targets((query,), form=prometheus.PromQueryFormat.HEATMAP)
    config = _config(Look(unit, least=None), heatmap_model.FieldConfig())
    return _placed("heatmap", title, description, targets, options, config, width, height)


def scatter(  # noqa: PLR0913 - choices, each with a default
    title: str,
    description: str,
    x: Query,
    *ys: Query,
    line: Query,
    look: Look,
    x_unit: str | None = None,
    y_name: str = "",
    width: int = 12,
    height: int = 11,
    points: int = 90,
) -> Placed:
    """Values against a value, a point for each interval.

    All are joined on time into one frame whose first number is x: so Grafana before and after 11.1, which keep a
    scatter's settings differently, both find it by themselves.

    `line` is drawn as a dashed line, all others as at most `points` points each. `y_name` stands beside the axis.
    """
    custom = xychart.FieldConfig(
        show=xychart.XYShowMode.POINTS,
        point_size=xychart.XychartFieldConfigPointSize(fixed=6),
        axis_label=y_name,
    )
    overrides = [
        _override(
            line.legend,
            {
                "custom.show": "lines",
                "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
                "color": _fixed("text"),
            },
        ),
        _override(x.legend, {"unit": x_unit or look.unit, "custom.axisLabel": x.legend}),
    ]
    options = xychart.Options(
        mapping=xychart.SeriesMapping.AUTO,
        legend=_legend(),
        tooltip=common.VizTooltipOptions(common.TooltipDisplayMode.SINGLE, common.SortOrder.NONE),
    )
    config = _config(look, custom, overrides, mode=dash.FieldColorModeId.PALETTE_CLASSIC)
    placed = _placed("xychart", title, description, _targets((x, *ys, line)), options, config, width, height)
    placed.panel.transformations = [
        dash.DataTransformerConfig("joinByField", options={"byField": "Time", "mode": "inner"}),
        dash.DataTransformerConfig("sortBy", options={"fields": {}, "sort": [{"field": x.legend}]}),
    ]
    placed.panel.max_data_points = points
    placed.panel.plugin_version = SCATTER_VERSION
    return placed


def table(  # noqa: PLR0913 - choices, each with a default
    title: str,
    description: str,
    labels: Mapping[str, str],
    *columns: Column,
    width: int = 24,
    height: int = 8,
    sort: str = "",
    nothing: str | None = None,
) -> Placed:
    """A row for each combination of labels, a column for each query; all as of now.

    `labels` tell rows apart: what each is called. Rows come by the column whose heading is `sort`, largest first.
    """
    targets = _targets([Query(one.expr) for one in columns], instant=True, form=prometheus.PromQueryFormat.TABLE)
    values = {f"Value #{target.ref_id}": one.heading for target, one in zip(targets, columns, strict=True)}
    if len(columns) == 1:
        values = {"Value": columns[0].heading}
    named = {**labels, **values}
    organize = {
        "excludeByName": {"Time": True},
        "renameByName": named,
        "indexByName": {name: position for position, name in enumerate(named)},
    }
    sort_by = [common.TableSortByFieldState(sort, desc=True)] if sort else []
    options = table_model.Options(show_header=True, cell_height=common.TableCellHeight.SM, sort_by=sort_by)
    overrides = [_override(one.heading, _cells(one)) for one in columns]
    overrides += [
        _override(heading, {"custom.width": _WIDTHS.get(label, LABEL_WIDTH)}) for label, heading in labels.items()
    ]
    config = _config(Look("none", least=None, nothing=nothing), common.TableFieldOptions(), overrides)
    placed = _placed("table", title, description, targets, options, config, width, height)
    placed.panel.transformations = [
        dash.DataTransformerConfig("merge", options={}),
        dash.DataTransformerConfig("organize", options=organize),
    ]
    return placed


def _placed(  # noqa: PLR0913, PLR0917 - what a panel is made of
    kind: str,
    title: str,
    description: str,
    targets: list[prometheus.Dataquery],
    options: object,
    config: dash.FieldConfigSource,
    width: int,
    height: int,
) -> Placed:
    panel = dash.Panel(
        kind,
        title=title,
        description=description,
        datasource=DATASOURCE,
        targets=list(targets),
        options=options,
        field_config=config,
    )
    return Placed(panel, width, height)


def _targets(
    queries: tuple[Query, ...] | list[Query],
    *,
    instant: bool = False,
    form: prometheus.PromQueryFormat = prometheus.PromQueryFormat.TIME_SERIES,
) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery(
            expr=one.expr,
            instant=instant,
            range_val=not instant,
            exemplar=one.exemplar,
            editor_mode=prometheus.QueryEditorMode.CODE,
            format_val=form,
            legend_format=one.legend or "__auto",
            ref_id=chr(ord("A") + position),
            datasource=DATASOURCE,
        )
        for position, one in enumerate(queries)
    ]


def _config(
    look: Look,
    custom: object = None,
    overrides: list[dash.DashboardFieldConfigSourceOverrides] | None = None,
    mode: dash.FieldColorModeId = dash.FieldColorModeId.THRESHOLDS,
) -> dash.FieldConfigSource:
    defaults = dash.FieldConfig(
        unit=look.unit,
        decimals=look.decimals,
        min_val=look.least,
        max_val=look.most,
        mappings=_mappings(look.names),
        thresholds=_thresholds(look.steps),
        color=dash.FieldColor(mode),
        no_value=look.nothing,
        custom=custom,
    )
    painted = [_override(name, {"color": _fixed(colour)}) for name, colour in look.colours.items()]
    return dash.FieldConfigSource(defaults, painted + (overrides or []))


def _override(name: str, properties: Mapping[str, object]) -> dash.DashboardFieldConfigSourceOverrides:
    values = [dash.DynamicConfigValue(key, value) for key, value in properties.items()]
    return dash.DashboardFieldConfigSourceOverrides(dash.MatcherConfig("byName", name), values)


def _line() -> dict[str, object]:
    return {
        "custom.stacking": {"mode": "none", "group": "B"},
        "custom.fillOpacity": 0,
        "custom.lineWidth": 2,
    }


def _cells(column: Column) -> dict[str, object]:
    look = column.look
    cells: dict[str, object] = {"unit": look.unit, "thresholds": _thresholds(look.steps)}
    if look.decimals is not None:
        cells["decimals"] = look.decimals
    if look.names:
        cells["mappings"] = _mappings(look.names)
    if column.painted:
        cells["custom.cellOptions"] = {"type": "color-text"}
    return cells


def _mappings(names: Mapping[str, str]) -> list[dash.ValueMapping] | None:
    if not names:
        return None
    results = {value: dash.ValueMappingResult(text=text, index=at) for at, (value, text) in enumerate(names.items())}
    return [dash.ValueMap(results)]


def _thresholds(steps: Steps) -> dash.ThresholdsConfig:
    return dash.ThresholdsConfig(
        dash.ThresholdsMode.ABSOLUTE, [dash.Threshold(value, colour) for value, colour in steps]
    )


def _fixed(colour: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": colour}


def _legend(*, show: bool = True) -> common.VizLegendOptions:
    return common.VizLegendOptions(
        common.LegendDisplayMode.LIST, common.LegendPlacement.BOTTOM, show_legend=show, calcs=[]
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="")
