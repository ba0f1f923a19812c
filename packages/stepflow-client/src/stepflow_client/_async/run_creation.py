"""Creates each run exactly once, searching for the run if the response to its request is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import errors
from .._base.bounded_dict import BoundedDict
from .._base.logging import logger
from .._codec import call_checks, responses
from .._codec.call_checks import RunArguments, RunCall
from .._concurrency import async_compute
from .._data.arguments import check_flag
from .._data.secrets import find_variable_secrets
from .._data.wire import PLAIN, OutputDecoder, make_output_decoder, to_json
from .._rules import lost_creation, operations_and_releases as api
from .._rules.deadlines import current_deadline, deadline_scope, has_passed, limit_by_deadline
from .._rules.lost_creation import CreationCall, RunRegistry
from .._rules.operations_and_releases import Server
from .._rules.retries import Backoff, compute_random_delay
from .._telemetry.history_recorder import CreatedRun
from .._telemetry.tracing import annotate_operation, count_started_run, is_untraced
from ..errors import NotFoundError, StepflowClientError
from ..types.statuses import ExecutionStatus, is_given_up_by_server
from .connection import Connection
from .flow_store import StoredCopy

if TYPE_CHECKING:
    from ..flows.run_requirements import RunRequirements
    from ..types import CreateRunResponse
    from .client_context import ClientContext

_SHARED_FLOW_HINT = "run() and submit() can find their runs because they use a private copy of the flow"
_MAX_SENDS = 5
# Maximum number of prepared requests to keep for the next runs.
_MAX_TEMPLATES = 1_000
# A request that can't create a run because its flow doesn't exist.
_CHECK_INPUTS, _NO_FLOW = replace(api.create_run, is_idempotent=True), "0" * 64

# A flow's digest, plus the `max_concurrency` and `hold_seconds` of its runs.
_TemplateKey = tuple[bytes, int | None, int | None]


class LostRunSearch:
    """Searches for the run created by a request whose response was lost, without ever picking another program's run.

    Args:
        connection: The connection.
        registry: The client's flows, runs and open calls.
        call: The call that sent the request.
        error: The error from the call's last request.
    """

    def __init__(
        self, connection: Connection, registry: RunRegistry, call: CreationCall, error: StepflowClientError
    ) -> None:
        self._connection = connection
        self._registry, self.call, self.error = registry, call, error
        self._is_ours = registry.is_flow_only_run_by_this_client(call.flow_id)
        timings, now, deadline = connection.timings, time.monotonic(), current_deadline()
        # All times use `time.monotonic()`.
        end = now + timings.search_outage
        self._give_up_at = end if deadline is None else min(end, deadline)
        """When to give up the search if the server doesn't respond."""
        self._last_request = max(self._give_up_at, now + timings.last_search)
        """The last request's deadline, which may be later than the caller's: finding the run is worth the delay."""
        # The server may still be processing the request, so keep searching for as long as we waited for the response.
        is_open = lost_creation.may_still_be_processed(error)
        processing = min(now - call.sent, timings.search_after_timeout) if is_open else 0.0
        self.is_processed = lost_creation.was_processed_by_server(error)
        """Whether we know that the server is done with the request."""
        # Otherwise, the request may not have arrived yet.
        end = now if self.is_processed else now + max(timings.arrival_delay, processing)
        self._search_until = min(end, self._give_up_at)
        """When to stop waiting for a run to appear and conclude that it wasn't created or can't be identified."""
        self._may_appear_later = bool(processing) or self._give_up_at < end

    async def find_run(self) -> dict[str, Any] | None:
        """Return the summary of the run created by the request, or None if the request didn't create one.

        Raises:
            AmbiguousRunError: If the run can't be identified.
        """
        self.call.is_lost = True
        timings = self._connection.timings
        pauses = Backoff(timings.arrival_delay, timings.resend_longest_pause, deadline=self._search_until)
        try:
            while True:
                began = time.monotonic()
                try:
                    with deadline_scope(self._last_request, overrides_outer=True):
                        runs = await self._list_candidate_runs()
                except StepflowClientError as failure:
                    if not failure.is_retryable or has_passed(self._give_up_at):
                        raise self._make_ambiguous_error([]) from failure
                    await asyncio.sleep(timings.arrival_delay)
                    continue
                run_id = await self._identify_run(runs)
                if run_id is not None:
                    return runs[run_id]
                if began >= self._search_until:
                    if self._may_appear_later:
                        raise self._make_ambiguous_error([]) from self.error
                    return None
                await asyncio.sleep(max(0.001, pauses.next_delay()))
        finally:
            self.call.is_lost = False

    async def _list_candidate_runs(self) -> dict[str, dict[str, Any]]:
        """Return summaries of the flow's runs that the call may have created, by run ID."""
        timings, call = self._connection.timings, self.call
        limit = timings.searched_runs
        while True:
            runs = await self._connection.call(api.list_runs(roots_only=True, limit=limit), index_summaries_by_run_id)
            times = [time for time in map(lost_creation.get_creation_time, runs) if time is not None]
            # The call's run can't be older than the call itself. A run's age is relative to the newest run listed.
            oldest = max(times, default=0.0) - (time.monotonic() - call.began) - timings.clock_difference
            if len(runs) < limit or (times and min(times) < oldest):
                break
            # All the runs listed are newer than the call, so the call's run may be further down the list.
            limit *= 4
        own_runs = {}
        for run_id, summary in runs.items():
            if summary["flowId"] != call.flow_id or (lost_creation.get_creation_time(run_id) or oldest) < oldest:
                continue
            if self.is_processed:
                run = responses.read_run({"summary": summary})
                # If the server's store failed, the server may have stored a run without executing it.
                if not run.items.total or is_given_up_by_server(run.status, run.items.running):
                    continue
            own_runs[run_id] = summary
        return own_runs

    async def _identify_run(self, runs: Mapping[str, object]) -> str | None:
        """Return the ID of the run created by the call, or None if all runs belong to other calls.

        Raises:
            AmbiguousRunError: If the run can't be identified.
        """
        registry, call = self._registry, self.call
        # Calls that start after this can't have created any of these runs.
        other_calls = registry.list_concurrent_calls(call)
        while True:
            other_calls &= registry.list_concurrent_calls(call)
            candidates = registry.filter_unowned(runs)
            if not candidates:
                return None
            # Check again, because a call that ended without finding its run may have left one of these behind.
            if not other_calls and registry.is_flow_only_run_by_this_client(call.flow_id):
                run_id = call.pick_run(candidates)
                if run_id is not None and registry.claim_run(call.flow_id, run_id):
                    return run_id
            if all(other.is_lost for other in other_calls) or has_passed(self._give_up_at):
                raise self._make_ambiguous_error(candidates) from self.error
            # Wait for the other call's response, which will show whether one of the runs belongs to that call.
            await asyncio.sleep(self._connection.timings.arrival_delay / 6)

    def _make_ambiguous_error(self, candidates: Sequence[str]) -> errors.AmbiguousRunError:
        names = ", ".join(candidates[:5]) or "none was seen"
        flow = f"{self.call.flow_id[:12]}…"
        exact = "private_copy=True makes this exact"
        return errors.AmbiguousRunError(
            f"a run of flow {flow} may have been created, but its response was lost ({self.error.message}): {names}",
            candidates=list(candidates),
            hint=f"check the candidates before starting it again; {exact if self._is_ours else _SHARED_FLOW_HINT}",
        )


