"""Reads the steps that the runs of a test case executed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._cases.coverage import Execution
from .._runs.causes import ItemRecord
from ..flows.graph import inner_flow, steps_by_id

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from .mocked_flow import MockedRun


def executions(
    client: SyncStepflowClient, flow: Mapping[str, Any], runs: Sequence[MockedRun]
) -> Iterator[tuple[MockedRun, Execution]]:
    """Yield the runs of a case with the steps that they executed; outer runs before the runs of sub-flows."""
    used: set[tuple[str, ...]] = set()
    for run in sorted(runs, key=lambda each: len(each.within)):
        # The mock of a step runs its sub-flow even if the outer flow then does not need the step.
        if run.within and run.within not in used:
            continue
        steps = list(client.get_run_steps(run.result.run_id))
        used |= {(*run.within, step.step_id) for step in steps}
        own, result = flow, run.result
        for name in run.within:
            inner = inner_flow(steps_by_id(own)[name])
            assert inner is not None
            own = inner.flow
        record = ItemRecord(own, result.status, result.error, steps, run.input, run.variables or {})
        yield run, Execution(run.within, record, run.mocked)


def created_executions(
    client: SyncStepflowClient,
    run_id: str,
    within: tuple[str, ...],
    flow: Mapping[str, Any],
    executed: Collection[str],
) -> Iterator[Execution]:
    """Yield the executions of sub-flows that the server executed as runs of their own.

    Servers do not report which step created a run: count it for each step whose flow has the same name and steps.

    Args:
        client: A client of the server.
        run_id: The run.
        within: The ids of the steps that contain its flow.
        flow: The flow of the run.
        executed: The steps that may have created runs.
    """
    inner = {
        step_id: sub_flow.flow
        for step_id, step in steps_by_id(flow).items()
        if step_id in executed and (sub_flow := inner_flow(step)) is not None and isinstance(sub_flow.flow, Mapping)
    }
    for child in client.list_runs(parent_run_id=run_id).runs if inner else ():
        read = client.snapshot(child.run_id, include=("items", "steps"))
        steps = read.steps
        if steps is None:
            # Older servers do not list the steps of sub-runs.
            continue
        for step_id, below in inner.items():
            declared = {(name, each.get("component")) for name, each in steps_by_id(below).items()}
            executed_steps = {(step.step_id, step.component) for step in steps}
            if below.get("name") != child.flow_name or not executed_steps <= declared:
                continue
            for item in read.items or ():
                own = [step for step in steps if step.item_index == item.index]
                yield Execution((*within, step_id), ItemRecord(below, item.status, item.error, own))
            names = {step.step_id for step in steps}
            yield from created_executions(client, child.run_id, (*within, step_id), below, names)
