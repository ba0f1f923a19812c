"""Explains why runs failed, including reasons that the server doesn't report, based on an account of their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stepflow_client import StepflowClientError

from ..server.connect import describe_plugins_without_worker, fetch_components

if TYPE_CHECKING:
    from stepflow_client import ComponentList, FlowResult, RunDetails, StepDetails, SyncStepflowClient

    from ..server.connect import Target

MAX_EXPLAINED_ITEMS = 1000
"""Maximum number of items in a run whose steps are fetched to explain failures or to count failed items in sub-runs."""


def add_states_if_steps_failed(
    client: SyncStepflowClient, run_id: str, steps: Sequence[StepDetails], item_index: int | None = None
) -> Sequence[StepDetails]:
    """Return steps with their states. More of the run is only fetched if a step or one of its sub-runs failed."""
    from stepflow_client._runs.explanation import iter_failed_sub_run_items, set_step_states

    if not any(step.error is not None or any(iter_failed_sub_run_items(step.component, step.output)) for step in steps):
        return steps
    run = client.snapshot(run_id, include=("items", "steps", "flow", "arguments"), item_index=item_index)
    return set_step_states(steps, {(step.item_index, step.step_id): step for step in run.steps or ()})


def add_failed_sub_run_item_count(client: SyncStepflowClient, run: RunDetails) -> RunDetails:
    """Return a completed run with the number of failed items in its sub-runs, or any other run unchanged."""
    from stepflow_client._runs.explanation import SUB_RUNNERS
    from stepflow_client.flows.graph import FlowSteps

    if run.status.value != "completed" or run.items.total > MAX_EXPLAINED_ITEMS:
        return run
    flow = client.snapshot(run.run_id, include="flow").flow or {}
    if not any(step.value.get("component") in SUB_RUNNERS for step in FlowSteps(flow).all):
        return replace(run, failed_in_sub_runs=0)
    return client.snapshot(run.run_id, include=("items", "steps", "flow", "arguments")).details


def read_explained_run(client: SyncStepflowClient, run_id: str) -> RunDetails:
    """Return a run with the reason for its failure or, if it succeeded, the number of failed items in its sub-runs."""
    from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

    run = client.snapshot(run_id, include="counts").details
    # Check the items as well as the status, because a sub-run completes even if some of its items fail.
    if run.items.total and (run.status in UNSUCCESSFUL_STATUSES or (run.items.failed and run.is_finished)):
        return client.snapshot(run_id, include=("counts", "account")).details
    return add_failed_sub_run_item_count(client, run)


_NO_ROUTE_PREFIX = "error routing component"
_STEP_FAILED_PREFIX = 'step "'
_UNSET_VARIABLE_PREFIX = "Undefined variable: "
# Timeout in seconds for fetching the list of components, in case a plugin doesn't respond.
_TIMEOUT = 5.0


def find_failure_hint(
    target: Target, result: FlowResult, flow: Mapping[str, Any], input: Any, variables: Mapping[str, Any] | None
) -> str | None:
    """Return a hint about why a run failed, or None if the cause can't be found.

    The run's account and the components are only fetched if the server's own message gives no reason, which happens in
    all releases.

    Args:
        target: The server.
        result: The run's result.
        flow: The run's flow, with overrides applied.
        input: The run's input.
        variables: The run's variables.
    """
    from stepflow_client._command import find_run_error_hint

    error = result.error
    if error is None:
        return None
    hint = find_run_error_hint(error, flow, input, variables or {})
    if isinstance(input, list) and error.message.startswith("Input path"):
        return "the input is a list; to run the flow once per item, use 'stepflow batch FLOW INPUTS'"
    if error.message.startswith(_UNSET_VARIABLE_PREFIX):
        return f"set it with --var {error.message.removeprefix(_UNSET_VARIABLE_PREFIX)}=VALUE"
    if hint is not None or not error.message.startswith((_NO_ROUTE_PREFIX, _STEP_FAILED_PREFIX)):
        return hint
    step = next((step for step in flow.get("steps", ()) if step.get("id") == error.step_id), None)
    if step is None:
        return None
    try:
        if error.message.startswith(_STEP_FAILED_PREFIX):
            hint = target.client.explain_run(result.run_id).hint
        return hint or _explain_vague_message(error.message, flow, step, fetch_components(target, timeout=_TIMEOUT))
    except StepflowClientError:
        # Let the caller report the run's failure, not this error.
        return None


def _explain_vague_message(
    message: str, flow: Mapping[str, Any], step: Mapping[str, Any], listed: ComponentList
) -> str | None:
    """Explain a server message that gives no reason, the way `stepflow validate` would."""
    from stepflow_client._command import check_source
    from stepflow_client.flows.components import Components, convert_to_components
    from stepflow_client.flows.syntax_tree import FlowText

    components = convert_to_components(listed)
    if message.startswith(_NO_ROUTE_PREFIX):
        place = f"$.steps[{list(flow['steps']).index(step)}].component"
        findings = check_source(FlowText.from_source(flow), components)
        finding = next((finding for finding in findings if finding.path == place), None)
        if finding is not None:
            return f"{finding.message}; {finding.hint}" if finding.hint else finding.message
        unknown = f"unknown component {step['component']!r}; see 'stepflow components list'"
        return describe_plugins_without_worker(listed) or unknown
    given, schemas = step.get("input"), (components or Components()).find_schemas(str(step.get("component")))
    required = (schemas[0] or {}).get("required") or [] if schemas else []
    if not isinstance(given, dict | None) or any(key.startswith("$") for key in given or {}):
        return None
    missing = [key for key in required if key not in (given or {})]
    return f"component {step['component']} requires {', '.join(missing)} in its input" if missing else None
