"""Panels as Grafana reads them: one function per kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue as Setting
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporters.dashboards.parts import BAD, CALM, CARE, GOOD, UNSURE, Kind, Panel, Query, Step, Word

Shape = TypeVar("Shape", timeseries.Panel, stat.Panel, table.Panel, statetimeline.Panel)
AnyShape = timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel

SOURCE = common.DataSourceRef("prometheus", "${datasource}")

COLOURS = {
    "lower limit": CALM,
    "upper limit": CALM,
    "recall": CALM,
    "precision": CALM,
    "seen in labels alone": "#8d99ae",
    "expected": UNSURE,
    "evidence": CARE,
    "page threshold": BAD,
    "warn threshold": CARE,
    "page limit": BAD,
    "starved limit": BAD,
    "caught": GOOD,
    "missed": BAD,
    "reject": BAD,
    "pass": GOOD,
    "audit": CALM,
    "review": CARE,
    "challenge": UNSURE,
    "active": CALM,
    "shadow": UNSURE,
}
"""Of the series that mean the same on every panel."""

SMALLEST = 0.001
"""Where an axis of powers of ten ends, so that 0 has a place on it."""

LINE_PAGE = (
    "/d/redrabbit-line?${datasource:queryparam}&${plant:queryparam}"
    "&var-line=${__data.fields.line}&var-defect=${__data.fields.defect}"
)


def shaped(panel: Panel) -> AnyShape:
    """The panel, without its id."""
    kinds: Mapping[Kind, Callable[[Panel], AnyShape]] = {
        Kind.SERIES: _series,
        Kind.STAT: _stat,
        Kind.TABLE: _table,
        Kind.STATES: _states,
        Kind.MATRIX: _matrix,
    }
    return kinds[panel.kind](panel)


def _common(made: Shape, panel: Panel) -> Shape:
    """What every kind has."""
    section = f"${{runbook}}#{panel.alert.lower()}"
    made.title(panel.title).description(panel.about).datasource(SOURCE)
    made.span(panel.width).height(panel.height).unit(panel.unit).links(
        [
            build.DashboardLink(f"runbook: {panel.alert}").url(section).target_blank(True),
            build.DashboardLink("station").url("${station}").target_blank(True),
        ]
    )
    made.thresholds(_thresholds(panel.steps or (Step(None, CALM),)))
    if panel.words:
        made.mappings([_mapping(panel.words)])
    if panel.most is not None:
        made.max(panel.most)
    return made


def _series(panel: Panel) -> timeseries.Panel:
    made = _common(timeseries.Panel(), panel).min(0).line_width(2).fill_opacity(0)
    made.legend(_legend())
    if panel.steps:
        made.thresholds_style(build_common.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if panel.powers:
        scale = build_common.ScaleDistributionConfig().type(common.ScaleDistribution.SYMLOG)
        made.scale_distribution(scale.log(10).linear_threshold(SMALLEST))
    made.targets(_targets(panel, instant=False))
    names = {query.name for query in panel.queries}
    if {"lower limit", "upper limit"} <= names:
        band = [Setting("custom.fillBelowTo", "lower limit"), Setting("custom.fillOpacity", 20)]
        made.override_by_name("upper limit", [*band, Setting("custom.lineWidth", 1)])
        made.override_by_name("lower limit", [Setting("custom.lineWidth", 1)])
    dashed = [Setting("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}), Setting("custom.lineWidth", 1)]
    made.override_by_regexp("/(threshold|page limit|starved limit)$/", dashed)
    # A legend is known only once its labels are: {{source}} may turn out to be audit.
    patterns = [re.sub(r"\{\{\w+\}\}", ".+", name) for name in names]
    for name, colour in COLOURS.items():
        if any(re.fullmatch(pattern, name) for pattern in patterns):
            made.override_by_name(name, [Setting("color", {"mode": "fixed", "fixedColor": colour})])
    return made


def _stat(panel: Panel) -> stat.Panel:
    made = _common(stat.Panel(), panel).graph_mode(common.BigValueGraphMode.NONE)
    made.color_mode(common.BigValueColorMode.BACKGROUND)
    made.reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
    # Asked for now: the last value of a range would stand on when nothing is known any more.
    return made.targets(_targets(panel, instant=True))


def _states(panel: Panel) -> statetimeline.Panel:
    made = _common(statetimeline.Panel(), panel).merge_values(True).show_value(common.VisibilityMode.NEVER)
    made.row_height(0.8).legend(_legend())
    return made.targets(_targets(panel, instant=False))


def _table(panel: Panel) -> table.Panel:
    made = _rows(panel)
    fields = ["Value"] if len(panel.queries) == 1 else [f"Value #{letter}" for letter in ascii_uppercase]
    named = dict(zip(fields, (query.name for query in panel.queries), strict=False))
    heads = {value: name for value, name in named.items() if name}
    hidden = {"Time", *named} - set(heads)
    first = {"plant": 0, "line": 1, "defect": 2}
    order = first | {name: number for number, name in enumerate(heads, len(first))}
    made.transformations(
        [
            dashboard.DataTransformerConfig("merge", options={}),
            dashboard.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": dict.fromkeys(sorted(hidden), True),
                    "indexByName": order,
                    "renameByName": heads,
                },
            ),
        ]
    )
    for query in filter(lambda query: query.name, panel.queries):
        made.override_by_name(query.name, _column(query))
    if "state" in heads.values():
        made.override_by_name("line", [Setting("links", [{"title": "open the line", "url": LINE_PAGE}])])
        made.sort_by(
            [build_common.TableSortByFieldState().display_name(name).desc(True) for name in ("state", "evidence")]
        )
    return made


def _matrix(panel: Panel) -> table.Panel:
    fields = {"rowField": "actual", "columnField": "predicted", "valueField": "Value", "emptyValue": "empty"}
    made = _rows(panel)
    return made.transformations([dashboard.DataTransformerConfig("groupingToMatrix", options=fields)])


def _rows(panel: Panel) -> table.Panel:
    made = _common(table.Panel(), panel).cell_height(common.TableCellHeight.SM)
    return made.targets(_targets(panel, instant=True))


def _column(query: Query) -> list[Setting]:
    found = [Setting("unit", query.unit)] if query.unit else []
    if query.unit == "percentunit":
        found.append(Setting("decimals", 1))
    if query.words:
        found.append(Setting("mappings", [_mapping(query.words)]))
    if query.steps:
        found.append(Setting("thresholds", _thresholds(query.steps).build()))
    if query.words or query.steps:
        found.append(Setting("custom.cellOptions", {"type": "color-background"}))
    return found


def _targets(panel: Panel, instant: bool) -> list[Builder[variants.Dataquery]]:
    """Under letters, as Grafana gives them."""
    found: list[Builder[variants.Dataquery]] = []
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        made = Dataquery().ref_id(letter).datasource(SOURCE).expr(query.expr).legend_format(query.name)
        if panel.kind in (Kind.TABLE, Kind.MATRIX):
            made.format(PromQueryFormat.TABLE)
        found.append(made.instant() if instant else made.range())
    return found


def _legend() -> build_common.VizLegendOptions:
    made = build_common.VizLegendOptions().show_legend(True)
    return made.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)


def _thresholds(steps: Sequence[Step]) -> build.ThresholdsConfig:
    made = [dashboard.Threshold(step.value, step.colour) for step in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)


def _mapping(words: Mapping[int, Word]) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        {str(value): dashboard.ValueMappingResult(word.text, word.colour) for value, word in words.items()}
    )
