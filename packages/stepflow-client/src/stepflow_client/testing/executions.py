"""Reads what the runs of a test case have executed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._cases.coverage import Execution
from .._runs.causes import ItemRecord
from ..flows.graph import inner_flow, steps_by_id

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from ..types import StepDetails
    from .mocked_flow import MockedRun


def executions(
    client: SyncStepflowClient, flow: Mapping[str, Any], runs: Sequence[MockedRun]
) -> Iterator[tuple[MockedRun, Execution]]:
    """Yield the runs of a case with what they executed, each before those of the flows in its steps.

    Args:
        client: A client of the server.
        flow: The flow.
        runs: The runs.
    """
    used: set[tuple[str, ...]] = set()
    for run in sorted(runs, key=lambda each: len(each.within)):
        # A mock is also asked for a step that its flow then does not need.
        if run.within and run.within not in used:
            continue
        steps = list(client.get_run_steps(run.result.run_id))
        used |= {(*run.within, step.step_id) for step in steps}
        within, result = _flow_within(flow, run.within), run.result
        record = ItemRecord(within, result.status, result.error, steps, run.input, run.variables or {})
        yield run, Execution(run.within, record, run.mocked)


def created_executions(
    client: SyncStepflowClient,
    run_id: str,
    within: tuple[str, ...],
    flow: Mapping[str, Any],
    executed: Collection[str],
) -> Iterator[Execution]:
    """Yield the executions of the flows in the steps of a run, which the server has executed as runs of their own.

    Servers do not report which step created a run: it counts for each step whose flow has its name and its steps.

    Args:
        client: A client of the server.
        run_id: The run.
        within: The ids of the steps whose flow it executed.
        flow: That flow.
        executed: The steps that may have created runs.
    """
    inner = {
        step_id: found.flow
        for step_id, step in steps_by_id(flow).items()
        if step_id in executed and (found := inner_flow(step)) is not None and isinstance(found.flow, Mapping)
    }
    for child in client.list_runs(parent_run_id=run_id).runs if inner else ():
        read = client.snapshot(child.run_id, include=("items", "steps"))
        steps = read.steps
        if steps is None:
            # Older servers do not list the steps of runs that steps created.
            continue
        for step_id, below in inner.items():
            if below.get("name") != child.flow_name or not _are_of(steps, below):
                continue
            for item in read.items or ():
                own = [step for step in steps if step.item_index == item.index]
                yield Execution((*within, step_id), ItemRecord(below, item.status, item.error, own))
            names = {step.step_id for step in steps}
            yield from created_executions(client, child.run_id, (*within, step_id), below, names)


def _are_of(steps: Sequence[StepDetails], flow: Mapping[str, Any]) -> bool:
    own = {(step_id, step.get("component")) for step_id, step in steps_by_id(flow).items()}
    return {(step.step_id, step.component) for step in steps} <= own


def _flow_within(flow: Mapping[str, Any], within: Sequence[str]) -> Mapping[str, Any]:
    for name in within:
        inner = inner_flow(steps_by_id(flow)[name])
        assert inner is not None
        flow = inner.flow
    return flow
