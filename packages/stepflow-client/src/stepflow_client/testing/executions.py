"""Reads what the run of a test case has executed: its steps, and those of the runs that its steps created."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import NotFoundError, UnsupportedByServerError
from ..flows.causes import ItemCauses, ItemRecord
from ..flows.coverage import Execution
from ..flows.graph import inner_flow, steps_by_id
from ..flows.interpreter import BROKEN, NOT_KNOWN, Failure, NotKnownError

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from ..types import RunDetails, StepDetails
    from .mocked_flow import MockedRun


class Executions:
    """Reads executions of a flow.

    Args:
        client: A client of the server.
        flow: The flow.
    """

    def __init__(self, client: SyncStepflowClient, flow: Mapping[str, Any]) -> None:
        """Store what to read from."""
        self._client = client
        self._flow = flow

    def of(self, runs: Sequence[MockedRun], *, with_created: bool = True) -> Iterator[Execution]:
        """Yield the executions of runs, each before those of the flows in its steps.

        Args:
            runs: The runs of a case.
            with_created: Whether to read the runs that steps created as well. Default True.
        """
        used: set[tuple[str, ...]] = set()
        for run in sorted(runs, key=lambda each: len(each.within)):
            # A mock is also asked for a step that its flow then does not need.
            if run.within and run.within not in used:
                continue
            result, steps = run.result, self._steps(run.result.run_id)
            used |= {(*run.within, step.step_id) for step in steps or ()}
            done = Execution(
                run.within,
                run.input,
                result.status,
                result.error,
                steps or (),
                run.mocked,
                run.failing,
                has_steps=steps is not None,
            )
            yield done
            if not with_created:
                continue
            apart = {each.within[-1] for each in runs if each.within and each.within[:-1] == run.within}
            yield from self._created(result.run_id, done, _flow_within(self._flow, run.within), {*run.mocked, *apart})

    def _created(
        self, run_id: str, done: Execution, flow: Mapping[str, Any], pinned: Collection[str]
    ) -> Iterator[Execution]:
        """Yield the executions of the flows in the steps of one that the server has executed."""
        executed = {step.step_id for step in done.steps}
        inner = {
            name: found.flow
            for name, step in steps_by_id(flow).items()
            if name in executed and name not in pinned and (found := inner_flow(step)) is not None
        }
        before: dict[str, Any] = {}
        for child in self._children(run_id) if inner else ():
            steps = self._steps(child.run_id)
            names = _creators(child, steps or (), inner)
            if steps is None or len(names) != 1:
                yield from (_untold(done, name) for name in names)
                continue
            (name,) = names
            given = _resolved(flow, done, name)
            for item in self._client.get_run_items(child.run_id):
                own = [step for step in steps if step.item_index == item.index]
                error, output = (item.result.error, item.result.output) if item.result else (None, None)
                input = _input_of(given, item.index, before.get(name))
                below = Execution((*done.within, name), input, item.status, error, own)
                before[name] = output
                yield below
                yield from self._created(child.run_id, below, inner[name], ())

    def _children(self, run_id: str) -> list[RunDetails]:
        """Return the runs that the steps of a run created, oldest first."""
        return list(reversed(self._client.list_runs(parent_run_id=run_id).runs))

    def _steps(self, run_id: str) -> list[StepDetails] | None:
        """Return the steps of a run that were started; None if the server does not tell them."""
        try:
            return list(self._client.get_run_steps(run_id))
        except (NotFoundError, UnsupportedByServerError):
            # Before 0.12, those of the runs that steps created.
            return None


def _flow_within(flow: Mapping[str, Any], within: Sequence[str]) -> Mapping[str, Any]:
    for name in within:
        inner = inner_flow(steps_by_id(flow)[name])
        assert inner is not None
        flow = inner.flow
    return flow


def _creators(child: RunDetails, steps: Sequence[StepDetails], inner: Mapping[str, Any]) -> list[str]:
    """Return the steps that may have created a run: those whose flow has its name and its steps. Servers do not say."""
    found = []
    for name, flow in inner.items():
        own = {(step_id, step.get("component")) for step_id, step in steps_by_id(flow).items()}
        if flow.get("name") == child.flow_name and {(step.step_id, step.component) for step in steps} <= own:
            found.append(name)
    return found


def _untold(done: Execution, name: str) -> Execution:
    return Execution((*done.within, name), NOT_KNOWN, done.status, None, (), has_steps=False)


def _resolved(flow: Mapping[str, Any], done: Execution, name: str) -> Mapping[str, Any]:
    """Return the input of a step as the server resolved it; empty if it is not known."""
    record = ItemRecord(flow, done.status, done.error, done.steps, done.input, {})
    try:
        given = ItemCauses(record).evaluation.value(steps_by_id(flow)[name].get("input"))
    except (Failure, NotKnownError, *BROKEN):
        return {}
    return given if isinstance(given, Mapping) else {}


def _input_of(given: Mapping[str, Any], index: int, before: Any) -> Any:
    """Return the input of an element of map, or of a turn of iterate whose turn before had an output."""
    if isinstance(given.get("items"), list):
        return given["items"][index]
    if "initial_input" in given:
        return before.get("next", NOT_KNOWN) if isinstance(before, Mapping) else given["initial_input"]
    return NOT_KNOWN
