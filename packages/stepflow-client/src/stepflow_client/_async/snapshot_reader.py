"""Reads all available information about a run, requesting each part once and only when needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from .. import types
from .._base.bounded_dict import BoundedDict
from .._base.text_formatting import describe_missing_run_item
from .._codec import call_checks, errors_from_steps, responses
from .._concurrency import async_gather
from .._data.arguments import argument_error, check_choice, check_instances, check_texts
from .._rules import operations_and_releases as api
from .._rules.deadlines import call_scope
from .._rules.failure_groups import MAX_GROUPS_SHOWN, group_failures
from .._rules.run_progress import RunProgress
from .._runs.explanation import add_states_to_snapshot, explain_items, find_component_needing_schema
from .._runs.pinned_steps import PIN_COMPONENT
from .._runs.strip_and_restore_flow import mark_kept_step_details, parse_rerun_origin, restore_flow
from ..errors import InvalidArgumentError, NotFoundError, StepflowClientError, UnsupportedByServerError
from ..flows.components import Components, convert_to_components
from ..flows.graph import get_steps_by_id
from ..types.runs import RunSnapshot, SnapshotPart
from ..types.statuses import FAILED_STATUSES, ExecutionStatus, is_given_up_by_server
from .following import Follower, FollowRequest, IdleSignal
from .run_reader import ITEM_ENDING_STATUSES, MAX_ITEMS_FOR_STEPS, MAX_ITEMS_REQUESTED, RunReader

if TYPE_CHECKING:
    from .._codec.call_checks import RunId
    from .._data.wire import OutputDecoder
    from ..types import FailedItems, ItemCounts, ListItemsResponse, RunArguments, RunDetails, RunItem, StepDetails
    from ..types.reruns import RunComparison
    from ..types.run_explanation import RunAccount
    from .client_context import ClientContext

# How many seconds to wait for component schemas, in case a plugin doesn't respond.
_COMPONENTS_TIMEOUT = 5.0
# How many finished runs and how many flows to cache.
_MAX_KEPT_RUNS, _MAX_KEPT_FLOWS = 16, 64
# Don't cache runs with more items than this, because their outputs may take up a lot of memory.
_MAX_KEPT_ITEMS = 1000
# Don't count the items of running batches larger than this, because that would mean reading at least 100,000 events.
_MAX_COUNTED_ITEMS = 10_000
_MAX_CONCURRENT_READS = 4
_SNAPSHOT_PARTS = get_args(SnapshotPart)
_ACCOUNT_PARTS = {"items", "flow", "arguments"}


class _LazyRun:
    """A run whose parts are requested when first needed."""

    def __init__(self, reader: SnapshotReader, state: RunDetails, steps: Sequence[StepDetails] | None) -> None:
        self._context, self._runs, self._flows = reader._context, reader._runs, reader._flows
        self.items: ListItemsResponse | None = None
        """The items as reported by the server, or None if they haven't been read."""
        self._steps: dict[int | None, Sequence[StepDetails] | None] = {} if steps is None else {None: steps}
        self._stored: dict[str, Any] | None = None
        self._arguments: dict[str, Any] | None = None
        self.state = state
        self.server = self._context.connection.dialect.server
        """The server that has the run. A different server might later take over its URL."""

    @property
    def is_cacheable(self) -> bool:
        """Whether the run is small and can no longer change.

        Cancelled runs can still change, because servers keep executing them.
        """
        state = self.state
        has_ended = state.status in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED)
        is_given_up = is_given_up_by_server(state.status, state.items.running)
        return has_ended and not is_given_up and state.items.total <= _MAX_KEPT_ITEMS

    async def read_items(self) -> ListItemsResponse:
        """Return the items as reported by the server."""
        if self.items is None:
            self.items = await self._runs.list_items(self.state.run_id)
        return self.items

    async def read_steps(self, index: int | None) -> Sequence[StepDetails] | None:
        """Return the steps that one item (or every item) has started, or None if the server doesn't report them."""
        if self.state.items.total == 1 and index == 0:
            index = None
        if index not in self._steps and self._steps.get(None) is not None:
            return [step for step in self._steps[None] or () if step.item_index == index]
        if index not in self._steps:
            steps: Sequence[StepDetails] | None = None
            can = (await self._context.connection.detect_server()).capabilities
            if can["live_steps"] or self.state.is_finished:
                # Older servers don't list a sub-run's steps.
                with suppress(NotFoundError):
                    steps = (await self._runs.list_steps(self.state.run_id, index)).steps
            self._steps[index] = steps
        return self._steps[index]

    async def fetch_stored_flow(self) -> dict[str, Any]:
        """Return the flow as stored, or an empty dict if the server doesn't have it."""
        flow_id = self.state.flow_id
        if self._stored is None:
            self._stored = self._flows.get(flow_id) or self._runs.find_started_run_flow(self.state.run_id)
        if self._stored is None:
            # Prefer the blob, because it has the flow's integers and paths as they were originally written.
            flow: Any = None
            with suppress(StepflowClientError):
                flow = (await self._context.blobs.get_blob(flow_id)).data
            # A run that was created by a step might not have a stored flow.
            with suppress(NotFoundError, UnsupportedByServerError):
                if not isinstance(flow, dict):
                    flow = await self._runs.get_stored_run_flow(self.state.run_id)
                self._flows.put_newest(flow_id, flow)
            self._stored = flow if isinstance(flow, dict) else {}
        return self._stored

    async def read_reported_arguments(self) -> dict[str, Any]:
        """Return the run's inputs and overrides (empty if the server doesn't report them)."""
        if self._arguments is None:
            connection, request = self._context.connection, api.get_run(self.state.run_id)
            is_reported = (await connection.detect_server()).needs_translation
            self._arguments = await connection.call(request, responses.read_reported_arguments) if is_reported else {}
        return self._arguments

    async def read_arguments(self) -> RunArguments:
        """Return the run's arguments as reported by the server or, if it doesn't report them, from the history."""
        entry = self._context.recorder.find_history_entry(self.state.run_id)
        origin = parse_rerun_origin(await self.fetch_stored_flow()) if entry is None else None
        return responses.merge_run_arguments(self.state.run_id, await self.read_reported_arguments(), entry, origin)

    async def read_items_with_failure_details(self, steps: Sequence[StepDetails] | None) -> Sequence[RunItem]:
        """Return the items along with their steps' errors. Items that the server lost are treated as failed."""
        listed = await self.read_items()
        items, run = errors_from_steps.as_lazy_run_items(listed), self.state
        failed = items._find_positions_by_status(FAILED_STATUSES.__contains__)
        lost = items._find_unfinished_positions() if run.status in ITEM_ENDING_STATUSES else []
        if lost and not (await self._runs.determine_ending(run)).is_finished:
            lost = []
        is_large = len(items) > MAX_ITEMS_FOR_STEPS
        if steps is None and not is_large and (failed or lost):
            # Ignore errors. We already know that the items failed, and the steps only add details.
            with suppress(StepflowClientError):
                steps = await self.read_steps(None)
        if steps is None:
            return (await self._runs.add_failure_details(listed, run.status if lost else None)).items
        read = [index for index, listed_steps in self._steps.items() if listed_steps is not None]
        # An empty list means that the item hasn't started any steps. If there's no list, its steps weren't read.
        indexes = [items[place].index for place in lost]
        by_item: dict[int, list[StepDetails]] = {i: [] for i in indexes if None in read or i in read}
        for step in steps:
            by_item.setdefault(step.item_index, []).append(step)
        if is_large:
            failed = [place for place in failed if items[place].index in by_item][:MAX_ITEMS_REQUESTED]
        flow: Mapping[str, Any] = {}
        if errors_from_steps.is_failure_cause_ambiguous(listed, failed, by_item):
            # Ignore errors when reading the flow, since it only adds details.
            with suppress(StepflowClientError):
                flow = restore_flow(await self.fetch_stored_flow())
        listed = errors_from_steps.add_failed_step_to_errors(listed, failed, by_item, flow)
        if lost:
            can = (await self._context.connection.detect_server()).capabilities
            listed = errors_from_steps.add_lost_run_errors(listed, run.status, by_item if can["live_steps"] else {})
        return listed.items


