"""Explains why an item of a run failed, and what state each of its steps is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .._data.secrets import has_hidden_part
from ..flows.components import BUILTINS
from ..flows.graph import FlowSteps
from ..flows.interpreter import NOT_KNOWN, apply_overrides_if_valid
from ..types import ErrorCode, RunArguments, RunItem, StepDetails
from ..types.run_explanation import FailedChild, RunAccount, StepAccount, StepState, count_failed_in_sub_runs
from ..types.runs import RunSnapshot
from ..types.statuses import FAILED_STATUSES, FAILED_STEP, NO_REASON, ExecutionStatus, is_given_up_by_server
from .failure_causes import ItemRecord, says_only_step_failed


def explain_item(run_id: str, index: int, item: ItemRecord, schemas: Mapping[str, Any] | None = None) -> RunAccount:
    """Explain a single item of a run.

    Args:
        run_id: The run ID.
        index: The item index.
        item: The information recorded about the item.
        schemas: Component input schemas by path, in addition to those of builtin components.
    """
    from .component_input_hints import find_step_failure_hint

    cause, error, definition = item.cause, item.error, item.definitions.get(item.cause.step_id or "")
    steps = [_explain_step(item, name) for name in dict.fromkeys([*item.definitions, *item.listed])]
    message = ""
    if error is not None:
        failed = item.listed.get(cause.step_id or "")
        reason = (failed.error if failed is not None else None) or error
        message = reason.message
        says_more = says_only_step_failed(error) and not says_only_step_failed(reason)
        error = replace(error, step_id=cause.step_id, message=message if says_more else error.message)
    return RunAccount(
        run_id=run_id,
        item_index=index,
        status=item.status,
        kind=cause.kind,
        cause=cause.step_id,
        error=error,
        hint=find_step_failure_hint(item.evaluation, definition, message, schemas),
        steps=steps,
        unknown=tuple(_describe_unknown_facts(item, steps)),
    )


def explain_items(
    snapshot: RunSnapshot, items: Iterable[RunItem] | None = None, schemas: Mapping[str, Any] | None = None
) -> dict[int, RunAccount]:
    """Explain a run's items (all of them by default) and return the explanations, keyed by item index."""
    records = iter_item_records(snapshot, items)
    return {index: explain_item(snapshot.run_id, index, record, schemas) for index, record in records}


def explain_steps(snapshot: RunSnapshot, items: Iterable[RunItem] | None = None) -> dict[tuple[int, str], StepAccount]:
    """Explain every step of the items and return the explanations, keyed by item index and step ID."""
    accounts = explain_items(snapshot, items)
    return {(index, step.step_id): step for index, account in accounts.items() for step in account.steps}


def add_states_to_snapshot(snapshot: RunSnapshot) -> RunSnapshot:
    """Return a snapshot with its steps' states and the number of failed sub-run items filled in."""
    steps, flow, details = snapshot.steps, snapshot.flow, snapshot.details
    items, counts = snapshot.items, details.items
    if items is None:
        return snapshot
    if is_given_up_by_server(details.status, counts.running) and all(item.status.is_finished for item in items):
        # The server lost these items but still counts them as running.
        details = replace(details, items=replace(counts, running=0, failed=counts.failed + counts.running))
    snapshot = replace(snapshot, details=details)
    if steps is None or flow is None:
        return snapshot
    # Skip items in which every step's state is the same as its status.
    special = {
        step.id for step in FlowSteps(flow).all if "onError" in step.value or step.value.get("component") in SUB_RUNNERS
    }
    indexes = {step.item_index for step in steps if step.status in FAILED_STATUSES or step.step_id in special}
    accounts = explain_steps(snapshot, [item for item in items if item.index in indexes])
    if details.status is ExecutionStatus.COMPLETED:
        details = replace(details, failed_in_sub_runs=count_failed_in_sub_runs(accounts.values()))
    return replace(snapshot, details=details, steps=set_step_states(steps, accounts))


def set_step_states(steps: Iterable[StepDetails], accounts: Mapping[tuple[int, str], StepAccount]) -> list[StepDetails]:
    """Return the steps with their states filled in from explanations, which are keyed by item index and step ID."""
    explained, names = [], ("state", "because_of", "is_default", "failed_children")
    for step in steps:
        account = accounts.get((step.item_index, step.step_id))
        # If there is no explanation, the step can't have used a default.
        changes = {name: getattr(account, name) for name in names} if account is not None else {"is_default": False}
        explained.append(replace(step, **changes))
    return explained


