"""Step coverage: the steps of a flow, and of the flows inside it, that runs reach. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from .._runs.causes import ItemRecord
from .._runs.explanation import explain_item
from ..errors import InvalidArgumentError
from ..flows.expressions import Path
from ..flows.flow_argument import FlowSource, load_flow
from ..flows.graph import FlowSteps, inner_flow
from ..types.shown import Record


@dataclass(frozen=True)
class StepCoverage(Record):
    """A step, and the cases that reach it."""

    path: tuple[str, ...]
    """The id of the step, after the ids of the steps that contain its flow."""
    at: Path
    """Where it is in the flow."""
    state: Literal["reached", "mocked", "not_reached"] = "not_reached"
    """`mocked`: the step was never executed, but a mock stood for it."""
    cases: tuple[str, ...] = ()
    """The cases that reach it."""

    @property
    def is_reached(self) -> bool:
        """Whether a case reaches it, be it with a mock."""
        return self.state != "not_reached"


class Execution(NamedTuple):
    """A flow that was executed once, or a flow in one of its steps."""

    within: tuple[str, ...]
    """The ids of the steps whose flow it is; empty for the flow itself."""
    record: ItemRecord
    mocked: Collection[str] = ()
    """The steps with a mock."""


class FlowCoverage:
    """Collects which steps of a flow are reached.

    Args:
        flow: The flow: a path, a mapping or an object.
    """

    def __init__(self, flow: FlowSource) -> None:
        """List the steps.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If it is no flow.
        """
        self._steps: dict[tuple[str, ...], StepCoverage] = {}
        try:
            self._add_flow(load_flow(flow), (), ())
        except RecursionError:
            raise InvalidArgumentError("the flow is nested too deeply") from None

    @property
    def steps(self) -> list[StepCoverage]:
        """The steps, in the order of the flow."""
        return list(self._steps.values())

    def _add_flow(self, flow: Mapping[str, Any], within: tuple[str, ...], at: Path) -> None:
        for step in FlowSteps(flow).by_id.values():
            path, place = (*within, step.id), (*at, "steps", step.index)
            self._steps[path] = StepCoverage(path, place)
            inner = inner_flow(step.value)
            if inner is not None and isinstance(inner.flow, Mapping):
                self._add_flow(inner.flow, path, (*place, *inner.at))

    def _add(self, case: str, execution: Execution) -> None:
        """Add the steps that a case has executed."""
        for account in explain_item("", 0, execution.record).steps:
            step = self._steps.get((*execution.within, account.step_id))
            if step is None or account.state not in ("completed", "failed"):
                continue
            is_mocked = account.step_id in execution.mocked and step.state != "reached"
            cases = tuple(dict.fromkeys((*step.cases, case)))
            self._steps[step.path] = replace(step, state="mocked" if is_mocked else "reached", cases=cases)
