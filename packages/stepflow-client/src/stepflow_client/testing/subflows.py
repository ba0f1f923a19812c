"""The builtin components that run a flow for each input: `/builtin/map` and `/builtin/iterate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._cases.mock_outcomes import of_flow_result
from .._runs.pins import Fails
from ..flows.graph import SUBFLOW_INPUTS

RunAll = Callable[[Any, Sequence[Any]], list[dict[str, Any]]]
"""Runs a flow with each of several inputs, and returns the flow results."""


def subflow_outcome(component: str, step_id: str, step_input: Any, run: RunAll) -> Any:
    """Return the outcome of a step with one of these components: its output, or `Fails`."""
    rejected = Fails("UNREACHABLE", f'step "{step_id}" failed')
    flow = step_input.get(SUBFLOW_INPUTS[component]) if isinstance(step_input, Mapping) else None
    if not isinstance(flow, Mapping):
        return rejected
    if component == "/builtin/map":
        if not isinstance(step_input.get("items"), list):
            return rejected
        # Failed elements do not fail the step.
        results = run(flow, step_input["items"])
        failed = sum(each["outcome"] == "failed" for each in results)
        return {"results": results, "successful": len(results) - failed, "failed": failed}
    limit = step_input.get("max_iterations")
    limit = 1000 if limit is None else limit
    if "initial_input" not in step_input or not isinstance(limit, int):
        return rejected
    # A failed iteration ends the step.
    value, turns = step_input["initial_input"], 0
    while turns < limit:
        (result,) = run(flow, [value])
        turns += 1
        if result["outcome"] == "failed":
            return of_flow_result(result)
        output = result["result"] if isinstance(result["result"], Mapping) else {}
        if "result" in output:
            return {"result": output["result"], "iterations": turns, "terminated": False}
        if "next" not in output:
            return Fails("INVALID_INPUT", "Workflow result must contain either 'result' or 'next' field")
        value = output["next"]
    return {"result": value, "iterations": turns, "terminated": True}
