"""Why a run failed: the account of its steps, and reasons that the server does not give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepflow_client import StepflowClientError

from ..errors import nearest
from ..inputs.python_flow import is_python_flow, python_flow

if TYPE_CHECKING:
    from stepflow_client import (
        ComponentInfo,
        FlowResult,
        RunAccount,
        RunDetails,
        StepAccount,
        StepDetails,
        SyncStepflowClient,
    )

    from ..server.connect import Target
    from .job import Job


def accounts_of_steps(
    client: SyncStepflowClient, run_id: str, steps: Sequence[StepDetails], item_index: int | None = None
) -> dict[tuple[int, str], StepAccount]:
    """Return the account of each listed step, by item index and step id; none if no step failed."""
    from stepflow_client._runs.explanation import failed_children, step_accounts

    if not any(step.error is not None or any(failed_children(step.component, step.output)) for step in steps):
        return {}
    run = client.snapshot(run_id, include=("items", "steps", "flow", "arguments"), item_index=item_index)
    indexes = {step.item_index for step in steps}
    return step_accounts(run, [item for item in run.items or () if item.index in indexes])


def failed_children_of(client: SyncStepflowClient, run: RunDetails) -> int:
    """Return the number of items of sub-runs that failed although the run completed."""
    from stepflow_client._runs.explanation import RUNS_FLOWS, step_accounts
    from stepflow_client.types.account import failed_in_sub_runs

    if run.status.value != "completed" or run.items.total > _MOST_EXPLAINED:
        return 0
    flow = client.snapshot(run.run_id, include="flow").flow or {}
    if not any(step.get("component") in RUNS_FLOWS for step in flow.get("steps", ())):
        return 0
    snapshot = client.snapshot(run.run_id, include=("items", "steps", "flow", "arguments"))
    return failed_in_sub_runs(step_accounts(snapshot).values())


def account_of_run(client: SyncStepflowClient, run: RunDetails) -> RunAccount | None:
    """Return the account of a run that did not succeed; None for another run."""
    from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

    if run.status not in UNSUCCESSFUL_STATUSES or not run.items.total:
        return None
    return client.snapshot(run.run_id, include="account").account


_MOST_EXPLAINED = 1000
"""The steps of larger runs are not requested to count failed items of their sub-runs."""
_NO_ROUTE = "error routing component"
_SWALLOWED = 'step "'
_TIMEOUT = 5.0
"""Seconds to wait for the components; a plugin may not respond."""


def explained(target: Target, job: Job, result: FlowResult) -> str | None:
    """Return why a run failed, as a hint; None if that is unknown.

    The run's account and the components are requested from the server only if its own message has no reason (seen in
    all releases).

    Args:
        target: The server.
        job: The job of the run. A stored flow that was not read gives no hint.
        result: The result of the run.
    """
    from stepflow_client._command import FailureHints

    error = result.error
    if error is None:
        return None
    flow = job.with_overrides
    hint = FailureHints(flow, job.variables or {}).of(error, job.input)
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


def written_in_python(job: Job, result: FlowResult) -> str | None:
    """Return a sentence that says where the step that failed is written; None for flows that are not in Python."""
    from stepflow_client.flows.python_places import written_at

    flow = str(job.about.get("flow_file", ""))
    if result.error is None or not is_python_flow(flow):
        return None
    return written_at(python_flow(flow).value, result.error.step_id)


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
        near = hint.replace("did you mean ", f"did you mean {prefix}/") if hint else "'components list' lists them"
        return f"there is no component {written}; {near}"
    given, schema = step.get("input"), known[name].input_schema if name in known else None
    required = (schema or {}).get("required") or []
    if not isinstance(given, dict | None) or any(key.startswith("$") for key in given or {}):
        return None
    missing = [key for key in required if key not in (given or {})]
    return f"component {written} requires {', '.join(missing)} in its input" if missing else None
