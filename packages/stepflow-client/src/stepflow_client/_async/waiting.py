"""Waits for runs to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Union

from .._base.logging import logger
from .._codec import call_checks, responses
from .._data.arguments import check_flag
from .._rules import operations_and_releases as api
from .._rules.deadlines import compute_deadline, current_deadline, deadline_scope, limit_by_deadline
from .._rules.retries import TRANSIENT_ERRORS, Backoff
from ..errors import InvalidArgumentError, RunTimeoutError, ServerConnectionError, StepflowClientError
from ..types.statuses import ExecutionStatus, is_given_up_by_server, parse_status

if TYPE_CHECKING:
    from .._codec.call_checks import RunId
    from ..types import FlowResult, ListItemsResponse, RunDetails
    from .client_context import ClientContext
    from .snapshot_reader import SnapshotReader

# For runs with more items than this, request only the summary. Servers would otherwise return every item's steps.
_LARGE_RUN_ITEMS = 200

_NOT_ENDED_TEXTS = "has not ended yet", "it continues; to wait again, call wait_run()"
_NO_ITEMS_TEXTS = "may have ended, but its result did not arrive in time", "call get_result() again"
_NO_RESULT_TEXTS = "has ended, but its result did not arrive in time", "call get_result() again"

Answer = TypeVar("Answer")
# A finished run: its state, or as much of it as we can infer from its items.
_EndedRun = Union["RunDetails", "responses.StartedRun"]
# The server's data about a run's items, if already requested.
_RawItems = list[dict[str, Any]] | None
_ReadAnswer = Callable[[str, ExecutionStatus, _RawItems], Awaitable[Answer]]


class Waiter:
    """Waits for runs to end, surviving lost connections and server restarts.

    Args:
        context: The state shared by the client's services.
        snapshots: Returns the reader that explains failed runs.
    """

    def __init__(self, context: ClientContext, snapshots: Callable[[], SnapshotReader]) -> None:
        self._context = context
        self._connection = context.connection
        self._runs = context.runs
        self._snapshots = snapshots

    async def wait_run(self, run_id: RunId, *, timeout: float | None = None) -> RunDetails:
        """Wait for a run to end and return it."""
        run_id = call_checks.check_run_id(run_id)
        with deadline_scope(compute_deadline(timeout)):
            return await self.wait_until_ended(run_id)

    async def wait_until_ended(self, run_id: str, total: int | None = None) -> RunDetails:
        """Wait for a run of `total` items to end (or for the caller's deadline) and return its state."""
        spread = self._connection.spread
        with nullcontext() if spread is None else spread.count_waited_run(run_id):
            if total is None:
                # Don't ask the server to wait on the first request. For an unknown run, older servers would respond
                # with a 500 instead of a 404.
                first = await self._retry_request(partial(self._runs.get_run_without_steps, run_id), run_id)
                if first.is_finished and not is_given_up_by_server(first.status, first.items.running):
                    return first
                total = first.items.total
            timings, deadline = self._connection.timings, current_deadline()
            longest = timings.longest_shared_hold if self._connection.is_shared else timings.longest_hold
            # Poll often enough that noticing the end late adds at most a tenth to the total waiting time.
            pauses = Backoff(timings.wait_first_pause, timings.wait_longest_pause, 1.0, share=0.1, deadline=deadline)
            pause, last_contact, is_lost = 0.0, time.monotonic(), False
            while True:
                started = time.monotonic()
                held = 0 if total > _LARGE_RUN_ITEMS else int(limit_by_deadline(deadline, longest))
                try:
                    ended = await self._read_state_if_ended(run_id, held, total)
                except TRANSIENT_ERRORS as error:
                    # Retry, because the run is still going (or will be, once the server has restarted).
                    self._raise_unless_retryable(error, run_id, last_contact)
                    if not (is_lost or pauses.is_past_deadline):
                        is_lost = True
                        logger.warning("run %s: %s; retrying", run_id, error.message)
                    held, pause = 0, self._get_retry_after(error)
                else:
                    if ended is not None:
                        return ended
                    last_contact, is_lost, pause = time.monotonic(), False, 0.0
                if pauses.is_past_deadline:
                    raise _make_run_timeout_error(run_id)
                if not held or time.monotonic() - started < held / 2:
                    # The server responded early, because it either can't hold requests or wasn't asked to.
                    await asyncio.sleep(pauses.next_delay(pause))

    async def _read_state_if_ended(self, run_id: str, held: int, total: int) -> RunDetails | None:
        """Request a run's state and return it if the run has ended or is lost.

        If the server has given up on the run, wait until it's clear whether the run has ended or has been lost.
        """
        run = await self._runs.find_run_if_root(run_id) if total > _LARGE_RUN_ITEMS else None
        if run is None:
            request = api.get_run(run_id, wait=bool(held) or None, timeout_secs=held or None)._replace(held=held)
            run = await self._connection.call(request, partial(responses.read_run, run_id=run_id))
        if is_given_up_by_server(run.status, run.items.running):
            from .following import Follower

            return await Follower(self._context).wait_for_end_of_given_up_run(run)
        return run if run.is_finished else None

    async def wait_for_result(self, run: responses.StartedRun) -> FlowResult:
        """Wait for a newly created single-item run to end and return its result."""
        if run.answers and run.has_ended:
            return await self.read_result(run.run_id, run.status, run.answers)
        status = run.status
        if not run.has_ended:
            status = (await self.wait_until_ended(run.run_id, total=1)).status
        return await self._retry_request(partial(self.read_result, run.run_id, status), run.run_id, _NO_RESULT_TEXTS)

    async def _retry_request(
        self, send: Callable[[], Awaitable[Answer]], run_id: str, timeout_texts: tuple[str, str] = _NOT_ENDED_TEXTS
    ) -> Answer:
        """Repeat a request until there's a response, even if the server is unavailable for a while.

        Keeps trying until the caller's deadline, or for two minutes if there isn't one.

        Args:
            send: Sends the request. May be called several times.
            run_id: The run that the request is about.
            timeout_texts: The run's state and a hint, to use in the error if there's no response in time.

        Raises:
            RunTimeoutError: If the server doesn't respond in time.
            TransportError: If the server can't be reached.
        """
        timings = self._connection.timings
        backoff = Backoff(timings.wait_first_pause, timings.wait_longest_pause, deadline=current_deadline())
        last_contact, is_lost = time.monotonic(), False
        while True:
            try:
                return await send()
            except TRANSIENT_ERRORS as error:
                if backoff.deadline is None and not self._connection.has_answered:
                    # The server has never been reachable, so don't retry.
                    raise
                self._raise_unless_retryable(error, run_id, last_contact)
                pause = backoff.next_delay(self._get_retry_after(error))
                if backoff.is_last:
                    await asyncio.sleep(pause)
                    error.run_id = run_id
                    if isinstance(error, ServerConnectionError):
                        # This error is more helpful than a timeout, because it says that the server is unreachable.
                        raise
                    raise _make_run_timeout_error(run_id, timeout_texts) from error
                if not is_lost:
                    is_lost = True
                    logger.warning("run %s: %s; retrying", run_id, error.message)
            await asyncio.sleep(pause)

    async def wait_for_results(
        self, run_id: RunId, *, wait: bool = True, timeout: float | None = None
    ) -> list[FlowResult]:
        """Return a run's results, like the client's `get_results`."""
        run, listed = await self.wait_and_record("get_results", run_id, self.read_items, wait=wait, timeout=timeout)
        return responses.read_results(listed, run.status, self._connection.get_output_decoder(run.run_id))

    async def wait_and_record(
        self, name: str, run_id: RunId, read: _ReadAnswer[Answer], **options: Any
    ) -> tuple[_EndedRun, Answer]:
        """Call `wait_for_end_and_read` with these options in a span with this name and record how the run ended."""
        with self._connection.trace_operation(name, kind="INTERNAL") as span:
            run, answer = await self.wait_for_end_and_read(run_id, read, **options)
            span.record_attributes(run_id=run.run_id, run_status=run.status.value)
        self._context.recorder.record_end(run.run_id, run.status)
        return run, answer

    async def wait_for_end_and_read(
        self,
        run_id: RunId,
        read: _ReadAnswer[Answer],
        *,
        wait: bool = True,
        timeout: float | None = None,
        single: bool = False,
        started: responses.StartedRun | None = None,
    ) -> tuple[_EndedRun, Answer]:
        """Return the state of a finished run, along with whatever `read` returns for it.

        Args:
            run_id: The run.
            read: Called with the run's ID and status, plus the server's data about its items if that was already
                requested. Called again if the server was unavailable, unless `wait` is False.
            wait: Whether to wait for the run.
            timeout: Maximum number of seconds to wait, or None for no limit.
            single: Whether to reject batches.
            started: The response to the request that created the run, if we have one that may include the run's items.

        Raises:
            RunTimeoutError: If the run hasn't ended.
            InvalidArgumentError: If the run is a batch and `single` is True.
        """
        run_id = call_checks.check_run_id(run_id)
        check_flag(wait, "wait")
        with deadline_scope(compute_deadline(timeout)):
            detect = self._connection.detect_server
            server = await (self._retry_request(detect, run_id) if wait else detect())
            if not (started and started.answers and started.has_ended):
                started = None
            status: ExecutionStatus | None = None
            if started is None and wait and single and not server.needs_translation:
                # Servers report a run's items as ended once the run has ended, so a short run takes just one request.
                answers = await self._retry_request(partial(self._runs.list_raw_items, run_id), run_id, _NO_ITEMS_TEXTS)
                status = parse_status(answers[0]["status"]) if len(answers) == 1 else None
                if status is not None and status in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED):
                    started = responses.StartedRun(run_id, status, answers)
            if started is not None:
                end = partial(read, run_id, started.status, started.answers)
                return started, await self._retry_request(end, run_id, _NO_RESULT_TEXTS)
            if status is ExecutionStatus.RUNNING:
                run = await self.wait_until_ended(run_id, total=1)
            else:
                read_state = partial(self._runs.get_run_without_steps, run_id)
                # If the caller doesn't want to wait for the run, don't wait for the server either.
                run = await self._retry_request(read_state, run_id) if wait else await read_state()
            if single:
                _reject_batch_run(run)
            if not wait and not (await self._runs.determine_ending(run)).is_finished:
                raise _make_run_timeout_error(run_id)
            if not run.is_finished or is_given_up_by_server(run.status, run.items.running):
                run = await self.wait_until_ended(run_id, total=run.items.total)
                if single:
                    _reject_batch_run(run)
            end = partial(read, run_id, run.status, None)
            return run, await (self._retry_request(end, run_id, _NO_RESULT_TEXTS) if wait else end())

    def _raise_unless_retryable(self, error: StepflowClientError, run_id: str, last_contact: float) -> None:
        """Raise an error unless it's transient and we can keep waiting for the run.

        If the caller has no deadline, the time since the last response is limited instead.

        Args:
            error: The error that the request raised.
            run_id: The run.
            last_contact: When the server last responded, on the `time.monotonic()` clock.
        """
        outage = time.monotonic() - last_contact
        is_over = current_deadline() is None and outage > self._connection.timings.wait_outage
        if not error.is_retryable or is_over or self._connection.dialect.closed:
            error.run_id = run_id
            raise error

    def _get_retry_after(self, error: StepflowClientError) -> float:
        """Return the delay from the server's Retry-After header, capped at half of the longest outage we tolerate."""
        return min(error.retry_after or 0.0, self._connection.timings.wait_outage / 2)

    async def read_result(self, run_id: str, status: ExecutionStatus, answers: _RawItems = None) -> FlowResult:
        """Return the result of a finished single-item run."""
        answers = await self._runs.list_raw_items(run_id) if answers is None else answers
        decoder = self._connection.get_output_decoder(run_id)
        result = responses.read_immediate_result(responses.StartedRun(run_id, status, answers), decoder)
        if result is None:
            listed = responses.read_items(run_id, answers, decoder)
            if [item.status for item in listed.items] == [ExecutionStatus.FAILED]:
                listed = await self._snapshots().add_failed_item_cause(run_id, listed)
            else:
                listed = await self._runs.add_failure_details(listed, status)
            result = responses.get_only_result(listed, status, decoder)
        return result

    async def read_items(self, run_id: str, status: ExecutionStatus, answers: _RawItems = None) -> ListItemsResponse:
        """Return the items of a finished run."""
        answers = await self._runs.list_raw_items(run_id) if answers is None else answers
        listed = responses.read_items(run_id, answers, self._runs.get_output_decoder(run_id))
        return await self._runs.add_failure_details(listed, status)


def _reject_batch_run(run: RunDetails) -> None:
    # After a restart, servers list a run without its items until they've recovered the run.
    if run.items.total != 1 and (run.items.total or run.is_finished):
        message = f"run {run.run_id} is a batch of {run.items.total} items"
        hint = "to get the results of all items, call get_results()"
        raise InvalidArgumentError(message, run_id=run.run_id, hint=hint)


def _make_run_timeout_error(run_id: str, timeout_texts: tuple[str, str] = _NOT_ENDED_TEXTS) -> RunTimeoutError:
    state, hint = timeout_texts
    return RunTimeoutError(f"run {run_id} {state}", run_id=run_id, hint=hint)