class SnapshotReader:
    """Reads snapshots of runs, caching flows and any parts of finished runs that it has read.

    Args:
        context: The state shared by the client's services.
        runs: Reads the parts of runs. Defaults to the client's reader.
    """

    def __init__(self, context: ClientContext, runs: RunReader | None = None) -> None:
        self._context = context
        self._runs = runs or context.runs
        self._ended: BoundedDict[str, _LazyRun] = BoundedDict(_MAX_KEPT_RUNS)
        self._flows: BoundedDict[str, dict[str, Any]] = BoundedDict(_MAX_KEPT_FLOWS)
        """Flows as stored on the server, by ID."""

    async def read_snapshot(
        self,
        run_id: RunId,
        include: str | Iterable[str] = (),
        item_index: int | None = None,
        *,
        is_current: bool = False,
    ) -> RunSnapshot:
        """Return a run with the requested parts, sending independent requests concurrently.

        If `is_current` is set, request the state even if the run has ended, since the server may no longer have the
        run.
        """
        run_id = call_checks.check_run_id(run_id)
        index = call_checks.check_limit(item_index, "item_index")
        parts = {check_choice(text, "include", _SNAPSHOT_PARTS) for text in check_texts(include, "include")}
        run = await self._find_or_read_run(run_id, is_current=is_current, has_steps="steps" in parts and index is None)
        has_account = "account" in parts
        if has_account:
            parts |= _ACCOUNT_PARTS
        item = 0 if index is None and run.state.items.total == 1 else index
        calls: list[Callable[[], Awaitable[Any]]] = [
            *([run.read_items] if "items" in parts else ()),
            *([partial(run.read_steps, index)] if "steps" in parts else ()),
            *([partial(run.read_steps, item)] if has_account and "steps" not in parts and item is not None else ()),
            *([run.fetch_stored_flow] if "flow" in parts else ()),
            *([run.read_reported_arguments] if "arguments" in parts else ()),
        ]
        if len(calls) > 1:
            await async_gather(calls, _MAX_CONCURRENT_READS)
        items: Sequence[RunItem] | None = None
        failures: list[FailedItems] | None = None
        if has_account and item is None:
            items = await run.read_items_with_failure_details(None)
            known = items if isinstance(items, types.RunItems) else types.RunItems(items)
            failed = [known[place] for place in known._find_positions_by_status(FAILED_STATUSES.__contains__)]
            failures = [group.to_failed_items() for group in group_failures(failed)[:MAX_GROUPS_SHOWN]]
            item = failed[0].index if failed else 0
        has_steps = has_account or "steps" in parts
        steps = await run.read_steps(index if "steps" in parts else item) if has_steps else None
        if items is None and "items" in parts:
            items = await run.read_items_with_failure_details(steps)
        has_pins = any(step.component == PIN_COMPONENT for step in steps or ())
        stored = await run.fetch_stored_flow() if "flow" in parts or has_pins else None
        can = await self.get_capabilities()
        details = run.state
        if "counts" in parts:
            details = replace(details, items=await self._count_items(run))
        snapshot = add_states_to_snapshot(RunSnapshot(
            details=details,
            items=items,
            steps=None if steps is None else mark_kept_step_details(steps, stored or {}),
            flow=None if stored is None else restore_flow(stored),
            arguments=await run.read_arguments() if "arguments" in parts else None,
            counts=details.items if "counts" in parts else None,
            # Older servers don't update the steps of a cancelled run.
            has_all_steps=can["live_steps"] or run.state.status is not ExecutionStatus.CANCELLED,
            _stored=stored,
        ))  # fmt: skip
        if item is None or not has_account:
            return snapshot
        account = await self._explain_item(snapshot, item)
        return replace(snapshot, details=replace(snapshot.details, account=account, failures=failures))

    async def compare_runs(
        self, run_ids: tuple[RunId, RunId], ignore: str | Iterable[str], items: tuple[int, int] | None
    ) -> RunComparison:
        """Return the differences between two runs, or between one item from each."""
        from .._runs.run_differences import find_run_differences, parse_ignored_paths, reduce_to_item
        from ..types.reruns import RunComparison

        patterns = parse_ignored_paths(ignore)
        pair = None if items is None else check_instances(items, "items", int)
        if pair is not None and len(pair) != 2:
            raise argument_error("items", "two indexes: an item of the first run and one of the second", items)
        parts = ("items", "steps", "flow")
        reads = [partial(self.read_snapshot, call_checks.check_run_id(run_id), parts) for run_id in run_ids]
        # Request this first. Otherwise, both concurrent calls would request it.
        can = await self.get_capabilities()
        one, other = await async_gather(reads, 2)
        if pair is not None:
            one, other = reduce_to_item(one, pair[0]), reduce_to_item(other, pair[1])
        return RunComparison(
            a=one.details,
            b=other.details,
            every_difference=find_run_differences(one, other, patterns),
            not_compared=("inputs",) if can["step_outputs"] else ("inputs", "step outputs"),
        )

    async def read_arguments(self, run_id: RunId) -> RunArguments:
        """Return a run's arguments, from the history if the server no longer has the run."""
        try:
            arguments = (await self.read_snapshot(run_id, ("arguments",))).arguments
            assert arguments is not None
        except NotFoundError:
            run_id = call_checks.check_run_id(run_id)
            entry = self._context.recorder.find_history_entry(run_id)
            if entry is None:
                raise
            arguments = responses.merge_run_arguments(run_id, {}, entry)
        return arguments

    def get_output_decoder(self, run_id: str) -> OutputDecoder:
        """Return the decoder for responses about a run."""
        return self._runs.get_output_decoder(run_id)

    async def add_failed_item_cause(self, run_id: str, listed: ListItemsResponse) -> ListItemsResponse:
        """Return the only item of a failed run, along with the error of the step that failed.

        If nothing else can be read, return the item unchanged. Whatever was read is cached, so explaining the failure
        later takes no additional requests.
        """
        try:
            run = await self._find_or_read_run(run_id, is_current=False, has_steps=True)
            run.items = listed
            return replace(listed, items=await run.read_items_with_failure_details(None))
        except StepflowClientError:
            # Ignore this error, since we already know that the item failed.
            return listed

    async def get_capabilities(self) -> Mapping[str, bool]:
        """Return the server's capabilities."""
        return (await self._context.connection.detect_server()).capabilities

    async def _find_or_read_run(self, run_id: str, *, is_current: bool, has_steps: bool) -> _LazyRun:
        known = self._ended.get(run_id)
        if known is not None and known.server is self._context.connection.dialect.server and not is_current:
            return known
        steps: Sequence[StepDetails] | None = None
        try:
            if has_steps and not (await self._context.connection.detect_server()).needs_translation:
                state, steps = await self._runs.get_run_with_steps(run_id)
            else:
                state = await self._runs.get_run_without_steps(run_id)
        except StepflowClientError as error:
            error.run_id = error.run_id or run_id
            raise
        if known is not None and known.state == state:
            return known
        run = _LazyRun(self, state, steps)
        if run.state.is_finished:
            self._context.recorder.record_status(run_id, run.state.status)
        if run.is_cacheable:
            self._ended.put_newest(run_id, run)
        return run

    async def _count_items(self, run: _LazyRun) -> ItemCounts:
        """Count a run's items by state.

        Servers don't do this for running batches, so count their items using events.
        """
        state, can = run.state, await self.get_capabilities()
        is_unsettled = state.items.running or state.items.cancelled
        if not is_unsettled or not can["events"] or not 1 < state.items.total <= _MAX_COUNTED_ITEMS:
            return state.items
        now = await self._runs.get_server_time()
        progress = build_initial_progress(RunSnapshot(details=state, flow=restore_flow(await run.fetch_stored_flow())))
        async with aclosing(Follower(self._context).follow(FollowRequest(state.run_id))) as sequence:
            async for update in sequence:
                if isinstance(update, IdleSignal):
                    is_past = update.run is not None
                else:
                    progress.apply_event(update)
                    is_past = update.timestamp is not None and update.timestamp >= now
                if is_past:
                    break
        return types.ItemCounts(**progress.get_item_counts())

    async def _explain_item(self, snapshot: RunSnapshot, index: int) -> RunAccount:
        items = snapshot.items or ()
        if index >= len(items):
            raise InvalidArgumentError(describe_missing_run_item(snapshot.run_id, index, len(items)))
        account = explain_items(snapshot, [items[index]])[index]
        component = find_component_needing_schema(account)
        if component is None:
            return account
        schemas: dict[str, Any] = {}
        # Ignore errors here, because the caller needs the run's own error.
        with suppress(StepflowClientError):
            with call_scope(_COMPONENTS_TIMEOUT):
                listed = await self._context.connection.list_components()
            pair = (convert_to_components(listed) or Components()).find_schemas(component)
            if pair is not None:
                schemas[component] = pair[0]
        return explain_items(snapshot, [items[index]], schemas)[index]


def build_initial_progress(snapshot: RunSnapshot, **more: Any) -> RunProgress:
    """Return the progress of a run that is about to be followed.

    Args:
        snapshot: The run with its flow. Include its arguments so that kept steps are marked as such.
        **more: Other arguments for `RunProgress`.
    """
    run, arguments = snapshot.details, snapshot.arguments
    flow = run.flow_name, dict(enumerate(get_steps_by_id(snapshot.flow or {})))
    kept = () if arguments is None else arguments.kept
    return RunProgress(run.run_id, flow, total=run.items.total, created_at=run.created_at, kept=kept, **more)
