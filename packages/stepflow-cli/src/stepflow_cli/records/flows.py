"""Formats flows and their inferred types, as records or as an outline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepflow_client._data.flow_declarations import get_variable_declarations

from ..errors import usage
from ..inputs.flow_loading import list_example_and_case_names, list_step_ids, sort_flow_keys
from ..output.printing import Output
from ..output.record_views import Column, View, columns

if TYPE_CHECKING:
    from stepflow_client.flows import InferredFlow

_FLOW_VIEW = View(columns("flow_id:id", "name", "description", "steps", "variables", "examples"), name="flow_id")


def print_flow(flow: Mapping[str, Any], output: Output, flow_id: str | None) -> None:
    """Print a flow as YAML or JSON that can be run, or as an outline in a table.

    Args:
        flow: The flow.
        output: Where to print it.
        flow_id: The flow's ID on a server, or None if the flow is in a file.
    """
    if output.format == "name" and flow_id is None:
        hint = "to store the flow and print its ID, use 'stepflow flows store'"
        raise usage("-o name prints a flow's ID, but a flow in a file has none", hint)
    if output.format in ("table", "name"):
        outline = {
            "flow_id": flow_id,
            "name": flow.get("name"),
            "description": flow.get("description"),
            "steps": list_step_ids(flow),
            "variables": list(get_variable_declarations(flow)),
            "examples": list_example_and_case_names(flow),
        }
        output.print_record(outline, _FLOW_VIEW)
    else:
        output._replace(value_format=output.document_format).print_value(sort_flow_keys(flow))


_TYPE_VIEW = View(
    columns=columns("part", "name", "component", "type"),
    name="name",
    folds=True,
    fields=("schema", "source", "line", "input", "input.type", "input.schema", "takes", "takes.type", "takes.schema"),
    open_fields=("schema", "input.schema", "takes.schema"),
)


def get_inferred_types_view(*, has_inputs: bool) -> View:
    """Return the view used to display inferred-type records.

    Args:
        has_inputs: Whether the table includes the types of step inputs.
    """
    if not has_inputs:
        return _TYPE_VIEW
    *first, last = _TYPE_VIEW.columns
    inputs = (Column("input.type", title="GIVEN"), Column("takes.type", title="TAKES"))
    return _TYPE_VIEW._replace(columns=(*first, *inputs, last._replace(title="RETURNS")))


def list_inferred_type_records(flow: InferredFlow) -> list[dict[str, Any]]:
    """Return the types of a flow's input, steps and output as records."""
    ends = {
        part: {"part": part, "name": None, "component": None, "type": flow.summary[part], "schema": getattr(flow, part)}
        for part in ("input", "output")
    }
    steps = [
        {
            "part": "step",
            "name": step.id,
            "component": step.component,
            "type": step.summary["output"],
            "schema": step.output,
            "source": step.source,
            "line": step.line,
            "input": {"type": step.summary["input"], "schema": step.input},
            "takes": {"type": step.summary["takes"], "schema": step.takes},
        }
        for step in flow.steps
    ]
    return [ends["input"], *steps, ends["output"]]


def build_types_object(name: str, flow: InferredFlow, diagnostics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a single object with a flow's types (as schemas) and its diagnostics."""
    fields = ("id", "component", "input", "takes", "output", "source", "line")
    steps = [{field: getattr(step, field) for field in fields} for step in flow.steps]
    return {"flow": name, "input": flow.input, "output": flow.output, "steps": steps, "diagnostics": diagnostics}
