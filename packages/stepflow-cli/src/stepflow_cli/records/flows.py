"""The printed form of a stored flow: the flow itself, its outline, or parts of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..inputs.flow import case_names, declared_variables, in_reading_order, step_ids
from ..output.view import Column, Output, View

if TYPE_CHECKING:
    from stepflow_client.types import StoredFlow

__all__ = ["print_flow"]

_FLOW = View(
    columns=(
        Column("flow_id", kind="id"),
        Column("name"),
        Column("description"),
        Column("steps"),
        Column("variables"),
        Column("examples"),
    ),
    name="flow_id",
    fields=("version", "schemas", "output", "test", "metadata"),
    open_fields=("schemas", "output", "test", "metadata"),
)


def print_flow(stored: StoredFlow, output: Output) -> None:
    """Print a flow as runnable YAML or JSON; with table, its outline; with --fields, parts of it."""
    if output.format in ("table", "name"):
        output.record(_outline(stored), _FLOW)
    elif output.fields:
        output.record({"flow_id": stored.flow_id, **in_reading_order(stored.flow)}, _FLOW, default="yaml")
    else:
        output._replace(value_format=output.document_format).value(in_reading_order(stored.flow))


def _outline(stored: StoredFlow) -> dict[str, Any]:
    flow = stored.flow
    return {
        "flow_id": stored.flow_id,
        "name": flow.get("name"),
        "description": flow.get("description"),
        "steps": step_ids(flow),
        "variables": list(declared_variables(flow)),
        "examples": case_names(flow),
    }
