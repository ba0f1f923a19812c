# Written from _async/lost_runs.py by `make generate`. Change that file instead.

"""Finding the run that a request created whose response was lost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._codec import responses
from .._rules import operations as api
from .._rules.backoff import Backoff
from .._rules.deadline import current_deadline, deadline_override, has_passed
from .._rules.ending import is_given_up
from .._rules.lost_creation import Call, RunRegistry, creation_time, is_processed, may_arrive_later
from .._rules.timings import Timings
from ..errors import AmbiguousRunError, StepflowClientError
from .connection import Connection

_OTHERS = "run() and submit() find their runs, as they run a copy of the flow that nobody else runs"


class LostRunFinder:
    """Searches for the runs of requests whose responses were lost. A run of another program is never taken for one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, search: Search) -> dict[str, Any] | None:
        """Return the summary of the run that a request created whose response was lost; None if it created none.

        Raises:
            AmbiguousRunError: If the run cannot be identified.
        """
        search.call.is_lost = True
        timings = self._connection.timings
        pauses = Backoff(timings.arrival_delay, timings.resend_longest_pause, deadline=search.look_until)
        try:
            while True:
                looked = time.monotonic()
                try:
                    with deadline_override(search.last_look):
                        seen = self._runs_of(search)
                except StepflowClientError as failure:
                    if not failure.is_retryable or has_passed(search.give_up):
                        raise search.ambiguous([]) from failure
                    time.sleep(timings.arrival_delay)
                    continue
                found = self._pick(search, seen)
                if found is not None:
                    return seen[found]
                if looked >= search.look_until:
                    if search.may_come:
                        raise search.ambiguous([]) from search.error
                    return None
                time.sleep(max(0.001, pauses.next()))
        finally:
            search.call.is_lost = False

    def _pick(self, search: Search, seen: Mapping[str, object]) -> str | None:
        """Return the id of the run, among those of the flow, that a call created; None if all belong to other calls.

        Raises:
            AmbiguousRunError: If the run cannot be identified.
        """
        registry, call = search.registry, search.call
        # Calls that begin later cannot have created any of these runs.
        other_calls = registry.other_calls(call)
        while True:
            other_calls &= registry.other_calls(call)
            left = registry.unowned(seen)
            if not left:
                return None
            if not other_calls and registry.is_ours(call.flow_id):
                run_id = call.pick(left)
                if run_id is not None and registry.own(call.flow_id, run_id):
                    return run_id
            if all(other.is_lost for other in other_calls) or has_passed(search.give_up):
                raise search.ambiguous(left) from search.error
            # The response to the other call will show whether one of the runs belongs to that call.
            time.sleep(self._connection.timings.arrival_delay / 6)

    def _runs_of(self, search: Search) -> dict[str, dict[str, Any]]:
        """Return the summaries of the flow's runs that a call may have created, by run id."""
        timings = self._connection.timings
        limit = timings.searched_runs
        while True:
            request = api.list_runs(roots_only=True, limit=limit)
            runs = self._connection.call(request, _summaries)
            times = [time for time in map(creation_time, runs) if time is not None]
            # A run that the call created is no older than the call. Ages are relative to the newest run of all.
            oldest = max(times, default=0.0) - (time.monotonic() - search.call.began) - timings.clock_difference
            if len(runs) < limit or (times and min(times) < oldest):
                flow_id = search.call.flow_id
                recent = {run_id: run for run_id, run in runs.items() if (creation_time(run_id) or oldest) >= oldest}
                own = {run_id: run for run_id, run in recent.items() if run["flowId"] == flow_id}
                # A server whose store has failed may have stored a run that it does not execute.
                return {id: run for id, run in own.items() if not (search.is_processed and _is_abandoned(run))}
            # All listed runs are newer than the call: the run may be further down the list.
            limit *= 4


def _is_abandoned(summary: dict[str, Any]) -> bool:
    """Return whether no step of a run was executed or will be, as the server has failed to create the run."""
    run = responses.run({"summary": summary})
    return not run.items.total or is_given_up(run.status, run.items.running)


def _summaries(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the summaries in a list of runs, by run id."""
    summaries = {run["runId"]: run for run in answer["runs"]}
    if not all(isinstance(run_id, str) and isinstance(run["flowId"], str) for run_id, run in summaries.items()):
        raise TypeError("a run has no runId or no flowId")
    return summaries


class Search:
    """The search for the run of a request whose response was lost.

    Args:
        timings: The client's timings.
        registry: The client's flows, runs and open calls.
        call: The call that sent the request.
        error: How its last request failed.
    """

    def __init__(self, timings: Timings, registry: RunRegistry, call: Call, error: StepflowClientError) -> None:
        self.registry, self.call, self.error = registry, call, error
        self.is_ours = registry.is_ours(call.flow_id)
        now, deadline = time.monotonic(), current_deadline()
        self.lost_at = now
        """When the response was lost, by `time.monotonic()`, like all times here: by then, the server has received the
        request or never will."""
        end = now + timings.search_outage
        self.give_up = end if deadline is None else min(end, deadline)
        """When the search ends if the server does not respond."""
        self.last_look = max(self.give_up, now + timings.last_search)
        """The deadline of the last request. It may exceed the caller's: finding the run is worth the delay."""
        # The server may still be processing the request: search for the run for as long as the response was waited for.
        processing = min(now - call.sent, timings.search_after_timeout) if may_arrive_later(error) else 0.0
        self.is_processed = is_processed(error)
        """Whether the server has finished processing the request."""
        # Otherwise it may still be on its way to the server.
        wanted = now if self.is_processed else now + max(timings.arrival_delay, processing)
        self.look_until = min(wanted, self.give_up)
        """When a run that has not appeared is considered not created, or impossible to identify."""
        self.may_come = bool(processing) or self.give_up < wanted
        """Whether a run may still appear after that."""

    def ambiguous(self, runs: Sequence[str]) -> AmbiguousRunError:
        """Return the error that lists the candidate runs."""
        names = ", ".join(runs[:5]) or "none was seen"
        flow = f"{self.call.flow_id[:12]}…"
        exact = "private_copy=True makes this exact"
        return AmbiguousRunError(
            f"a run of flow {flow} may have been created, but its response was lost ({self.error.message}): {names}",
            candidates=list(runs),
            hint=f"look at the candidates before you start it again; {exact if self.is_ours else _OTHERS}",
        )