def iter_item_records(
    snapshot: RunSnapshot, items: Iterable[RunItem] | None = None, *, is_masked: bool = False
) -> Iterator[tuple[int, ItemRecord]]:
    """Yield each item's index and record, one at a time, because records are large. See `explain_items`.

    If `is_masked` is set, recorded arguments are used even if their secrets are masked. This is only suitable for
    display.
    """

    def recorded(value: Any) -> Any:
        return NOT_KNOWN if not is_masked and has_hidden_part(value) else value

    run, steps = snapshot.details, snapshot.steps
    arguments = snapshot.arguments or RunArguments(run_id=run.run_id)
    by_item: dict[int, list[StepDetails]] = {}
    for step in steps or ():
        by_item.setdefault(step.item_index, []).append(step)
    flow, inputs = apply_overrides_if_valid(snapshot.flow or {}, arguments.overrides), arguments.inputs or []
    make_record = partial(
        ItemRecord,
        flow,
        variables=NOT_KNOWN if arguments.variables is None else recorded(arguments.variables),
        has_steps=steps is not None and snapshot.has_all_steps,
        flow_steps=FlowSteps(flow),
        kept=arguments.kept,
    )
    for item in snapshot.items or () if items is None else items:
        # If the run was cancelled, its items never finish, so use the run's status.
        status = item.status if item.status.is_finished else run.status
        input = recorded(inputs[item.index]) if item.index < len(inputs) else NOT_KNOWN
        yield item.index, make_record(status, item.error, by_item.get(item.index, ()), input)


def find_component_needing_schema(account: RunAccount) -> str | None:
    """Return the component whose schema might explain a failure better than its error does, or None."""
    cause = account.step(account.cause or "")
    error = account.error
    if cause is None or cause.component is None or error is None or cause.component in BUILTINS:
        return None
    return cause.component if says_only_step_failed(error) or error.code is ErrorCode.INVALID_INPUT else None


def _explain_step(item: ItemRecord, name: str) -> StepAccount:
    """Explain the state of one of an item's steps."""
    definition, listed = item.definitions.get(name, {}), item.listed.get(name)
    component = (listed.component if listed else None) or definition.get("component")
    if listed is None:
        state = _infer_unlisted_state(item, name)
        error = item.error if state == "failed" else None
        return StepAccount(name, state, component, error=error, is_kept=name in item.kept)
    base = StepAccount(name, "unknown", component, listed.status)
    if listed.status is ExecutionStatus.COMPLETED:
        is_kept, children = listed.is_kept, list(iter_failed_sub_run_items(component, listed.output))
        is_default = not is_kept and _used_default_output(item, definition, listed)
        return replace(base, state="completed", is_default=is_default, failed_children=children, is_kept=is_kept)
    if listed.status in FAILED_STATUSES:
        source = item.find_causing_step(name)
        if source not in (name, None):
            return replace(base, state="not_run", because_of=item.find_step_root_cause(name))
        is_own = source == name or item.cause.step_id == name
        return replace(base, state="failed" if is_own else "unknown", error=listed.error)
    if listed.status is ExecutionStatus.RUNNING:
        return replace(base, state="running")
    return replace(base, state="cancelled" if listed.status is ExecutionStatus.CANCELLED else "unknown")


def _infer_unlisted_state(item: ItemRecord, name: str) -> StepState:
    """Return the state of a step that the server doesn't list."""
    if name in item.kept:
        return "completed"
    if name == item.stalled_step:
        return "not_run"
    if not item.has_steps:
        return "failed" if name == item.cause.step_id else "unknown"
    return "not_needed" if item.is_over else "not_started"


def _used_default_output(item: ItemRecord, definition: Mapping[str, Any], listed: StepDetails) -> bool | None:
    """Return whether a completed step failed and fell back to its default, or None if there is no way to tell."""
    rule = definition.get("onError")
    if not isinstance(rule, Mapping) or rule.get("action") != "useDefault":
        return False
    if not item.has_outputs:
        return None
    if listed.output != rule.get("defaultValue"):
        return False
    from .component_input_hints import may_component_return

    return None if may_component_return(str(definition.get("component")), listed.output) else True


def _describe_unknown_facts(item: ItemRecord, steps: Sequence[StepAccount]) -> Iterator[str]:
    """Describe everything that couldn't be determined."""
    if not item.has_steps:
        yield "this server does not report the steps of this item"
    if not item.flow:
        yield "this run's flow, and therefore which step reads which"
    if item.cause.kind == "unknown":
        yield "which step caused the failure"
    if names := [step.step_id for step in steps if step.state == "unknown" and step.status in FAILED_STATUSES]:
        yield f"whether {', '.join(names)} failed or did not run"
    if names := [step.step_id for step in steps if step.is_default is None]:
        yield f"whether the output of {', '.join(names)} is its default"
    if item.status is ExecutionStatus.CANCELLED and not item.has_steps:
        yield "which steps may still be executing (cancelling a run does not stop its steps)"


SUB_RUNNERS = ("/builtin/map", "/builtin/eval")
"""Components whose outputs can contain sub-run failures."""


def iter_failed_sub_run_items(component: str | None, output: Any) -> Iterator[FailedChild]:
    """Yield the failed sub-run items found in the output of `/builtin/map` or `/builtin/eval`."""
    if not isinstance(output, Mapping):
        return
    results = output.get("results") if component == "/builtin/map" else None
    if component == "/builtin/eval":
        results = [output.get("result")]
    for index, result in enumerate(results if isinstance(results, list) else []):
        if isinstance(result, Mapping) and result.get("outcome") == "failed":
            error = result.get("error")
            message = str(error.get("message") or NO_REASON) if isinstance(error, Mapping) else NO_REASON
            match = FAILED_STEP.match(message)
            yield FailedChild(index, message, match["id"] if match else None)
