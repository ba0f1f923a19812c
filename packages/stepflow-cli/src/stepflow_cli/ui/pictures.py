"""The pictures of flows and runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from .reports import MOST_STEPS

if TYPE_CHECKING:
    from stepflow_client.drawing import RunReport

_MOST_DRAWN_STEPS = 150
_ORDER = (
    *("name", "description", "version", "schemas", "id", "component", "input", "onError", "mustExecute"),
    *("steps", "output", "examples", "test", "metadata"),
)


def timeline_of(report: RunReport) -> str:
    """Return the timeline of a report as SVG; empty if no step has times."""
    from stepflow_client.drawing.charts import timeline
    from stepflow_client.drawing.report_page import bars_of

    bars = bars_of(report, until=None if report.run.is_finished else datetime.now(UTC))
    # `timeline` escapes its values.
    return Markup(timeline(bars[:MOST_STEPS])) if bars else ""  # noqa: S704


def picture_of(report: RunReport) -> str:
    """Return the graph of a report as SVG, coloured by its statuses; empty if it cannot be drawn."""
    from stepflow_client.drawing.report_page import statuses_of

    return flow_picture(report.flow, statuses_of(report))


def flow_picture(flow: Mapping[str, Any], statuses: Mapping[str, str] | None = None) -> str:
    """Return the graph of a flow as SVG, coloured by the statuses of its steps; empty if it cannot be drawn."""
    from stepflow_client import StepflowClientError
    from stepflow_client.drawing import DrawingUnavailableError
    from stepflow_client.drawing.graph import flow_graph
    from stepflow_client.drawing.svg import svg

    if not flow.get("steps") or len(flow["steps"]) > _MOST_DRAWN_STEPS:
        return ""
    try:
        # `svg` escapes its values.
        return Markup(svg(flow_graph(flow), statuses=statuses, style=False))  # noqa: S704
    except (DrawingUnavailableError, StepflowClientError):
        return ""


def flow_lines(flow: Mapping[str, Any]) -> list[str]:
    """Return a flow as lines of YAML in a fixed order: servers from 0.12 on change the order each time."""
    import yaml

    return yaml.safe_dump(_ordered(flow), sort_keys=False, allow_unicode=True, width=110).splitlines()


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    if not isinstance(value, Mapping):
        return value

    def place(key: str) -> tuple[int, str]:
        return (_ORDER.index(key) if key in _ORDER else len(_ORDER), key)

    return {key: _ordered(value[key]) for key in sorted(value, key=place)}
