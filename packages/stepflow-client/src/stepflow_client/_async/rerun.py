"""Running a run again: all of it, from a step on, or only what failed."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from .._codec import requests
from .._codec.requests import Variables
from .._gather import async_together
from .._not_given import NOT_GIVEN
from .._rules.deadline import deadline_of, deadline_scope
from .._stores.recorder import Recorder
from ..errors import ConflictError, InvalidArgumentError, UnsupportedByServerError
from ..flows import rerun as rules
from ..flows.dependencies import steps_by_id
from ..flows.pins import pin_overrides, pinned_flow
from ..reruns import RerunItem, RerunPlan, RerunResult
from .blobs import BlobStore
from .connection import Connection
from .flow_of_run import flow_of_run
from .flows import FlowStore
from .runs import RunReader

if TYPE_CHECKING:
    from .._rules.releases import Server
    from ..flows.file import FlowSource
    from ..types import FlowResult, StepDetails

__all__ = ["Rerunner"]

_AT_ONCE = 8
"""Maximum number of runs of a rerun at the same time: items that keep different outputs need separate runs."""


class _Planned(NamedTuple):
    """A plan, and the data needed to execute it."""

    plan: RerunPlan
    earlier: Sequence[FlowResult]
    recorded: rules.Recorded


class Rerunner:
    """Runs a run again.

    Args:
        connection: The connection.
        flows: The flows of the client.
        runs: Reads runs.
        blobs: Reads flows as they were stored.
        recorder: Reads the recorded runs.
        submit: Starts a run, as the client's method does.
        get_results: Waits for results, as the client's method does.
    """

    def __init__(
        self,
        connection: Connection,
        flows: FlowStore,
        runs: RunReader,
        blobs: BlobStore,
        recorder: Recorder,
        submit: Callable[..., Awaitable[str]],
        get_results: Callable[..., Awaitable[list[FlowResult]]],
    ) -> None:
        self._connection = connection
        self._flows = flows
        self._runs = runs
        self._blobs = blobs
        self._recorder = recorder
        self._submit = submit
        self._get_results = get_results

    async def plan_rerun(
        self,
        run_id: str | UUID,
        *,
        from_step: str | None = None,
        failed: bool = False,
        only_missing: bool = False,
        variables: Variables | None = None,
        overrides: Any = None,
        flow: FlowSource | None = None,
        force: bool = False,
        timeout: float | None = None,
    ) -> RerunPlan:
        """Return what `rerun` would keep and execute, without starting it. See `rerun` for the arguments and errors."""
        with deadline_scope(deadline_of(timeout)):
            return (
                await self._planned(run_id, from_step, failed, only_missing, variables, overrides, flow, force=force)
            ).plan

    async def rerun(
        self,
        run_id: str | UUID,
        *,
        from_step: str | None = None,
        failed: bool = False,
        only_missing: bool = False,
        input: Any = NOT_GIVEN,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        overrides: Any = None,
        flow: FlowSource | None = None,
        force: bool = False,
        timeout: float | None = None,
    ) -> RerunResult:
        """Run a finished run again, reusing outputs of its steps, and return all results."""
        deadline = deadline_of(timeout)
        with deadline_scope(deadline):
            plan, earlier, recorded = await self._planned(
                run_id, from_step, failed, only_missing, variables, overrides, flow, force=force
            )
            inputs = _inputs(plan, input, recorded)
            given = requests.run_variables(variables, exact_integers=False)
            if not variables_from_env:
                rules.check_recorded_variables(plan.flow, plan.items, recorded, given)
            variables = {**(recorded.variables or {}), **given} or None
            changes = overrides if isinstance(overrides, (list, tuple)) else [overrides]
            overrides = [each for each in (recorded.overrides, *changes) if each] or None
            overridden = _has_noop(await self._connection.server())
            start = partial(self._submit, variables=variables, variables_from_env=variables_from_env)
            calls = [
                partial(self._run_group, start, plan, group, inputs, overrides, deadline, overridden=overridden)
                for group in _groups(plan.items)
            ]
            results = dict(enumerate(earlier))
            for found in await async_together(calls, _AT_ONCE):
                results |= found
            return RerunResult(plan=plan, results=[results[index] for index in range(plan.total)])

    async def _planned(
        self,
        run_id: str | UUID,
        from_step: str | None,
        failed: bool,
        only_missing: bool,
        variables: Variables | None,
        overrides: Any,
        flow: FlowSource | None,
        *,
        force: bool,
    ) -> _Planned:
        run_id = requests.check_run_id(run_id)
        run = await self._runs.get_run(run_id)
        if not run.is_finished:
            raise ConflictError(f"run {run_id} has not ended yet: it is {run.status.value}", run_id=run_id)
        old = await flow_of_run(self._connection, self._runs, self._blobs, run_id, run.flow_id)
        new = old if flow is None else await self._flows.content(flow)
        if from_step is not None:
            rules.check_step(new, from_step)
        earlier = await self._get_results(run_id, wait=False)
        keeps = from_step is not None or only_missing or failed
        indexes = [index for index, result in enumerate(earlier) if not (failed and result.is_success)]
        readable = _gives_outputs(await self._connection.server(), len(earlier))
        if keeps and not readable and (from_step is not None or only_missing):
            raise UnsupportedByServerError(
                "this server does not give back the outputs of the run's steps",
                run_id=run_id,
                hint="0.12 and newer do, and 0.9 for one item; failed items can be run again as a whole: failed alone",
            )
        steps = await self._steps_of_items(run_id, indexes) if keeps and readable and indexes else {}
        keep = only_missing or failed
        items = [self._item(new, index, steps.get(index, ()), from_step, keep) for index in indexes]
        rules.check_kept(old, new, overrides, items, force=force)
        recorded = rules.recorded_of(self._recorder.recorded(run_id), new)
        unknown = rules.unknown_of(new, items, variables, overrides, recorded)
        taken = {
            "input": recorded.has_input and rules.needs_input(new, items),
            "variables": recorded.variables,
            "overrides": rules.overrides_of_executed(recorded.overrides, items[0].kept if items else {}),
        }
        plan = RerunPlan(
            run_id=run_id,
            flow=new,
            items=items,
            total=len(earlier),
            unknown=unknown,
            recorded=[name for name, is_taken in taken.items() if is_taken and items],
        )
        return _Planned(plan, earlier, recorded)

    @staticmethod
    def _item(
        flow: Mapping[str, Any], index: int, steps: Sequence[StepDetails], from_step: str | None, keep: bool
    ) -> RerunItem:
        kept = rules.kept_outputs(flow, steps, from_step, keep)
        return RerunItem(index=index, kept=kept, executed=[step for step in steps_by_id(flow) if step not in kept])

    async def _steps_of_items(self, run_id: str, indexes: Sequence[int]) -> dict[int, list[StepDetails]]:
        wanted = set(indexes)
        found: dict[int, list[StepDetails]] = {index: [] for index in wanted}
        for step in (await self._runs.get_run_steps(run_id)).steps:
            if step.item_index in wanted:
                found[step.item_index].append(step)
        return found

    async def _run_group(
        self,
        start: Callable[..., Awaitable[str]],
        plan: RerunPlan,
        group: Sequence[RerunItem],
        inputs: Mapping[int, Any],
        overrides: Any,
        deadline: float | None,
        *,
        overridden: bool,
    ) -> dict[int, FlowResult]:
        """Execute items that keep the same outputs in one run, and return their results by index."""
        kept = group[0].kept
        changes = rules.overrides_of_executed(overrides, kept)
        if overridden:
            flow, changes = dict(plan.flow), changes | pin_overrides(kept)
        else:
            flow = pinned_flow(plan.flow, kept)
        run_id = await start(flow, [inputs[item.index] for item in group], changes or None)
        left = None if deadline is None else max(0.001, deadline - time.monotonic())
        results = await self._get_results(run_id, timeout=left)
        return {item.index: result for item, result in zip(group, results, strict=True)}


def _has_noop(server: Server) -> bool:
    """Return whether a server has `/builtin/noop`: it allows pinning steps without storing another flow."""
    major, _, rest = (server.release or "").partition(".")
    minor = rest.partition(".")[0]
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= (0, 13)


def _gives_outputs(server: Server, items: int) -> bool:
    return server.capabilities["step_outputs"] or (server.dialect == "0.9" and items == 1)


def _groups(items: Sequence[RerunItem]) -> list[list[RerunItem]]:
    groups: dict[str, list[RerunItem]] = {}
    for item in items:
        groups.setdefault(json.dumps(item.kept, sort_keys=True), []).append(item)
    return list(groups.values())


def _inputs(plan: RerunPlan, given: Any, recorded: rules.Recorded) -> dict[int, Any]:
    """Return the input of each item that is executed again, by index.

    Raises:
        InvalidArgumentError: If the input is needed but missing, or if it is not a list of one input per item.
    """
    indexes = [item.index for item in plan.items]
    if given is NOT_GIVEN and recorded.has_input:
        given = recorded.input
    if given is NOT_GIVEN:
        if plan.items and rules.needs_input(plan.flow, plan.items):
            raise InvalidArgumentError(
                "the steps that are executed read the flow's input, which the server does not give back "
                "and the history does not have",
                run_id=plan.run_id,
                hint="give the input again; of a batch all its inputs",
            )
        return dict.fromkeys(indexes)
    if plan.total == 1:
        requests.single_input(given)
        return {index: given[0] if isinstance(given, (list, tuple)) else given for index in indexes}
    if not isinstance(given, (list, tuple)) or len(given) != plan.total:
        raise InvalidArgumentError(
            f"run {plan.run_id} is a batch of {plan.total} items: input is the list of all their inputs"
        )
    return {index: given[index] for index in indexes}
