"""Reruns finished runs, either in full, from a certain step, or only the parts that failed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING
from uuid import uuid4

from .._calls import rerun_plan as rules
from .._calls.rerun_plan import EarlierRun, NewRun, RerunRequest
from .._codec import call_checks, responses
from .._codec.call_checks import RunCall, parse_declared_variables
from .._concurrency import async_compute, async_gather
from .._rules.deadlines import compute_deadline, deadline_scope
from .._runs.strip_and_restore_flow import RerunOrigin, add_tag_to_flow, parse_rerun_origin
from .._telemetry.history_recorder import CreatedRun
from ..errors import ConflictError, InvalidArgumentError, NotFoundError
from ..flows.run_requirements import find_requirements
from ..types import FlowResult, ListItemsResponse
from ..types.reruns import RerunItem, RerunPlan, RerunResult
from ..types.statuses import FAILED_STATUSES

if TYPE_CHECKING:
    from .client_context import ClientContext
    from .idempotency import KeyedRuns
    from .snapshot_reader import SnapshotReader
    from .waiting import Waiter

# A rerun executes up to this many runs concurrently (items that keep different outputs need separate runs).
_MAX_CONCURRENT_RUNS = 8


class Rerunner:
    """Reruns finished runs.

    Args:
        context: The state shared by the client's services.
        keyed_runs: Creates the runs, with idempotency keys if the caller passes any.
        waiter: Waits for the runs.
        snapshots: Reads the earlier runs.
    """

    def __init__(
        self, context: ClientContext, keyed_runs: KeyedRuns, waiter: Waiter, snapshots: SnapshotReader
    ) -> None:
        self._connection = context.connection
        self._flows = context.flows
        self._keyed_runs, self._creator = keyed_runs, keyed_runs.creator
        self._runs = context.runs
        self._recorder = context.recorder
        self._waiter = waiter
        self._snapshots = snapshots

    async def plan(self, request: RerunRequest, *, timeout: float | None) -> RerunPlan:
        """Return a plan that shows what `run` would keep and execute, without starting a run."""
        with deadline_scope(compute_deadline(timeout)):
            return (await self._plan_new_run(request, is_executed=False))[0]

    async def run(self, request: RerunRequest, *, timeout: float | None) -> RerunResult:
        """Rerun a finished run, reusing step outputs, and return all results."""
        with deadline_scope(compute_deadline(timeout)):
            plan, new_run = await self._plan_new_run(request, is_executed=True)
            calls = [partial(self._run_item_group, new_run, part, group) for part, group in enumerate(plan.groups)]
            results = dict(enumerate(new_run.earlier.results or ()))
            for part_results in await async_gather(calls, _MAX_CONCURRENT_RUNS):
                results |= part_results
            return RerunResult(plan=plan, results=[results[index] for index in range(plan.total)])

    async def start(self, request: RerunRequest, *, timeout: float | None) -> list[str]:
        """Start the runs of a rerun and return their IDs, without waiting for the runs to end."""
        with deadline_scope(compute_deadline(timeout)):
            plan, new_run = await self._plan_new_run(request, is_executed=True)
            calls = [partial(self._start_item_group, new_run, part, group) for part, group in enumerate(plan.groups)]
            return [run.run_id for run in await async_gather(calls, _MAX_CONCURRENT_RUNS)]

    async def _plan_new_run(self, request: RerunRequest, *, is_executed: bool) -> tuple[RerunPlan, NewRun]:
        """Return the plan and the run to create.

        Raises:
            InvalidArgumentError: If the plan will be executed but needs an input that can't be found.
        """
        new = None if request.flow is None else await self._flows.load_or_fetch_flow(request.flow)
        run_id = call_checks.check_run_id(request.run_id)
        try:
            earlier = await self._read_earlier_run(run_id, keeps_outputs=request.keep.steps != "nothing")
        except NotFoundError:
            covers_all_items = not request.keep.succeeded_items and request.items is None
            recorded_run = self._find_recorded_run(run_id, has_flow=new is not None) if covers_all_items else None
            if recorded_run is None:
                raise
            earlier = recorded_run
        new_run = rules.build_new_run(request, earlier, new)
        plan = rules.make_rerun_plan(new_run, await self._connection.detect_server())
        is_input_unknown = is_executed and plan.items and new_run.inputs is None
        if is_input_unknown and rules.needs_input(new_run.effective, plan.items):
            raise InvalidArgumentError(
                "the executed steps read the flow's input, which the server does not return "
                "and the history does not contain",
                run_id=plan.run_id,
                hint="pass the input again (for a batch, all its inputs)",
            )
        return plan, new_run

    async def _read_earlier_run(self, run_id: str, *, keeps_outputs: bool) -> EarlierRun:
        can = await self._snapshots.get_capabilities()
        has_steps = keeps_outputs and can["step_outputs"]
        run = await self._snapshots.read_snapshot(run_id, ["items", "flow", *(["steps"] if has_steps else [])])
        status = run.details.status
        items = ListItemsResponse(run_id=run_id, items=run.items or ())
        # If some items of a failed run are still reported as running, the run may still be executing.
        is_unsettled = status in FAILED_STATUSES and not all(item.status.is_finished for item in items)
        if not status.is_finished or is_unsettled:
            raise ConflictError(f"run {run_id} has not ended yet: it is {status.value}", run_id=run_id)
        # The run can't be rerun without its flow, so raise the server's error.
        flow = run.flow or (await self._runs.get_run_flow(run_id)).flow
        results = responses.read_results(items, status, self._connection.get_output_decoder(run_id))
        origin = parse_rerun_origin(run._stored or {})
        outputs = [{} if origin is None else origin.kept] * len(results)
        return EarlierRun(run_id, flow, cache(self._recorder.find_history_entry), outputs, results, run.steps or ())

    def _find_recorded_run(self, run_id: str, *, has_flow: bool) -> EarlierRun | None:
        """Return the history's record of a run that's no longer on the server, or None if the record is incomplete.

        Args:
            run_id: The run ID.
            has_flow: Whether the request includes a flow, in which case the recorded flow may be incomplete.
        """
        find_entry = cache(self._recorder.find_history_entry)
        entry, outputs = find_entry(run_id), self._recorder.find_recorded_step_outputs(run_id)
        if entry is None or outputs is None or entry.flow is None:
            return None
        if not has_flow and rules.is_flow_masked(entry.flow):
            return None
        return EarlierRun(run_id, entry.flow, find_entry, outputs)

    async def _run_item_group(self, new_run: NewRun, part: int, group: Sequence[RerunItem]) -> dict[int, FlowResult]:
        """Execute items that keep the same outputs in a single run and return their results by index."""
        if len(group) > 1:
            run = await self._start_item_group(new_run, part, group)
            results = await self._waiter.wait_for_results(run.run_id)
            return {item.index: result for item, result in zip(group, results, strict=True)}
        run = await self._start_item_group(new_run, part, group, self._connection.timings.creation_hold)
        read_result = self._waiter.read_result
        _, result = await self._waiter.wait_and_record("get_result", run.run_id, read_result, single=True, started=run)
        return {group[0].index: result}

    async def _start_item_group(
        self, new_run: NewRun, part: int, group: Sequence[RerunItem], hold: int | None = None
    ) -> responses.StartedRun:
        """Start a run of a copy of the flow in which the kept steps are pinned and return the server's response.

        The history records the caller's arguments, including any overrides of kept steps, so that these overrides apply
        if those steps are executed when this run is itself rerun.

        Args:
            new_run: What to run.
            part: The run's position among the rerun's runs, which share its idempotency key.
            group: The items to run.
            hold: How many seconds the server may hold the request while waiting for the run to end. If None, it
                responds immediately.
        """
        with self._connection.trace_operation("submit", kind="INTERNAL"):
            origin = RerunOrigin(new_run.earlier.run_id, group[0].kept, [item.index for item in group])
            checked = self._flows.load_and_check_flow(new_run.flow, "a rerun")
            flow = checked.content
            inputs = [None if new_run.inputs is None else new_run.inputs[index] for index in origin.items]
            request = new_run.request
            call = RunCall(
                flow, inputs, new_run.overrides, new_run.variables, request.variables_from_env, request.max_concurrency
            )
            original = await self._creator.check_arguments(call)
            copy = add_tag_to_flow(checked.content_with_examples, uuid4().hex, origin)
            sent = original._replace(overrides=rules.drop_kept_overrides(original.overrides, origin.kept) or None)
            # Kept steps don't read their variables, and recorded variables may be from an earlier version of the flow.
            needs = find_requirements(copy, parse_declared_variables(copy))._replace(names=None)
            # This only fills in missing arguments, because the variables in the request have already been checked.
            sent = await async_compute(partial(call.check_and_complete_arguments, sent, needs))
            if (key := request.idempotency_key) is not None:
                scope = f"rerun of {origin.run_id}" + (f", part {part + 1}" if part else "")
                call = call._replace(idempotency_key=key, idempotency_scope=scope, origin=origin, source=new_run.source)
                run = await self._keyed_runs.start_run(call, hold)
                self._runs.started_flows.append((run.run_id, copy))
            else:
                stored = await self._flows.store_copy_for_call(checked, copy)
                arguments = sent._replace(overrides=original.overrides)
                recorded = CreatedRun(stored.flow_id, arguments, new_run.source, flow, origin, has_own_flow=True)
                run = await self._creator.create_run_of_copy(stored, sent, hold, recorded=recorded)
            return run
