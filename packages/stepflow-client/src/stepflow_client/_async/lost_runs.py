"""Finding the run that a request created whose response was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._codec import responses
from .._rules import operations as api
from .._rules.backoff import Backoff
from .._rules.deadline import current_deadline, deadline_override, has_passed
from .._rules.ending import is_given_up
from .._rules.lost_creation import CreationCall, RunRegistry, creation_time, may_arrive_later, was_processed
from ..errors import AmbiguousRunError, StepflowClientError
from .connection import Connection

_SHARED_FLOW_HINT = "run() and submit() find their runs, as they run a copy of the flow that nobody else runs"


class LostRunSearch:
    """The search for the run of a request whose response was lost. A run of another program is never taken for it.

    Args:
        connection: The connection.
        registry: The client's flows, runs and open calls.
        call: The call that sent the request.
        error: How its last request failed.
    """

    def __init__(
        self, connection: Connection, registry: RunRegistry, call: CreationCall, error: StepflowClientError
    ) -> None:
        self._connection = connection
        self._registry, self.call, self.error = registry, call, error
        self._is_ours = registry.is_ours(call.flow_id)
        timings, now, deadline = connection.timings, time.monotonic(), current_deadline()
        # All times are by `time.monotonic()`. The server has received the request by now, or never will.
        end = now + timings.search_outage
        self._give_up_at = end if deadline is None else min(end, deadline)
        """When the search ends if the server does not respond."""
        self._last_request = max(self._give_up_at, now + timings.last_search)
        """The deadline of the last request. It may exceed the caller's: finding the run is worth the delay."""
        # The server may still be processing the request: search for the run for as long as the response was waited for.
        processing = min(now - call.sent, timings.search_after_timeout) if may_arrive_later(error) else 0.0
        self.is_processed = was_processed(error)
        """Whether the server has finished processing the request."""
        # Otherwise it may still be on its way to the server.
        end = now if self.is_processed else now + max(timings.arrival_delay, processing)
        self._search_until = min(end, self._give_up_at)
        """When a run that has not appeared is considered not created, or impossible to identify."""
        self._may_appear_later = bool(processing) or self._give_up_at < end

    async def find(self) -> dict[str, Any] | None:
        """Return the summary of the run that the request created; None if it created none.

        Raises:
            AmbiguousRunError: If the run cannot be identified.
        """
        self.call.is_lost = True
        timings = self._connection.timings
        pauses = Backoff(timings.arrival_delay, timings.resend_longest_pause, deadline=self._search_until)
        try:
            while True:
                began = time.monotonic()
                try:
                    with deadline_override(self._last_request):
                        runs = await self._read_runs()
                except StepflowClientError as failure:
                    if not failure.is_retryable or has_passed(self._give_up_at):
                        raise self._make_ambiguous_error([]) from failure
                    await asyncio.sleep(timings.arrival_delay)
                    continue
                run_id = await self._pick_run(runs)
                if run_id is not None:
                    return runs[run_id]
                if began >= self._search_until:
                    if self._may_appear_later:
                        raise self._make_ambiguous_error([]) from self.error
                    return None
                await asyncio.sleep(max(0.001, pauses.next_delay()))
        finally:
            self.call.is_lost = False

    async def _read_runs(self) -> dict[str, dict[str, Any]]:
        """Return the summaries of the flow's runs that the call may have created, by run id."""
        timings, call = self._connection.timings, self.call
        limit = timings.searched_runs
        while True:
            runs = await self._connection.call(api.list_runs(roots_only=True, limit=limit), _get_summaries)
            times = [time for time in map(creation_time, runs) if time is not None]
            # A run that the call created is no older than the call. Ages are relative to the newest run of all.
            oldest = max(times, default=0.0) - (time.monotonic() - call.began) - timings.clock_difference
            if len(runs) < limit or (times and min(times) < oldest):
                break
            # All listed runs are newer than the call: the run may be further down the list.
            limit *= 4
        own_runs = {}
        for run_id, summary in runs.items():
            if summary["flowId"] != call.flow_id or (creation_time(run_id) or oldest) < oldest:
                continue
            if self.is_processed:
                run = responses.read_run({"summary": summary})
                # A server whose store has failed may have stored a run that it does not execute.
                if not run.items.total or is_given_up(run.status, run.items.running):
                    continue
            own_runs[run_id] = summary
        return own_runs

    async def _pick_run(self, runs: Mapping[str, object]) -> str | None:
        """Return the id of the run that the call created; None if all runs belong to other calls.

        Raises:
            AmbiguousRunError: If the run cannot be identified.
        """
        registry, call = self._registry, self.call
        # Calls that begin later cannot have created any of these runs.
        other_calls = registry.other_calls(call)
        while True:
            other_calls &= registry.other_calls(call)
            candidates = registry.filter_unowned(runs)
            if not candidates:
                return None
            # Checked anew: a call that ended without its run may have left one of these behind.
            if not other_calls and registry.is_ours(call.flow_id):
                run_id = call.pick_run(candidates)
                if run_id is not None and registry.claim_run(call.flow_id, run_id):
                    return run_id
            if all(other.is_lost for other in other_calls) or has_passed(self._give_up_at):
                raise self._make_ambiguous_error(candidates) from self.error
            # The response to the other call will show whether one of the runs belongs to that call.
            await asyncio.sleep(self._connection.timings.arrival_delay / 6)

    def _make_ambiguous_error(self, candidates: Sequence[str]) -> AmbiguousRunError:
        names = ", ".join(candidates[:5]) or "none was seen"
        flow = f"{self.call.flow_id[:12]}…"
        exact = "private_copy=True makes this exact"
        return AmbiguousRunError(
            f"a run of flow {flow} may have been created, but its response was lost ({self.error.message}): {names}",
            candidates=list(candidates),
            hint=f"look at the candidates before you start it again; {exact if self._is_ours else _SHARED_FLOW_HINT}",
        )


def _get_summaries(response: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the summaries in a list of runs, by run id."""
    summaries = {run["runId"]: run for run in response["runs"]}
    if not all(isinstance(run_id, str) and isinstance(run["flowId"], str) for run_id, run in summaries.items()):
        raise TypeError("a run has no runId or no flowId")
    return summaries
