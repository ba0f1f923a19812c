# Written from _async/rerun.py by `make generate`. Change that file instead.

"""Running a run again: all of it, from a step on, or only what failed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import uuid4

from .._base.not_given import NOT_GIVEN
from .._codec import requests, run_states
from .._codec.requests import Variables
from .._codec.variables import flow_variables
from .._data.arguments import check_flags
from .._data.values import merge_overrides
from .._rules.deadline import deadline_of, deadline_scope
from .._rules.releases import has_step_outputs
from .._shared.gather import sync_together
from .._shared.recorder import Recorder
from ..errors import ConflictError, InvalidArgumentError, UnsupportedByServerError
from ..flows import rerun as rules
from ..flows.additions import Origin, tagged
from ..flows.graph import steps_by_id
from ..flows.needs import check_variable_names, needs_of
from ..types.reruns import RerunItem, RerunPlan, RerunResult
from .blobs import BlobStore
from .comparing import RunFlow, flow_of_run
from .connection import Connection
from .creation import RunCreator
from .flows import FlowStore
from .runs import RunReader

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..flows.file import FlowSource
    from ..types import FlowResult, StepDetails

_AT_ONCE = 8
"""Maximum number of runs of a rerun at the same time: items that keep different outputs need separate runs."""


@dataclass(frozen=True, slots=True)
class RerunRequest:
    """The arguments of `rerun`: which run to run again, and how."""

    run_id: RunId
    from_step: str | None = None
    failed: bool = False
    only_missing: bool = False
    input: Any = NOT_GIVEN
    variables: Variables | None = None
    overrides: Any = None
    flow: FlowSource | None = None
    force: bool = False
    items: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Check the flags."""
        check_flags(failed=self.failed, only_missing=self.only_missing, force=self.force)

    @property
    def keeps(self) -> bool:
        """Whether outputs of steps are to be kept."""
        return self.from_step is not None or self.only_missing or self.failed


class _GetResults(Protocol):
    def __call__(self, run_id: str, *, wait: bool = True, timeout: float | None = None) -> list[FlowResult]: ...


class _Planned(NamedTuple):
    """A plan, and the data needed to execute it."""

    plan: RerunPlan
    earlier: Sequence[FlowResult]
    inputs: Mapping[int, Any] | None
    """The input of each item that is executed again, by index; None if it is required but missing."""
    variables: dict[str, Any]
    overrides: Any
    """The recorded overrides and the given ones, including those of kept steps."""


