"""Measures flow coverage, i.e. which of a flow's steps its test cases reach."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from .._runs.explanation import explain_item
from .._runs.failure_causes import ItemRecord
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.expressions import Path
from ..flows.graph import FlowSteps, find_inner_flow, get_steps_by_id
from ..flows.reading import FlowSource, load_flow
from ..types.model_base import Record

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient


@dataclass(frozen=True)
class StepCoverage(Record):
    """A step and the cases that reach it."""

    path: tuple[str, ...]
    """The step's ID, preceded by the IDs of the steps containing its flow."""
    at: Path
    """Path to the step within the flow."""
    state: Literal["reached", "mocked", "not_reached"] = "not_reached"
    """`mocked` means that the step was only ever replaced with a mock, never executed."""
    cases: tuple[str, ...] = ()
    """The cases that reach the step."""

    @property
    def is_reached(self) -> bool:
        """Whether any case reaches the step, even if only with a mock."""
        return self.state != "not_reached"


class FlowCoverage:
    """Collects which of a flow's steps are reached.

    Args:
        flow: The flow, as a path, mapping or object.
    """

    def __init__(self, flow: FlowSource) -> None:
        """List the steps.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If it isn't a flow.
        """
        self._steps: dict[tuple[str, ...], StepCoverage] = {}
        try:
            self._add_flow_steps(load_flow(flow), (), ())
        except RecursionError:
            raise InvalidArgumentError("the flow is nested too deeply") from None

    @property
    def steps(self) -> list[StepCoverage]:
        """The steps, in flow order."""
        return list(self._steps.values())

    def _add_flow_steps(self, flow: Mapping[str, Any], within: tuple[str, ...], at: Path) -> None:
        for step in FlowSteps(flow).by_id.values():
            path, place = (*within, step.id), (*at, "steps", step.index)
            self._steps[path] = StepCoverage(path, place)
            inner = find_inner_flow(step.value)
            if inner is not None and isinstance(inner.flow, Mapping):
                self._add_flow_steps(inner.flow, path, (*place, *inner.at))

    def _add_run(self, case: str, within: tuple[str, ...], record: ItemRecord, mocked: Collection[str] = ()) -> None:
        """Record which steps were reached by a run of the flow, or of a sub-flow inside the steps `within`.

        Steps in `mocked` were mocked in this run.
        """
        for account in explain_item("", 0, record).steps:
            step = self._steps.get((*within, account.step_id))
            if step is None or account.state not in ("completed", "failed"):
                continue
            is_mocked = account.step_id in mocked and step.state != "reached"
            cases = tuple(dict.fromkeys((*step.cases, case)))
            self._steps[step.path] = replace(step, state="mocked" if is_mocked else "reached", cases=cases)


def find_sub_executions(
    client: SyncStepflowClient, run_id: str, within: tuple[str, ...], flow: Mapping[str, Any], executed: Collection[str]
) -> Iterator[tuple[tuple[str, ...], ItemRecord]]:
    """Yield executions of sub-flows that the server ran as separate runs, each with the steps that contain the
    sub-flow.

    Servers don't report which step created a run, so we attribute it to every step whose flow has the same name and
    steps.

    Args:
        client: A client for the server.
        run_id: The run.
        within: IDs of the steps containing its flow.
        flow: The run's flow.
        executed: The steps that may have created runs.
    """
    steps_by_id = get_steps_by_id(flow)
    sub_flows = {step_id: find_inner_flow(step) for step_id, step in steps_by_id.items() if step_id in executed}
    inner = {step_id: sub.flow for step_id, sub in sub_flows.items() if sub and isinstance(sub.flow, Mapping)}
    for child in client.list_runs(parent_run_id=run_id).runs if inner else ():
        read = client.snapshot(child.run_id, include=("items", "steps"))
        steps = read.steps
        if steps is None:
            # Older servers don't list the steps of sub-runs.
            continue
        executed_steps = {step.step_id: step.component for step in steps}
        for step_id, below in inner.items():
            declared = {name: definition.get("component") for name, definition in get_steps_by_id(below).items()}
            if below.get("name") != child.flow_name or not executed_steps.items() <= declared.items():
                continue
            for item in read.items or ():
                own = [step for step in steps if step.item_index == item.index]
                yield (*within, step_id), ItemRecord(below, item.status, item.error, own)
            yield from find_sub_executions(client, child.run_id, (*within, step_id), below, executed_steps)


def iter_coverage_lines(path: pathlib.Path, steps: Sequence[StepCoverage]) -> Iterator[str]:
    """Yield a line with the number of steps reached, then one per step that was only mocked or never reached."""
    if not steps:
        return
    reached, noun = sum(step.is_reached for step in steps), "step" if len(steps) == 1 else "steps"
    yield f"{path}: {reached} of {len(steps)} {noun} reached ({int(get_reached_percent(steps))} %)"
    line_of = make_step_line_finder(path)
    for step in steps:
        if step.state != "reached":
            state = "not reached" if step.state == "not_reached" else "only mocked"
            yield f"  {state}: step {'/'.join(step.path)} at {path}:{line_of(step) or 1}"


def get_reached_percent(steps: Sequence[StepCoverage]) -> float:
    """Return the percentage of steps that were reached, from 0 to 100."""
    return 100 * sum(step.is_reached for step in steps) / len(steps) if steps else 100.0


def make_step_line_finder(path: pathlib.Path) -> Callable[[StepCoverage], int | None]:
    """Return a function that looks up a step's line number in the file, or returns None if it's unknown."""
    from ..flows.syntax_tree import FlowText

    try:
        root = FlowText.from_source(str(path)).root
    except FlowFileError:
        # The file has changed since the cases were read.
        return lambda step: None

    def line(step: StepCoverage) -> int | None:
        node = root.at(*step.at)
        return (node.line or None) if node is not None else None

    return line
