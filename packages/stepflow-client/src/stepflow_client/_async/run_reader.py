"""Reads, cancels and deletes runs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._codec import call_checks, errors_from_steps, responses
from .._concurrency import async_gather
from .._rules import operations_and_releases as api
from ..errors import ConflictError, NotFoundError, StepflowClientError, UnsupportedByServerError
from ..types.statuses import FAILED_STATUSES, ExecutionStatus, RunEnding, decide_run_ending, is_given_up_by_server
from .connection import Connection

if TYPE_CHECKING:
    from .._codec.call_checks import RunId
    from .._data.wire import OutputDecoder
    from .._runs import pinned_steps, strip_and_restore_flow
    from ..types import ListItemsResponse, ListStepsResponse, RunDetails, StepDetails, StoredFlow
else:
    strip_and_restore_flow = lazy_module("stepflow_client._runs.strip_and_restore_flow")
    pinned_steps = lazy_module("stepflow_client._runs.pinned_steps")

ITEM_ENDING_STATUSES = FAILED_STATUSES | {ExecutionStatus.COMPLETED}
"""Statuses that mean a run's unfinished items are lost. (A cancelled run's items may still end.)"""
MAX_ITEMS_FOR_STEPS = 1000
MAX_ITEMS_REQUESTED = 20
"""In larger runs, request the steps of up to this many items individually (20 ms each if there are 20,000 items)."""
_MAX_CONCURRENT_READS = 4
_MAX_STARTED_FLOWS = 64
# Numbers in step outputs are restored later, when the steps are read.
_GET_RUN_WITH_STEPS = replace(api.get_run, keeps_numbers=True)


class RunReader:
    """Reads, cancels and deletes runs."""

    def __init__(self, connection: Connection, *, as_sent: bool = False) -> None:
        """Store the connection. If `as_sent` is set, outputs stay as the server sent them (see `OutputDecoder`)."""
        self._connection = connection
        self._as_sent = as_sent
        self.started_flows: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_MAX_STARTED_FLOWS)
        """The most recent runs created by this client and their flows as stored, used to explain failures."""

    def get_output_decoder(self, run_id: str) -> OutputDecoder:
        """Return the decoder for responses about a run."""
        decoder = self._connection.get_output_decoder(run_id)
        return decoder._replace(as_sent=True) if self._as_sent else decoder

    async def get_run(self, run_id: RunId) -> RunDetails:
        """Return a run's current state."""
        run_id = call_checks.check_run_id(run_id)
        return await self._connection.call(api.get_run(run_id), partial(responses.read_run, run_id=run_id))

    async def get_run_with_steps(self, run_id: str) -> tuple[RunDetails, list[StepDetails]]:
        """Return a run's state and steps, which current servers return together."""
        request, decoder = api.get_run(run_id)._replace(operation=_GET_RUN_WITH_STEPS), self.get_output_decoder(run_id)

        def read(answer: dict[str, Any]) -> tuple[RunDetails, list[StepDetails]]:
            return responses.read_run(answer, run_id), responses.read_steps(run_id, answer["steps"], decoder).steps

        return await self._connection.call(request, read)

    def find_started_run_flow(self, run_id: str) -> dict[str, Any] | None:
        """Return the stored flow of a recent run started by this client, or None for any other run."""
        return dict(self.started_flows.copy()).get(run_id)

    async def get_run_items(self, run_id: RunId) -> ListItemsResponse:
        """Return a run's items in input order. Items that are still running have no result yet."""
        run_id = call_checks.check_run_id(run_id)
        listed = await self.list_items(run_id)
        if not listed.items:
            # For unknown runs, servers may return an empty list instead of a 404.
            await self.get_run(run_id)
        status: ExecutionStatus | None = None
        if errors_from_steps.as_lazy_run_items(listed)._find_unfinished_positions():
            run = await self.get_run_without_steps(run_id)
            if run.status in ITEM_ENDING_STATUSES:
                # The run and its items may have ended since we requested the items.
                listed = await self.list_items(run_id)
                if (await self.determine_ending(run)).is_finished:
                    status = run.status
        return await self.add_failure_details(listed, status)

    async def determine_ending(self, run: RunDetails, latest: datetime | None = None) -> RunEnding:
        """Return whether and how a run has ended, based on its state and most recent activity.

        Args:
            run: The run's state.
            latest: The time of the last event by the server's clock, if events are being read. Otherwise, the steps are
                requested unless there are too many of them.
        """
        if not is_given_up_by_server(run.status, run.items.running):
            return decide_run_ending(run.status, run.items.running, 0.0, math.inf)
        can = (await self._connection.detect_server()).capabilities
        if latest is None and can["events"] and run.items.total <= MAX_ITEMS_FOR_STEPS:
            steps = await self._try_listing_steps(run.run_id) or []
            latest = max((step.updated_at for step in steps if step.updated_at is not None), default=None)
        signs = [time for time in (run.created_at, run.completed_at, latest) if time is not None]
        quiet = (await self.get_server_time() - max(signs)).total_seconds() if signs else 0.0
        return decide_run_ending(run.status, run.items.running, quiet, self._connection.timings.lost_grace)

    async def get_server_time(self) -> datetime:
        """Return the current time on the server's clock, which is also used for the times of runs and events."""
        health = await self._connection.request_health()
        time = responses.build_from_response(responses.read_health, health, "GET /health").timestamp
        return time or datetime.now(UTC)

    async def list_items(self, run_id: str) -> ListItemsResponse:
        """Return a run's items as reported by the server."""
        return responses.read_items(run_id, await self.list_raw_items(run_id), self.get_output_decoder(run_id))

    async def list_raw_items(self, run_id: str) -> list[dict[str, Any]]:
        """Return the server's raw data about a run's items, for `responses.read_items`."""
        request = api.get_run_items(run_id)
        return await self._connection.call(request, lambda answer: responses.check_and_sort_items(answer["results"]))

    async def add_failure_details(self, listed: ListItemsResponse, status: ExecutionStatus | None) -> ListItemsResponse:
        """Add details that the items themselves don't include: why they failed, or that the server lost them.

        Args:
            listed: The items.
            status: The run's status if it has ended or is lost. Can be None otherwise, or if all items have ended.
        """
        items = errors_from_steps.as_lazy_run_items(listed)
        failed = items._find_positions_by_status(FAILED_STATUSES.__contains__)
        lost = items._find_unfinished_positions() if status in ITEM_ENDING_STATUSES else []
        if not failed and not lost:
            return listed
        can = (await self._connection.detect_server()).capabilities
        if failed:
            # Add the first step that failed, along with its error.
            failed = failed[:MAX_ITEMS_REQUESTED] if len(listed.items) > MAX_ITEMS_FOR_STEPS else failed
            steps = await self._read_steps_by_item(listed, failed, can)
            flow: Mapping[str, Any] = {}
            if steps and errors_from_steps.is_failure_cause_ambiguous(listed, failed, steps):
                # Ignore errors when reading the flow, since the flow only adds details.
                with suppress(StepflowClientError):
                    started = self.find_started_run_flow(listed.run_id)
                    written = None if started is None else strip_and_restore_flow.restore_flow(started)
                    flow = written or (await self.get_run_flow(listed.run_id)).flow
            listed = errors_from_steps.add_failed_step_to_errors(listed, failed, steps, flow)
        if lost and status is not None:
            by_item = await self._read_steps_by_item(listed, lost, can) if can["live_steps"] else {}
            listed = errors_from_steps.add_lost_run_errors(listed, status, by_item)
        return listed

    async def _read_steps_by_item(
        self, listed: ListItemsResponse, places: list[int], can: Mapping[str, bool]
    ) -> dict[int, list[StepDetails]]:
        """Return the steps that each item has started, as reported by the server (only for some items of a large run).

        Failed requests are ignored, because we already know that the items failed, and steps only add details.
        """
        run_id = listed.run_id
        is_large = len(listed.items) > MAX_ITEMS_FOR_STEPS
        indexes = [listed.items[place].index for place in (places[:MAX_ITEMS_REQUESTED] if is_large else places)]
        # Listing the whole run's steps would return every item's outputs here, so request each item's steps instead.
        if is_large and can["step_outputs"]:
            reads = [partial(self._try_listing_steps, run_id, index) for index in indexes]
            step_lists = await async_gather(reads, _MAX_CONCURRENT_READS)
            return {index: steps for index, steps in zip(indexes, step_lists, strict=True) if steps is not None}
        steps = await self._try_listing_steps(run_id)
        if steps is None:
            return {}
        by_item: dict[int, list[StepDetails]] = {index: [] for index in indexes}
        for step in steps:
            if step.item_index in by_item:
                by_item[step.item_index].append(step)
        return by_item

    async def _try_listing_steps(self, run_id: str, item_index: int | None = None) -> list[StepDetails] | None:
        try:
            return (await self.list_steps(run_id, item_index)).steps
        except StepflowClientError:
            return None

    async def list_steps(self, run_id: str, item_index: int | None) -> ListStepsResponse:
        """Return the steps as reported by the server (an empty list for an unknown run)."""
        return await self._connection.call(
            api.get_run_steps(run_id, item_index=item_index),
            lambda answer: responses.read_steps(run_id, answer["steps"], self.get_output_decoder(run_id)),
        )

    async def get_run_steps(self, run_id: RunId, *, item_index: int | None = None) -> ListStepsResponse:
        """Return the steps that a run has started, sorted by item and then by their order in the flow."""
        run_id = call_checks.check_run_id(run_id)
        index = call_checks.check_limit(item_index, "item_index")
        listed = await self.list_steps(run_id, index)
        if not listed.steps:
            # For unknown runs, servers may return an empty list instead of a 404.
            await self.get_run(run_id)
        return listed

    async def mark_kept_step_details(self, run_id: RunId, steps: list[StepDetails]) -> list[StepDetails]:
        """Return a run's steps, marking those that a rerun kept and restoring their components from the author's flow.

        Args:
            run_id: The run.
            steps: The steps as returned by the server. The flow is only requested if any of them could be pinned.
        """
        if all(step.component != pinned_steps.PIN_COMPONENT for step in steps):
            return steps
        try:
            stored = await self.get_stored_run_flow(call_checks.check_run_id(run_id))
        except (NotFoundError, UnsupportedByServerError):
            # A run created by a step may not have a stored flow.
            return steps
        return strip_and_restore_flow.mark_kept_step_details(steps, stored)

    async def get_run_step(self, run_id: RunId, step_id: str, *, item_index: int = 0) -> StepDetails:
        """Return a single step of an item."""
        run_id = call_checks.check_run_id(run_id)
        path_id, index = (
            call_checks.check_path_id(step_id, "step_id"),
            call_checks.check_limit(item_index, "item_index"),
        )
        return await self._connection.call(
            api.get_run_step(run_id, path_id, item_index=index),
            lambda answer: responses.read_requested_step(
                answer["step"], step_id, item_index, self.get_output_decoder(run_id)
            ),
        )

    async def get_run_flow(self, run_id: RunId) -> StoredFlow:
        """Return a run's flow, without any tag added by the client that ran it. For its examples, use `get_flow`."""
        run_id = call_checks.check_run_id(run_id)
        return await self._connection.call(api.get_run_flow(run_id), responses.read_flow)

    async def get_stored_run_flow(self, run_id: str) -> dict[str, Any]:
        """Return a run's flow, including anything added by the client that ran it."""
        return await self._connection.call(api.get_run_flow(run_id), responses.read_flow_as_stored)

    async def cancel_run(self, run_id: RunId) -> RunDetails:
        """Mark a run as cancelled and return it."""
        run_id = call_checks.check_run_id(run_id)
        now = await self.get_run_without_steps(run_id)
        if now.is_finished:
            message = f"run {run_id} is already {now.status.value}"
            raise ConflictError(message, status_code=409, run_id=run_id, details=now)
        try:
            return await self._connection.call(api.cancel_run(run_id), partial(responses.read_run, run_id=run_id))
        except ConflictError as error:
            # Older servers won't cancel a run twice, even if the first attempt succeeded but appeared to fail.
            now = await self.get_run_without_steps(run_id)
            if len(error.attempts) > 1 and now.status is ExecutionStatus.CANCELLED:
                return now
            raise

    async def get_run_without_steps(self, run_id: str) -> RunDetails:
        """Return a run's current state without its steps (if possible), since there can be many of them."""
        return await self.find_run_if_root(run_id) or await self.get_run(run_id)

    async def find_run_if_root(self, run_id: str) -> RunDetails | None:
        """Return a root run's state without its steps, or None for a sub-run or an unknown run."""
        request = api.list_runs(root_run_id=run_id, roots_only=True, limit=1)._replace(run_id=run_id)
        listed = await self._connection.call(request, responses.read_runs)
        return next((run for run in listed.runs if run.run_id == run_id), None)

    async def delete_run(self, run_id: RunId) -> None:
        """Ask the server to delete a finished run."""
        run_id = call_checks.check_run_id(run_id)
        await self._connection.send(api.delete_run(run_id))