class Rerunner:
    """Runs a run again.

    Args:
        connection: The connection.
        flows: The flows of the client.
        creator: Creates runs.
        runs: Reads runs.
        blobs: Reads flows as they were stored.
        recorder: Reads the recorded runs, and records the new ones.
        get_results: Waits for results, as the client's method does.
    """

    def __init__(
        self,
        connection: Connection,
        flows: FlowStore,
        creator: RunCreator,
        runs: RunReader,
        blobs: BlobStore,
        recorder: Recorder,
        get_results: _GetResults,
    ) -> None:
        self._connection = connection
        self._flows = flows
        self._creator = creator
        self._runs = runs
        self._blobs = blobs
        self._recorder = recorder
        self._get_results = get_results

    def plan(self, asked: RerunRequest, *, timeout: float | None) -> RerunPlan:
        """Return what `run` would keep and execute, without starting it."""
        with deadline_scope(deadline_of(timeout)):
            return (self._planned(asked, variables_from_env=True)).plan

    def run(self, asked: RerunRequest, *, variables_from_env: bool, timeout: float | None) -> RerunResult:
        """Run a finished run again, reusing outputs of its steps, and return all results."""
        deadline = deadline_of(timeout)
        with deadline_scope(deadline):
            planned = self._ready(asked, variables_from_env=variables_from_env)
            plan = planned.plan
            calls = [
                partial(self._run_group, planned, group, deadline, variables_from_env=variables_from_env)
                for group in plan.groups
            ]
            results = dict(enumerate(planned.earlier))
            for found in sync_together(calls, _AT_ONCE):
                results |= found
            return RerunResult(plan=plan, results=[results[index] for index in range(plan.total)])

    def start(self, asked: RerunRequest, *, variables_from_env: bool, timeout: float | None) -> list[str]:
        """Start the runs of a rerun, and return their ids without waiting for them to end."""
        with deadline_scope(deadline_of(timeout)):
            planned = self._ready(asked, variables_from_env=variables_from_env)
            calls = [
                partial(self._start, planned, _origin(planned, group), variables_from_env)
                for group in planned.plan.groups
            ]
            return list(sync_together(calls, _AT_ONCE))

    def _ready(self, asked: RerunRequest, *, variables_from_env: bool) -> _Planned:
        """Return a plan that can be executed."""
        planned = self._planned(asked, variables_from_env=variables_from_env)
        if planned.inputs is None:
            raise InvalidArgumentError(
                "the steps that are executed read the flow's input, which the server does not give back "
                "and the history does not have",
                run_id=planned.plan.run_id,
                hint="give the input again; of a batch all its inputs",
            )
        return planned

    def _planned(self, asked: RerunRequest, *, variables_from_env: bool) -> _Planned:
        run_id = requests.check_run_id(asked.run_id)
        rules.check_items(asked.items)
        run = self._runs.get_run(run_id)
        if not run.is_finished:
            raise ConflictError(f"run {run_id} has not ended yet: it is {run.status.value}", run_id=run_id)
        old = flow_of_run(self._connection, self._runs, self._blobs, run_id, run.flow_id)
        new = old.flow if asked.flow is None else self._flows.content(asked.flow)
        if asked.from_step is not None:
            rules.check_step(new, asked.from_step)
        earlier = self._get_results(run_id, wait=False)
        items = self._items(asked, run_id, old, new, earlier)
        rules.check_kept(old.flow, new, asked.overrides, items, force=asked.force)
        entries = cache(self._recorder.recorded)
        recorded = rules.recorded_of(entries(run_id), new)
        given = requests.run_variables(asked.variables, exact_integers=False)
        check_variable_names(new, given, [merge_overrides(asked.overrides), recorded.overrides])
        if not variables_from_env:
            rules.check_recorded_variables(new, items, recorded, given)
        variables = {**(recorded.variables or {}), **given}
        inputs = _inputs(run_id, new, items, len(earlier), asked.input, recorded)
        has_input = asked.input is not NOT_GIVEN
        plan = RerunPlan(
            run_id=run_id,
            flow=new,
            items=items,
            total=len(earlier),
            unknown=rules.unknown_of(new, items, asked.variables, asked.overrides, recorded),
            recorded=rules.taken_from(recorded, new, items, given, has_input=has_input),
            outdated=rules.outdated_steps(
                new,
                items,
                inputs if has_input or recorded.has_input else None,
                variables,
                partial(rules.executed_in, entries, run_id),
            ),
        )
        changes = asked.overrides if isinstance(asked.overrides, (list, tuple)) else [asked.overrides]
        overrides = [each for each in (recorded.overrides, *changes) if each] or None
        return _Planned(plan, earlier, inputs, variables, overrides)

    def _items(
        self,
        asked: RerunRequest,
        run_id: str,
        old: RunFlow,
        new: Mapping[str, Any],
        earlier: Sequence[FlowResult],
    ) -> list[RerunItem]:
        """Return the items to run again, each with what is kept of it."""
        chosen = rules.chosen_items(asked.items, len(earlier), run_id)
        indexes = [index for index in chosen if not (asked.failed and earlier[index].is_success)]
        readable = has_step_outputs(self._connection.server(), len(earlier))
        if not readable and (asked.from_step is not None or asked.only_missing):
            raise UnsupportedByServerError(
                "this server does not give back the outputs of the run's steps",
                run_id=run_id,
                hint="0.12 and newer do, and 0.9 for one item; failed items can be run again as a whole: failed alone",
            )
        keeps = asked.keeps and readable and bool(indexes)
        steps = self._steps_of_items(run_id, indexes) if keeps else {}
        pinned = old.origin.kept if keeps and old.origin is not None else {}
        items = []
        for index in indexes:
            kept = rules.kept_outputs(new, steps.get(index, ()), pinned, asked.from_step, keeps)
            items.append(RerunItem(index, kept, [step for step in steps_by_id(new) if step not in kept]))
        return items

    def _steps_of_items(self, run_id: str, indexes: Sequence[int]) -> dict[int, list[StepDetails]]:
        wanted = set(indexes)
        found: dict[int, list[StepDetails]] = {index: [] for index in wanted}
        for step in (self._runs.get_run_steps(run_id)).steps:
            if step.item_index in wanted:
                found[step.item_index].append(step)
        return found

    def _run_group(
        self, planned: _Planned, group: Sequence[RerunItem], deadline: float | None, *, variables_from_env: bool
    ) -> dict[int, FlowResult]:
        """Execute items that keep the same outputs in one run, and return their results by index."""
        run_id = self._start(planned, _origin(planned, group), variables_from_env)
        left = None if deadline is None else max(0.001, deadline - time.monotonic())
        results = self._get_results(run_id, timeout=left)
        return {item.index: result for item, result in zip(group, results, strict=True)}

    def _start(self, planned: _Planned, origin: Origin, variables_from_env: bool) -> str:
        """Start a run of a copy of the flow in which the kept steps are pinned, and return its id.

        The run is recorded with what the caller gave, which includes overrides of kept steps: if those are executed
        later, by a rerun of this run, they are executed with them.
        """
        with self._connection.traced("submit", kind="INTERNAL"):
            return self._created(planned, origin, variables_from_env)

    def _created(self, planned: _Planned, origin: Origin, variables_from_env: bool) -> str:
        checked = self._flows.checked(planned.plan.flow)
        flow = checked.content
        inputs = [(planned.inputs or {})[index] for index in origin.items]
        given = self._creator.arguments(inputs, planned.variables, planned.overrides, None)
        copy = tagged(checked.with_examples, uuid4().hex, origin)
        sent = given._replace(overrides=rules.overrides_of_executed(given.overrides, origin.kept) or None)
        # Kept steps do not read their variables, and recorded ones may be those of an earlier version of the flow.
        needs = needs_of(copy, flow_variables(copy), any_variable=True)
        sent = requests.completed(sent, needs, os.environ, variables_from_env)
        flow_id, declared = self._flows.store_copy(flow, copy, checked.digest)
        output = flow.get("output")
        run = self._creator.create(flow_id, sent, run_states.started, declared=declared, output=output)
        self._recorder.created(run.run_id, flow_id, sent._replace(overrides=given.overrides), None, flow, origin)
        return run.run_id


def _origin(planned: _Planned, group: Sequence[RerunItem]) -> Origin:
    return Origin(planned.plan.run_id, group[0].kept, [item.index for item in group])


def _inputs(
    run_id: str, flow: Mapping[str, Any], items: Sequence[RerunItem], total: int, given: Any, recorded: rules.Recorded
) -> dict[int, Any] | None:
    """Return the input of each item that is executed again, by index; None if it is required but missing.

    Raises:
        InvalidArgumentError: If the input is not a list of one input per item.
    """
    indexes = [item.index for item in items]
    if given is NOT_GIVEN and recorded.has_input:
        given = recorded.input
    if given is NOT_GIVEN:
        return None if items and rules.needs_input(flow, items) else dict.fromkeys(indexes)
    if total == 1:
        requests.single_input(given)
        return {index: given[0] if isinstance(given, (list, tuple)) else given for index in indexes}
    if not isinstance(given, (list, tuple)) or len(given) != total:
        raise InvalidArgumentError(f"run {run_id} is a batch of {total} items: input is the list of all their inputs")
    return {index: given[index] for index in indexes}
