"""Creating a run exactly once, even if the response is lost."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .._base.lazy import lazy_module
from .._base.logging import logger
from .._codec import answers, requests
from .._codec.requests import RunArguments, Variables
from .._data.secrets import secrets_of
from .._rules import bindings as api
from .._rules.creation import Call, RunRegistry, born, may_arrive_later, may_have_created
from .._rules.deadline import current_deadline, deadline_override, has_passed
from .._rules.timings import Timings
from .._shared.recorder import Recorder
from .._shared.tracing import annotate
from ..errors import (
    AmbiguousRunError,
    ApiError,
    InvalidArgumentError,
    NotFoundError,
    StepflowClientError,
)
from ..flows.file import is_flow_id
from .connection import Connection
from .flows import FlowStore

if TYPE_CHECKING:
    import random

    from .._codec import responses
    from ..flows.file import FlowSource
    from ..types import CreateRunResponse, FlowVariable
else:
    responses = lazy_module("stepflow_client._codec.responses")
    random = lazy_module("random")

__all__ = ["RunCreator"]


_MAX_SENDS = 5
_OTHERS = "run() and submit() find their runs, as they run a copy of the flow that nobody else runs"


class _Run(Protocol):
    @property
    def run_id(self) -> str: ...


Created = TypeVar("Created", bound=_Run)


class RunCreator:
    """Creates runs, each exactly once.

    If a response is lost, the run is searched for. A run of another program is never mistaken for it.

    Args:
        connection: The connection.
        flows: The flows of the client.
        recorder: Records the runs.
        exact_integers: Whether to refuse integers that the server would change.
    """

    def __init__(self, connection: Connection, flows: FlowStore, recorder: Recorder, *, exact_integers: bool) -> None:
        self._connection = connection
        self._flows = flows
        self._recorder = recorder
        self.exact_integers = exact_integers

    async def start(
        self,
        flow: FlowSource,
        input: Any,
        overrides: Any,
        variables: Variables | None,
        variables_from_env: bool,
        *,
        max_concurrency: int | None,
        wait: int | None,
        deduplicate: bool,
        source: Any = None,
    ) -> answers.Started:
        """Store a flow, create a run of it and return the server's response.

        Args:
            flow: The flow, or the id of a stored one.
            input: The input, or a list of them.
            overrides: Changes to steps.
            variables: Values of the flow's variables.
            variables_from_env: Whether to read missing variables from the environment.
            max_concurrency: Maximum number of tasks executed at the same time.
            wait: Seconds that the server may hold the request until the run ends; None for an immediate response.
            deduplicate: Whether to store a copy of the flow for this run only.
            source: The flow as the caller gave it, if `flow` was already read from a file.
        """
        if is_flow_id(flow):
            if deduplicate:
                raise InvalidArgumentError("deduplicate=True needs the flow itself, not its id")
            arguments = await self.arguments(input, variables, overrides, max_concurrency)
            arguments = await self._completed(str(flow), arguments, variables_from_env)
            run = await self.create(str(flow), arguments, answers.started, wait=_held(wait))
            self._recorder.created(run.run_id, str(flow), arguments)
            return run
        checked = self._flows.checked(flow)
        content, digest, _ = checked
        annotate(flow_name=content.get("name"))
        arguments = await self.arguments(input, variables, overrides, max_concurrency)
        needs = self._flows.needs_of_flow(content, digest)
        arguments = requests.completed(arguments, needs, os.environ, variables_from_env)
        # If runs are spread over several servers, these share a store, which survives the restart of a server.
        may_be_lost = self._connection.spread is None and self._flows.registries.current.shared_flow(digest) is not None
        for again in (may_be_lost, False):
            flow_id, declared = await self._flows.store_to_run(checked, is_single=deduplicate)
            try:
                run = await self.create(
                    flow_id,
                    arguments,
                    answers.started,
                    declared=declared,
                    output=content.get("output"),
                    wait=_held(wait),
                )
            except NotFoundError:
                # A server that was restarted without a persistent store has lost the flow.
                self._flows.forget(flow_id)
                if not again:
                    raise
            else:
                annotate(run_id=run.run_id)
                self._recorder.created(run.run_id, flow_id, arguments, source or flow, content)
                return run
        raise InvalidArgumentError("the flow cannot be stored")  # pragma: no cover - the loop returns or raises

    async def create_run(
        self,
        flow_id: str,
        input: Any = None,
        variables: Variables | None = None,
        overrides: Any = None,
        debug: bool = False,
        max_concurrency: int | None = None,
        *,
        variables_from_env: bool = False,
        timeout: float | None = None,
    ) -> CreateRunResponse:
        """Start a run of a stored flow and return it; it is usually still running."""
        requests.check_debug(debug)
        flow_id = requests.check_id(flow_id, "flow_id")
        arguments = await self.arguments(input, variables, overrides, max_concurrency)
        arguments = await self._completed(flow_id, arguments, variables_from_env, timeout=timeout)
        run = await self.create(flow_id, arguments, responses.created, timeout=timeout)
        self._recorder.created(run.run_id, flow_id, arguments)
        return run

    async def arguments(
        self, input: Any, variables: Variables | None, overrides: Any, max_concurrency: int | None
    ) -> RunArguments:
        """Check the arguments of a run and return them in the format of the request."""
        server = await self._connection.server()
        exact = server.capabilities["exact_numbers"] or not self.exact_integers
        return requests.run_arguments(input, variables, overrides, max_concurrency, exact_integers=exact)

    async def _completed(
        self, flow_id: str, arguments: RunArguments, variables_from_env: bool, *, timeout: float | None = None
    ) -> RunArguments:
        """Check arguments against the flow, if this client knows it, and return them with the variables filled in."""
        if variables_from_env:
            await self._flows.variables_of(flow_id, timeout=timeout)
        needs = self._flows.needs_by_id(flow_id)
        return arguments if needs is None else requests.completed(arguments, needs, os.environ, variables_from_env)

    async def create(
        self,
        flow_id: str,
        arguments: RunArguments,
        read: Callable[[dict[str, Any]], Created],
        *,
        declared: Mapping[str, FlowVariable] | None = None,
        output: Any = None,
        wait: int | None = None,
        timeout: float | None = None,
        on_lost: Callable[[], object] | None = None,
    ) -> Created:
        """Create a run exactly once and return what `read` builds from the response.

        If a response is lost, `on_lost` is called.
        """
        values = arguments.variables
        declared = declared if declared is not None else self._flows.declared(flow_id)
        request = api.create_run._get_kwargs(
            body=api.json_body(
                flowId=flow_id,
                input=arguments.inputs,
                overrides={"steps": arguments.overrides} if arguments.overrides else api.UNSET,
                variables=values or api.UNSET,
                maxConcurrency=_or_unset(arguments.max_concurrency),
                wait=True if wait is not None else api.UNSET,
                timeoutSecs=_or_unset(wait),
            )
        )
        if arguments.text is not None:
            request = requests.with_inputs(request, arguments.text)
        send = partial(self._connection.call, "create_run", request, read, timeout=timeout, waits=wait or 0, raw=True)
        secrets = secrets_of(values, declared)
        try:
            created = await self._create_once(flow_id, send, read, on_lost)
        except StepflowClientError as error:
            # The server's error may quote the request.
            secrets.clean(error)
            raise error from None
        like = output if output is not None else self._flows.output(flow_id)
        self._connection.readings.note(created.run_id, like, secrets)
        return created

    async def _create_once(
        self,
        flow_id: str,
        send: Callable[[], Awaitable[Created]],
        read: Callable[[dict[str, Any]], Created],
        on_lost: Callable[[], object] | None = None,
    ) -> Created:
        """Create a run and return it.

        If the response is lost, the run is searched for among the root runs of the flow that belong to no call of this
        client. If there is none, the request is sent again, unless the server may still be processing it. A run that
        is found is the one created, provided that only this client runs the flow and that no other call can have
        created it.

        Args:
            flow_id: The flow.
            send: Sends the request once and reads the response.
            read: Reads the run from a response that has its `summary`.
            on_lost: Called when a response was lost.

        Raises:
            AmbiguousRunError: If the run cannot be identified, or if it is uncertain whether there is one.
        """
        timings = self._connection.timings
        claims = self._flows.registries.current
        call = claims.begin(flow_id, has_one_clock=self._connection.spread is None)
        began = time.monotonic()
        is_settled = False
        try:
            for attempt in range(1, _MAX_SENDS + 1):
                is_settled, sent = False, time.monotonic()
                call.sends = attempt
                try:
                    created = await send()
                except StepflowClientError as error:
                    is_settled = not may_have_created(error)
                    if is_settled:
                        raise
                    if on_lost is not None:
                        on_lost()
                    # Search for the run for as long as the response was waited for.
                    waited = min(time.monotonic() - sent, timings.search_after_timeout)
                    processing = waited if may_arrive_later(error) else 0.0
                    found = await self._find(_Search(timings, claims, call, began, error, processing))
                    is_settled = True
                    if found is not None:
                        return answers.build(read, {"summary": found}, "GET /runs")
                    pause = _pause(timings, error, attempt)
                    if attempt == _MAX_SENDS or pause is None:
                        raise
                    logger.info("a run of flow %s was not created (%s); sent again", flow_id, type(error).__name__)
                    await asyncio.sleep(pause)
                else:
                    claims.own(flow_id, created.run_id)
                    is_settled = True
                    return created
            raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises
        finally:
            # A cancelled call, for example, is not settled: no other call may take a run that it may have left behind.
            claims.end(call, is_settled=is_settled)

    async def _find(self, search: _Search) -> dict[str, Any] | None:
        """Return the summary of the run that a request created whose response was lost; None if it created none.

        Raises:
            AmbiguousRunError: If the run cannot be identified.
        """
        search.call.is_lost = True
        timings = self._connection.timings
        pause = timings.arrival_delay
        try:
            while True:
                looked = time.monotonic()
                try:
                    with deadline_override(search.last_look):
                        seen = await self._runs_of(search)
                except StepflowClientError as failure:
                    if not failure.is_retryable or has_passed(search.give_up):
                        raise search.ambiguous([]) from failure
                    await asyncio.sleep(timings.arrival_delay)
                    continue
                found = await self._pick(search, seen)
                if found is not None:
                    return seen[found]
                if looked >= search.look_until:
                    if search.may_come:
                        raise search.ambiguous([]) from search.error
                    return None
                await asyncio.sleep(max(0.001, min(pause, search.look_until - time.monotonic())))
                pause = min(2 * pause, timings.resend_longest_pause)
        finally:
            search.call.is_lost = False

    async def _pick(self, search: _Search, seen: Mapping[str, object]) -> str | None:
        """Return the id of the run, among those of the flow, that a call created; None if all belong to other calls.

        Raises:
            AmbiguousRunError: If the run cannot be identified.
        """
        claims, call = search.claims, search.call
        # Calls that begin later cannot have created any of these runs.
        rivals = claims.rivals(call)
        while True:
            rivals &= claims.rivals(call)
            left = claims.unowned(seen)
            if not left:
                return None
            if not rivals and claims.is_ours(call.flow_id):
                run_id = call.pick(left)
                if run_id is not None and claims.own(call.flow_id, run_id, search.lost_at):
                    return run_id
            if all(rival.is_lost for rival in rivals) or has_passed(search.give_up):
                raise search.ambiguous(left) from search.error
            # The response to the other call will show whether one of the runs belongs to that call.
            await asyncio.sleep(self._connection.timings.arrival_delay / 6)

    async def _runs_of(self, search: _Search) -> dict[str, dict[str, Any]]:
        """Return the summaries of the flow's runs that a call may have created, by run id."""
        timings = self._connection.timings
        limit = timings.searched_runs
        while True:
            request = api.list_runs._get_kwargs(roots_only=True, limit=limit)
            runs = await self._connection.call("list_runs", request, _summaries)
            times = [time for time in map(born, runs) if time is not None]
            # A run that the call created is no older than the call. Ages are relative to the newest run of all.
            oldest = max(times, default=0.0) - (time.monotonic() - search.began) - timings.clock_difference
            if len(runs) < limit or (times and min(times) < oldest):
                flow_id = search.call.flow_id
                recent = {run_id: run for run_id, run in runs.items() if (born(run_id) or oldest) >= oldest}
                return {run_id: run for run_id, run in recent.items() if run["flowId"] == flow_id}
            # All listed runs are newer than the call: the run may be further down the list.
            limit *= 4


