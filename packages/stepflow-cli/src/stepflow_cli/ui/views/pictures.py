"""Flows as pictures and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from stepflow_client import StepDetails

__all__ = ["flow_lines", "flow_picture"]

_MOST_DRAWN_STEPS = 150


def flow_picture(flow: Mapping[str, Any], steps: Sequence[StepDetails] = ()) -> str:
    """Return the graph of a flow as SVG, coloured by the status of its steps; nothing where it cannot be drawn."""
    from stepflow_client import StepflowClientError
    from stepflow_client.drawing import DrawingUnavailableError
    from stepflow_client.drawing.report_page import statuses_of
    from stepflow_client.drawing.svg import svg
    from stepflow_client.flows.graph import flow_graph

    if not flow.get("steps") or len(flow["steps"]) > _MOST_DRAWN_STEPS:
        return ""
    try:
        # It escapes what it is given.
        return Markup(svg(flow_graph(flow), statuses=statuses_of(steps), style=False))  # noqa: S704
    except (DrawingUnavailableError, StepflowClientError):
        return ""


def flow_lines(flow: Mapping[str, Any]) -> list[str]:
    """Return a flow as lines of YAML."""
    import yaml

    return yaml.safe_dump(dict(flow), sort_keys=False, allow_unicode=True, width=110).splitlines()