def index_summaries_by_run_id(response: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the summaries in a list of runs, keyed by run ID."""
    summaries = {run["runId"]: run for run in response["runs"]}
    if not all(isinstance(run_id, str) and isinstance(run["flowId"], str) for run_id, run in summaries.items()):
        raise TypeError("a run has no runId or flowId")
    return summaries


class _RunTemplate(NamedTuple):
    """The parts of a request that all runs of a flow have in common (everything except the inputs)."""

    copy: StoredCopy
    request: api.OperationRequest
    """The request without its inputs. `content` is the body up to where the inputs start."""
    wait: int | None
    decoder: OutputDecoder
    """Decodes responses about the runs."""
    on_lost: Callable[[], object] | None = None
    is_single: bool = False
    """Whether the request must not be sent more than once."""
    server: Server | None = None
    """The server that the flow was checked for. A different release may require different checks."""
    has_exact_numbers: bool = True


class RunCreator:
    """Creates each run exactly once.

    If a response is lost, it searches for the run, without ever mistaking another program's run for it.

    Args:
        context: The state shared by the client's services.
    """

    def __init__(self, context: ClientContext) -> None:
        self._connection = context.connection
        self._flows = context.flows
        self._runs = context.runs
        self._recorder = context.recorder
        self.exact_integers = context.exact_integers
        """Whether to reject integers that the server would change."""
        self._templates: BoundedDict[_TemplateKey, _RunTemplate] = BoundedDict(_MAX_TEMPLATES)

    async def start_run(self, call: RunCall, hold_seconds: int | None) -> responses.StartedRun:
        """Store a flow, start a run of it and return the server's response.

        Args:
            call: What to run, with one input or a list of them.
            hold_seconds: How many seconds the server may hold the request while waiting for the run to end. If None, it
                responds immediately.
        """
        flows = self._flows
        what = "private_copy=True"
        checked = flows.load_and_check_flow(call.flow, what) if call.private_copy else flows.check_flow_or_id(call.flow)
        if call.check_input and (isinstance(checked, str) or "schemas" in checked.content):
            call = call._replace(input=await flows.check_input(checked, call.input))
        if call.ready is not None:
            await call.ready()
        if isinstance(checked, str):
            return await self._create_run_by_flow_id(checked, call, hold_seconds)
        content, digest, _ = checked
        if not is_untraced():
            annotate_operation(flow_name=content.get("name"))
        # Hot path: skip the calls that change nothing.
        if current_deadline() is not None:
            hold_seconds = _limit_hold_seconds_by_deadline(hold_seconds)
        limit = call.max_concurrency
        if limit is not None:
            call_checks.check_concurrency(limit)
        key: _TemplateKey | None = (digest, limit, hold_seconds)
        if call.private_copy or call.variables_from_env or call.variables is not None or call.overrides is not None:
            # Don't cache the request, because it differs from the flow's other requests in more than just its inputs.
            key = None
        registry = flows.registries.of_current_process
        shared = registry.find_shared_flow_id(digest)
        # If runs are spread across several servers, the servers share a store that survives any one of them restarting.
        for again in (self._connection.spread is None, False):
            prepared = None if key is None else self._templates.get(key)
            server = self._connection.dialect.server
            if prepared is None or prepared.server is not server or prepared.copy.flow_id != shared:
                arguments = await self.check_arguments(call, flows.compute_run_requirements(checked))
                copy = await flows.store_copy_for_client(checked, is_single=call.private_copy)
                # Storing the flow may have used up some of the time.
                prepared = self._make_run_template(copy, arguments, _limit_hold_seconds_by_deadline(hold_seconds))
                if key is not None and prepared.wait == hold_seconds:
                    server = await self._connection.detect_server()
                    exact = server.capabilities["exact_numbers"] or not self.exact_integers
                    self._templates.put_newest(key, prepared._replace(server=server, has_exact_numbers=exact))
            else:
                read = partial(call_checks.normalize_run_inputs, call.input, exact_integers=prepared.has_exact_numbers)
                inputs = await async_compute(read)
                arguments = RunArguments(inputs, {}, None, limit)
            recorded = None
            if self._recorder.is_on:
                flow_id, is_own = prepared.copy.flow_id, call.private_copy
                recorded = CreatedRun(flow_id, arguments, call.flow_as_passed, content, has_own_flow=is_own)
            try:
                return await self._create_exactly_once(prepared, arguments, registry, recorded)
            except NotFoundError:
                # The server doesn't have a persistent store and was restarted, so it no longer has the flow.
                flows.forget_flow(prepared.copy.flow_id)
                shared = None
                if not again:
                    raise
        raise errors.InvalidArgumentError("the flow cannot be stored")  # pragma: no cover - the loop returns or raises

    async def _create_run_by_flow_id(
        self, flow_id: str, call: RunCall, hold_seconds: int | None
    ) -> responses.StartedRun:
        arguments = await self.check_arguments(call)
        if call.variables_from_env:
            await self._flows.get_or_fetch_variables(flow_id)
        copy = self._flows.get_stored_copy(flow_id)
        if copy.needs is not None:
            arguments = await async_compute(partial(call.check_and_complete_arguments, arguments, copy.needs))
        recorded = CreatedRun(flow_id, arguments)
        return await self.create_run_of_copy(copy, arguments, hold_seconds, recorded=recorded)

    async def create_run(self, flow_id: str, call: RunCall) -> CreateRunResponse:
        """Start a run of a stored flow and return it, usually before it has ended."""
        check_flag(call.variables_from_env, "variables_from_env")
        run = await self._create_run_by_flow_id(flow_id, call, None)
        return responses.build_from_response(responses.read_run, {"summary": run.summary}, "POST /runs")

    async def check_arguments(self, call: RunCall, needs: RunRequirements | None = None) -> RunArguments:
        """Check a run's arguments and convert them to the request's format.

        If the flow's requirements are passed, also check that the arguments meet them.
        """
        server = await self._connection.detect_server()
        exact = server.capabilities["exact_numbers"] or not self.exact_integers
        arguments = await async_compute(partial(call.check_arguments, exact_integers=exact))
        if needs is None:
            return arguments
        return await async_compute(partial(call.check_and_complete_arguments, arguments, needs))

    async def create_run_of_copy(
        self,
        copy: StoredCopy,
        arguments: RunArguments,
        hold_seconds: int | None,
        on_lost: Callable[[], object] | None = None,
        *,
        is_single: bool = False,
        recorded: CreatedRun | None = None,
    ) -> responses.StartedRun:
        """Create a run exactly once and return it. If a response is lost, call `on_lost`.

        The server is only asked to hold the request if there's enough time before the deadline.

        If `recorded` is set, it's added to the history before the request is sent.

        If `is_single` is set, the request is sent only once and without delay, and its error is raised if there's no
        run.
        """
        prepared = self._make_run_template(copy, arguments, _limit_hold_seconds_by_deadline(hold_seconds))
        prepared = prepared._replace(on_lost=on_lost, is_single=is_single)
        return await self._create_exactly_once(prepared, arguments, self._flows.registries.of_current_process, recorded)

    async def find_server_rejected_inputs(self, inputs: list[Any]) -> dict[int, errors.InvalidRequestError]:
        """Return errors for the inputs that the server rejects, by position (no errors if it also rejects null).

        This takes at most 2n requests for n inputs and doesn't create a run, because the requests refer to a
        nonexistent flow. Servers read the inputs first, so a 404 means that they accepted them.
        """
        rejections: dict[int, errors.InvalidRequestError] = {}
        parts = [] if await self._find_server_rejection([None]) else [(0, len(inputs))]
        while parts:
            start, end = parts.pop()
            error = await self._find_server_rejection(inputs[start:end])
            if error is not None and end - start == 1:
                rejections[start] = error
            elif error is not None:
                middle = (start + end) // 2
                parts += [(start, middle), (middle, end)]
        return rejections

    async def _find_server_rejection(self, inputs: list[Any]) -> errors.InvalidRequestError | None:
        """Return the server's error if it rejects the inputs, or None if it accepts them."""
        try:
            await self._connection.send(_CHECK_INPUTS(body={"flowId": _NO_FLOW, "input": inputs}), may_be_missing=True)
        except errors.InvalidRequestError as error:
            return error
        return None

    @staticmethod
    def _make_run_template(copy: StoredCopy, arguments: RunArguments, hold_seconds: int | None) -> _RunTemplate:
        """Prepare the parts of the request shared by all runs with these arguments, regardless of their inputs."""
        fields = {
            "flowId": copy.flow_id,
            "overrides": {"steps": arguments.overrides} if arguments.overrides else None,
            "variables": arguments.variables or None,
            "maxConcurrency": arguments.max_concurrency,
            "wait": True if hold_seconds is not None else None,
            "timeoutSecs": hold_seconds,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        request = api.create_run(body=body)
        request.parts["content"] = to_json(request.parts.pop("json"))[:-1] + b',"input":['
        if copy.needs is not None:
            decoder = copy.needs.make_hiding_decoder(arguments.variables)
        else:
            decoder = make_output_decoder(None, find_variable_secrets(arguments.variables, None))
        return _RunTemplate(copy, request, hold_seconds, decoder)

    async def _create_exactly_once(
        self, template: _RunTemplate, arguments: RunArguments, registry: RunRegistry, recorded: CreatedRun | None
    ) -> responses.StartedRun:
        """Create a prepared run exactly once and return it.

        If the response is lost, look for the run among the flow's root runs, ignoring any that belong to this client's
        other calls. If it isn't there, resend the request unless the server may still be processing it. A run found
        this way is the right one as long as only this client runs the flow and none of its other calls could have
        created the run.

        Args:
            template: The prepared request.
            arguments: The arguments. Only the inputs are used.
            registry: This process's flows, runs and open calls.
            recorded: What to record about the run in the history, if anything.

        Raises:
            AmbiguousRunError: If the run can't be identified, or if we can't tell whether there is one.
        """
        parts, decoder = template.request.parts, template.decoder
        text = to_json(arguments.inputs)[1:-1] if arguments.text is None else arguments.text
        parts = {**parts, "content": b"%b%b]}" % (parts["content"], text)}
        held, is_retried = template.wait or 0, not template.is_single
        request = api.OperationRequest(template.request.operation, parts, held=held, is_retried=is_retried)
        entry = None if recorded is None else self._recorder.record_run(None, recorded)
        call = registry.begin_call(template.copy.flow_id, has_one_clock=self._connection.spread is None)
        run_id = made_id = None
        try:
            while True:
                call.is_settled, call.sent = False, time.monotonic()
                call.sends += 1
                try:
                    created = await self._connection.call(request, responses.read_started_run)
                    run_id = created.run_id
                except StepflowClientError as error:
                    search = LostRunSearch(self._connection, registry, call, error)
                    lost = await self._find_lost_run(search, template)
                    if lost is None:
                        continue
                    created = lost
                call.is_settled, made_id = True, created.run_id
                if not is_untraced():
                    count_started_run(created.run_id, call.began)
                if decoder is not PLAIN:
                    self._connection.decoders.put_newest(created.run_id, decoder)
                if template.copy.flow is not None and created.status is not ExecutionStatus.COMPLETED:
                    # Keep the flow so that failures can be explained without another request.
                    self._runs.started_flows.append((created.run_id, template.copy.flow))
                return created
        finally:
            # For example, a cancelled call isn't settled, and no other call is allowed to claim a run that it left
            # behind.
            registry.end_call(call, is_settled=call.is_settled, run_id=run_id)
            if entry is not None:
                self._recorder.confirm_or_remove_entry(entry, made_id, is_settled=call.is_settled)

    async def _find_lost_run(self, search: LostRunSearch, template: _RunTemplate) -> responses.StartedRun | None:
        """Return the run that a failed request created, or None if it didn't create one and should be resent.

        If it must not be resent, raise the request's error.
        """
        call, error = search.call, search.error
        call.is_settled = not lost_creation.may_have_created_run(error)
        try:
            if call.is_settled:
                raise error
            if template.on_lost is not None:
                template.on_lost()
            summary = await search.find_run()
            call.is_settled = True
            if summary is not None:
                return responses.build_from_response(responses.read_started_run, {"summary": summary}, "GET /runs")
            if template.is_single or search.is_processed:
                raise error
            await self.pause_before_resend(call.flow_id, error, call.sends)
        except StepflowClientError as raised:
            # Mask secrets, because the server's error may quote parts of the request.
            template.decoder.secrets.hide_in_error(raised)
            raise raised from None
        return None

    async def pause_before_resend(self, flow_id: str, error: StepflowClientError, sends: int) -> None:
        """Wait before resending a request that didn't create a run. If it can't be resent, raise its error."""
        timings = self._connection.timings
        pause = compute_random_delay(timings.resend_first_pause, timings.resend_longest_pause, sends)
        pause = max(pause, error.retry_after or 0.0)
        if sends >= _MAX_SENDS or pause >= limit_by_deadline(current_deadline(), timings.resend_longest_pause):
            raise error
        logger.info("creating a run of flow %s failed (%s); retrying", flow_id, type(error).__name__)
        await asyncio.sleep(pause)


def _limit_hold_seconds_by_deadline(hold_seconds: int | None) -> int | None:
    """Return how many seconds the server may hold a creation request (0 if the deadline might pass before then)."""
    deadline = current_deadline()
    if hold_seconds and deadline is not None and deadline - time.monotonic() < 2 * hold_seconds:
        return 0
    return hold_seconds