def _summaries(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the summaries in a list of runs, by run id."""
    summaries = {run["runId"]: run for run in answer["runs"]}
    if not all(isinstance(run_id, str) and isinstance(run["flowId"], str) for run_id, run in summaries.items()):
        raise TypeError("a run has no runId or no flowId")
    return summaries


class _Search:
    """The search for the run of a request whose response was lost.

    Args:
        timings: The client's timings.
        claims: The client's flows, runs and open calls.
        call: The call that sent the request.
        began: When the call began, by `time.monotonic()`, like all times here.
        error: How the request failed.
        processing: Seconds for which the server may still be processing it.
    """

    def __init__(
        self,
        timings: Timings,
        claims: RunRegistry,
        call: Call,
        began: float,
        error: StepflowClientError,
        processing: float,
    ) -> None:
        """Calculate when the search ends."""
        self.claims, self.call, self.began, self.error = claims, call, began, error
        self.is_ours = claims.is_ours(call.flow_id)
        now, deadline = time.monotonic(), current_deadline()
        self.lost_at = now
        """When the response was lost: by then, the server has received the request or never will."""
        end = now + timings.search_outage
        self.give_up = end if deadline is None else min(end, deadline)
        """When the search ends if the server does not respond."""
        self.last_look = max(self.give_up, now + timings.last_search)
        """The deadline of the last request. It may exceed the caller's: finding the run is worth the delay."""
        # The request may still be on its way to the server.
        wanted = now + max(timings.arrival_delay, processing)
        self.look_until = min(wanted, self.give_up)
        """When a run that has not appeared is considered not created, or impossible to identify."""
        self.may_come = bool(processing) or self.give_up < wanted
        """Whether a run may still appear after that."""

    def ambiguous(self, runs: Sequence[str]) -> AmbiguousRunError:
        """Return the error that lists the candidate runs."""
        names = ", ".join(runs[:5]) or "none was seen"
        flow = f"{self.call.flow_id[:12]}…"
        exact = "deduplicate=True makes this exact"
        return AmbiguousRunError(
            f"a run of flow {flow} may have been created, but its response was lost ({self.error.message}): {names}",
            candidates=list(runs),
            hint=f"look at the candidates before you start it again; {exact if self.is_ours else _OTHERS}",
        )


def _pause(timings: Timings, error: StepflowClientError, attempt: int) -> float | None:
    """Return the seconds to wait before sending a request again, or None if that is too long."""
    pause = random.uniform(0, timings.resend_first_pause * 2 ** (attempt - 1))
    if isinstance(error, ApiError) and error.retry_after is not None:
        pause = max(pause, error.retry_after)
    deadline = current_deadline()
    longest = timings.resend_longest_pause
    left = longest if deadline is None else min(longest, deadline - time.monotonic())
    return pause if pause < left else None


def _held(wait: int | None) -> int | None:
    """Return how many seconds a server may hold the request that creates a run: 0 if the deadline might pass first."""
    deadline = current_deadline()
    return 0 if wait and deadline is not None and deadline - time.monotonic() < 2 * wait else wait


def _or_unset(value: int | None) -> Any:
    return api.UNSET if value is None else value
