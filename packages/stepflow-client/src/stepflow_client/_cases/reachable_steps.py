"""Which steps a run executes, as far as its input and its mocks tell before it is run. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..flows.expressions import Reference
from ..flows.graph import FlowSteps, inner_flow, steps_within
from ..flows.interpreter import BROKEN, Failure, NotKnownError, RecordedEvaluation


def steps_reached(
    flow: Mapping[str, Any], input: Any, variables: Mapping[str, Any], mocked: Collection[str] = ()
) -> Iterator[Mapping[str, Any]]:
    """Yield the steps that a run may execute, with those of the flows in their inputs.

    A step is left out if nothing needs it, or only a branch that is not taken: one whose condition depends on the input
    and on variables alone. Where a condition reads a step, both branches are followed.

    Args:
        flow: The flow.
        input: The input of the run.
        variables: The variables of the run.
        mocked: The ids of steps with a mock. They are yielded, and what only they read is not.
    """
    steps = FlowSteps(flow)
    evaluation = RecordedEvaluation(flow, input, variables, {}, is_over=False)
    reached = steps.needed(may_read=lambda each: _may_be_read(each, evaluation), unread=mocked)
    for step in steps.all:
        if step.id in reached:
            yield step.value
            inner = inner_flow(step.value)
            if inner is not None and step.id not in mocked:
                yield from steps_within(inner.flow, needed=True)


def _may_be_read(reference: Reference, evaluation: RecordedEvaluation) -> bool:
    return all(
        _holds(branch.condition, evaluation) in (None, branch.kind == "then")
        for branch in reference.branches
        if branch.kind in ("then", "else")
    )


def _holds(condition: Any, evaluation: RecordedEvaluation) -> bool | None:
    """Return whether a condition holds; None if that is not known."""
    try:
        return evaluation.value({"$if": condition, "then": True, "else": False}) is True
    except (Failure, NotKnownError, *BROKEN):
        return None
