"""Reasons for failed steps that the server does not give: from its components and their schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import nearest

if TYPE_CHECKING:
    from stepflow_client import ComponentInfo, FlowResult
    from stepflow_client._records import PlainResult

    from ..server.connect import Target
    from .job import Job

__all__ = ["explained", "reason_for"]

_NO_ROUTE = "error routing component"
_SWALLOWED = 'step "'
_TIMEOUT = 5.0
"""Seconds to wait for the components; a plugin may not respond."""


def explained(target: Target, job: Job, result: FlowResult | PlainResult) -> str | None:
    """Return why a run failed, as a hint; None if that is unknown.

    The run's account and the components are requested from the server only if its own message has no reason (seen in
    all releases up to 0.13).

    Args:
        target: The server.
        job: The job of the run. A stored flow that was not read gives no hint.
        result: The result of the run.
    """
    from stepflow_client import StepflowClientError
    from stepflow_client.flows.account import flow_with
    from stepflow_client.flows.refusals import hint_for

    error = result.error
    if error is None:
        return None
    flow = flow_with(job.flow, job.overrides)
    hint = hint_for(flow, error.step_id, job.input, job.variables or {})
    if hint is not None or not error.message.startswith((_NO_ROUTE, _SWALLOWED)):
        return hint
    step = next((step for step in flow.get("steps", ()) if step.get("id") == error.step_id), None)
    if step is None:
        return None
    try:
        if error.message.startswith(_SWALLOWED):
            hint = target.client.explain_run(result.run_id).hint
        return hint or reason_for(error.message, step, target.client.list_components(timeout=_TIMEOUT))
    except StepflowClientError:
        # The failure to report is the run's.
        return None


def reason_for(message: str, step: Mapping[str, Any], components: Iterable[ComponentInfo]) -> str | None:
    """Return what a server's message about a step leaves out. A pure function.

    Args:
        message: The message.
        step: The step's definition in the flow.
        components: The server's components; their names lack the route prefix.
    """
    written = str(step.get("component", ""))
    prefix, _, name = written.rpartition("/")
    known = {each.name.rpartition("/")[2]: each for each in components}
    if message.startswith(_NO_ROUTE):
        if name in known:
            return f"nothing is routed to {written}; component names begin with a route, as in /builtin/noop"
        hint = nearest(name, known)
        near = hint.replace("did you mean ", f"did you mean {prefix}/") if hint else "'list-components' lists them"
        return f"there is no component {written}; {near}"
    given, schema = step.get("input"), known[name].input_schema if name in known else None
    required = (schema or {}).get("required") or []
    if not isinstance(given, dict | None) or any(key.startswith("$") for key in given or {}):
        return None
    missing = [key for key in required if key not in (given or {})]
    return f"component {written} requires {', '.join(missing)} in its input" if missing else None
