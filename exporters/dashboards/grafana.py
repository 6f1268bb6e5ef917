"""Boards as Grafana reads them. This file and `shapes.py` alone know Grafana's schema, through its foundation SDK."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from exporters.dashboards.parts import CALM, Board, Event, Variable
from exporters.dashboards.shapes import SOURCE, shaped

TAG = "redrabbit"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the panels' links lead: URLs, which can be changed on the dashboard too."""

    station: str
    runbook: str


def rendered(board: Board, places: Places) -> str:
    """The JSON text of one dashboard."""
    made = (
        build.Dashboard(board.title)
        .uid(board.uid)
        .description(f"{board.about} Written by `redrabbit dashboards`: change it there.")
        .tags([TAG])
        .editable()
        .refresh("30s")
        .time("now-24h", "now")
        .timezone("utc")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .variables([build.DatasourceVariable("datasource").label("data source").type("prometheus")])
        .annotations([_event(event) for event in board.events])
        .links(
            [
                build.DashboardLink("redrabbit")
                .type(dashboard.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .include_vars(True)
                .keep_time(True),
                build.DashboardLink("station").url("${station}").target_blank(True),
                build.DashboardLink("runbook").url("${runbook}").target_blank(True),
            ]
        )
    )
    for variable in board.variables:
        made.with_variable(_variable(variable))
    for name, url in (("station", places.station), ("runbook", places.runbook)):
        made.with_variable(build.TextBoxVariable(name).default_value(url).hide(dashboard.VariableHide.IN_CONTROLS_MENU))
    ids = count(1)
    for row in board.rows:
        if row.panels:
            made.with_row(build.Row(row.title).id(next(ids)))
            for panel in row.panels:
                made.with_panel(shaped(panel).id(next(ids)))
    return _Encoder(sort_keys=True, indent=1, ensure_ascii=False).encode(made.build()) + "\n"


class _Encoder(JSONEncoder):
    def default(self, obj: Any) -> Any:
        found = super().default(obj)
        found.pop("placement", None)  # the SDK hides every link and mark in a menu
        return found


def _variable(variable: Variable) -> build.QueryVariable:
    made = (
        build.QueryVariable(variable.name)
        .label(variable.name)
        .query(f"label_values({variable.series}, {variable.name})")
        .datasource(SOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )
    if not variable.every:
        return made
    everything = dashboard.VariableOption(True, ["All"], ["$__all"])
    return made.multi(True).include_all(True).all_value(".*").current(everything)


def _event(event: Event) -> build.AnnotationQuery:
    return (
        build.AnnotationQuery()
        .name(event.name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(CALM)
        .expr(event.expr)
        .step("60s")
        .use_value_for_time(True)
        .title_format(event.name)
        .text_format(event.text)
    )
