"""Adds error details to a run's failed or lost items, based on its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from ..types import ErrorCode, ExecutionStatus, FlowError, ListItemsResponse, RunItem, RunItems, StepDetails
from ..types.statuses import FAILED_STEP, NO_REASON

StepsByItem: TypeAlias = Mapping[int, Sequence[StepDetails]]
"""Steps by item index."""


def as_lazy_run_items(listed: ListItemsResponse) -> RunItems:
    """Return a response's items as `RunItems`, which builds each item on first access."""
    items = listed.items
    return items if isinstance(items, RunItems) else RunItems(items)


def is_failure_cause_ambiguous(listed: ListItemsResponse, places: Iterable[int], steps: StepsByItem) -> bool:
    """Return True if we need the flow to tell which step caused a failure (several failed, or their errors differ)."""
    items = as_lazy_run_items(listed)
    for place in places:
        error, of_steps = items[place].error, steps.get(items[place].index, ())
        errors = [(step.error.message, step.error.code) for step in of_steps if step.error is not None]
        if error is not None and errors and errors != [(error.message, error.code)]:
            return True
    return False


def add_failed_step_to_errors(
    listed: ListItemsResponse, places: Iterable[int], steps: StepsByItem, flow: Mapping[str, Any]
) -> ListItemsResponse:
    """Add the cause of each item's failure to the item's error.

    An item's own error often just says that a step failed. The new one says which step it was and why it failed.

    Args:
        listed: The items.
        places: The positions of the failed items whose steps were requested.
        steps: Steps by item index.
        flow: The run's flow, or an empty mapping if it's unknown or isn't needed.
    """
    from .._runs.failure_causes import ItemRecord
    from ..flows.graph import FlowSteps

    items = as_lazy_run_items(listed)
    flow_steps = FlowSteps(flow)
    explained: dict[int, RunItem] = {}
    for place in places:
        item = items[place]
        item_steps, error = steps.get(item.index, ()), item.error
        if error is None or not item_steps:
            continue
        cause = ItemRecord(flow, item.status, error, item_steps, flow_steps=flow_steps).cause
        failed = next((step for step in item_steps if step.step_id == cause.step_id), None)
        if failed is None:
            if cause.kind == "output" or (flow and error.step_id not in {step.step_id for step in item_steps}):
                # The step named in the error is in a sub-flow, or isn't the one that made the item fail.
                explained[place] = replace(item, error=replace(error, step_id=None))
        elif failed.error is not None:
            # Keep the item's own message if it says more than just that the step failed.
            says_less = FAILED_STEP.match(error.message) and failed.error.message != NO_REASON
            message, code = failed.error.message if says_less else error.message, error.code or failed.error.code
            explained[place] = replace(item, error=replace(error, step_id=failed.step_id, message=message, code=code))
    return replace(listed, items=items._with_replaced_items(explained))


def add_lost_run_errors(listed: ListItemsResponse, status: ExecutionStatus, started: StepsByItem) -> ListItemsResponse:
    """Add an error to a lost run's unfinished items.

    If the server's store fails, an item's output can be missing even though the run completed.

    Args:
        listed: The items.
        status: The run's final status.
        started: The steps that had started, by item index, for items whose steps were requested.
    """
    items = as_lazy_run_items(listed)
    lost: dict[int, RunItem] = {}
    message = "the server lost the run before this item ended"
    if status == ExecutionStatus.COMPLETED:
        status, message = ExecutionStatus.FAILED, "the server completed the run without the output of this item"
    for place in items._find_unfinished_positions():
        steps = started.get(items[place].index)
        code, step_id, consequence = ErrorCode.LOST, None, "some of its steps may have run and would run again"
        if steps:
            step_id = next((step for step in steps if not step.status.is_finished), steps[-1]).step_id
            consequence = "some of its steps had started and would run again"
        elif steps is not None:
            code, consequence = ErrorCode.LOST_BEFORE_START, "the server lists none of its steps as started"
        details = None if steps is None else {"started_steps": [step.step_id for step in steps]}
        error = FlowError(message=f"{message}; {consequence}", code=code, step_id=step_id, details=details)
        lost[place] = replace(items[place], status=status, error=error)
    return replace(listed, items=items._with_replaced_items(lost))
