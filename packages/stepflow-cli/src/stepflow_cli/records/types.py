"""The types of a flow, as records and as one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..output.view import Column, View

if TYPE_CHECKING:
    from stepflow_client.flows import InferredFlow, InferredStep

__all__ = ["type_records", "type_view", "types_object"]

_TYPES = View(
    columns=(Column("part"), Column("name"), Column("component"), Column("type")),
    name="name",
    folds=True,
    fields=("schema", "source", "line", "input", "input.type", "input.schema", "takes", "takes.type", "takes.schema"),
    open_fields=("schema", "input.schema", "takes.schema"),
)


def type_view(*, has_inputs: bool) -> View:
    """Return the view of type records.

    Args:
        has_inputs: Whether the table includes the inputs of the steps.
    """
    if not has_inputs:
        return _TYPES
    *first, last = _TYPES.columns
    inputs = (Column("input.type", title="GIVEN"), Column("takes.type", title="TAKES"))
    return _TYPES._replace(columns=(*first, *inputs, last._replace(title="RETURNS")))


def type_records(flow: InferredFlow) -> list[dict[str, Any]]:
    """Return the types of a flow's input, steps and output as records."""
    return [
        _part("input", flow.summary["input"], flow.input),
        *(_step(each) for each in flow.steps),
        _part("output", flow.summary["output"], flow.output),
    ]


def _part(part: str, words: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"part": part, "name": None, "component": None, "type": words, "schema": schema}


def _step(step: InferredStep) -> dict[str, Any]:
    return {
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


def types_object(name: str, flow: InferredFlow, diagnostics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a flow's types, as schemas, and its diagnostics as one object."""
    steps = [
        {
            "id": each.id,
            "component": each.component,
            "input": each.input,
            "takes": each.takes,
            "output": each.output,
            "source": each.source,
            "line": each.line,
        }
        for each in flow.steps
    ]
    return {"flow": name, "input": flow.input, "output": flow.output, "steps": steps, "diagnostics": diagnostics}
