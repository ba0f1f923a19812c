# Written from _async/batches.py by `make generate`. Change that file instead.

"""Running a flow on any number of inputs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import types
from .._base.lazy import lazy_module
from .._calls.run_call import ResultCall, RunCall
from .._codec import responses
from .._codec.variables import flow_variables
from .._concurrency.background import SyncSource
from .._concurrency.input_checks import sync_checked
from .._data.values import encode
from .._rules import operations as api
from .._rules.backoff import Backoff
from .._rules.deadline import deadline_override, deadline_scope, has_passed
from .._rules.lost_creation import creation_time
from .._runs.client_metadata import tagged
from .._telemetry.tracing import annotate, measured_chunk
from ..errors import (
    AmbiguousRunError,
    IdempotencyConflictError,
    InvalidRequestError,
    NotFoundError,
    RunTimeoutError,
    ServerFaultError,
    StepflowClientError,
    TransportError,
)
from ..types.statuses import ExecutionStatus
from .batch import BYTES, OLD_BYTES, Batch, BatchOptions, Done, refused
from .flows import StoredCopy

if TYPE_CHECKING:
    from .._rules.chunks import Chunk
    from ..flows.flow_argument import FlowSource
    from ..types import FlowResult, ListItemsResponse, outcomes
    from ..types.outcomes import Outcome
    from .context import ClientContext
    from .creation import RunCreator
    from .idempotency import KeyedRuns
    from .waiting import Waiter

    BatchInputs = Iterable[Any] | SyncSource
else:
    outcomes = lazy_module("stepflow_client.types.outcomes")


class BatchRunner:
    """Runs a flow on any number of inputs."""

    def __init__(
        self, context: ClientContext, creator: RunCreator, waiter: Waiter, keyed: Callable[[], KeyedRuns]
    ) -> None:
        self._connection = context.connection
        self._flows = context.flows
        self._creator = creator
        self._runs = context.runs
        self._waiter = waiter
        self._recorder = context.recorder
        self._keyed = keyed

    def map(
        self, flow: FlowSource, inputs: BatchInputs, options: BatchOptions, *, deadline: float | None
    ) -> Generator[list[Outcome], None, None]:
        """Run a flow on any number of inputs and yield one outcome per input, in lists of those that ended together."""
        source = inputs if isinstance(inputs, SyncSource) else SyncSource(inputs)
        batch = Batch(options, source, self._connection.places)
        try:
            # A scope holds no `yield`: it would limit what the caller does meanwhile.
            with deadline_scope(deadline):
                self._prepare(batch, flow)
                if options.journal is not None:
                    self._open_journal(batch, options.journal)
            while True:
                with deadline_scope(deadline):
                    self._fill(batch)
                if not len(batch.workers):
                    break
                batch.note(_finished(batch, deadline))
                ready = batch.ready()
                count = len(ready) if options.on_error == "yield" else _successes(ready)
                if count:
                    yield ready[:count]
                if count < len(ready):
                    ready[count].raise_for_failure()
            if batch.failure is not None:
                raise batch.failure
            if batch.journal is not None:
                batch.journal.end()
            batch.record.ended(batch.status)
        except (AmbiguousRunError, RunTimeoutError, ServerFaultError, TransportError) as error:
            error.hint = "; ".join(filter(None, (error.hint, options.continuation))) or None
            raise
        finally:
            batch.is_closed = True
            batch.workers.close()
            if options.on_cancel == "cancel" and batch.in_flight:
                self._cancel_all(list(batch.in_flight.values()))
            if batch.journal is not None:
                batch.journal.close()

    def _fill(self, batch: Batch) -> None:
        """Start chunks while there is room for them."""
        while batch.has_room():
            chunk = batch.read_chunk()
            if not chunk.count:
                break
            self._begin(batch, chunk)

    def _prepare(self, batch: Batch, flow: FlowSource) -> None:
        options, batch.given = batch.options, flow
        batch.flow, batch.digest, _ = self._flows.checked(flow, "map()")
        annotate(flow_name=batch.flow.get("name"))
        can = (self._connection.server()).capabilities
        batch.exact = can["exact_numbers"] or not self._creator.exact_integers
        batch.ahead.most_bytes = BYTES if can["events"] else OLD_BYTES
        from_env, check = options.variables_from_env, options.check_input
        call = RunCall(flow, [], options.overrides, options.variables, from_env, check_input=check)
        needs = self._flows.needs_of_flow(batch.flow, batch.digest)
        batch.arguments = sync_checked(partial(call.completed, self._creator.arguments(call), needs))
        batch.declared = flow_variables(batch.flow)
        with self._recorder.labelling(options.labels):
            batch.record = self._recorder.batch(batch.flow, batch.arguments, flow)
        if options.check_input:
            batch.input_check = needs.input_check

    def _open_journal(self, batch: Batch, journal: str | os.PathLike[str]) -> None:
        from .._stores.journal import Journal

        batch.journal = Journal(journal)
        given = {
            "flow": batch.flow,
            "variables": batch.arguments.variables,
            "overrides": batch.arguments.overrides,
            "check_input": batch.options.check_input,
        }
        batch.tag = batch.journal.begin({name: _digest(encode(value)) for name, value in given.items()})
        if (first := batch.journal.first_run()) is not None:
            batch.record.resumed(first)
        # By the server's clock, every run of the batch is newer than this.
        newest = self._connection.call(api.list_runs(roots_only=True, limit=1), _flows)
        since = batch.journal.since(max((creation_time(run_id) or 0.0 for run_id in newest), default=0.0))
        if batch.journal.has_lost():
            time.sleep(self._connection.timings.orphan_arrival_delay)
            batch.found = {flow_id: run_id for run_id, flow_id in (self._runs_since(since)).items()}

    def _runs_since(self, since: float) -> dict[str, str]:
        """Return the flow ids of root runs, by run id: all created after a time on the server's clock, or more."""
        limit = 1000
        while True:
            request = api.list_runs(roots_only=True, limit=limit)
            runs = self._connection.call(request, _flows)
            oldest = min((creation_time(run_id) or 0.0 for run_id in runs), default=0.0)
            if len(runs) < limit or oldest < since - self._connection.timings.clock_difference:
                return runs
            limit *= 4

    def _begin(self, batch: Batch, chunk: Chunk) -> None:
        """Start a chunk, or pass on its outcomes if the journal has them."""
        if chunk.outcomes is not None:
            batch.workers.start(partial(_known, Done(chunk, None, chunk.outcomes, 0.0)))
            return
        if batch.journal is not None:
            batch.journal.begun(chunk)
        place = batch.free.pop()
        batch.workers.start(partial(self._run_chunk, batch, chunk, place))

    def _run_chunk(self, batch: Batch, chunk: Chunk, place: int) -> Done:
        began = time.monotonic()
        every: list[Outcome] = []
        if chunk.values:
            with measured_chunk(len(chunk.values)):
                every = self._outcomes(batch, chunk, place)
        seconds = time.monotonic() - began
        if batch.retries.is_on:
            every = self._repeated(batch, chunk, place, every)
        if chunk.refused or chunk.settled:
            every = sorted([*every, *chunk.settled, *chunk.refused], key=lambda outcome: outcome.index)
        if batch.journal is not None:
            batch.journal.ended(chunk.number, every)
        batch.in_flight.pop(chunk.number, None)
        return Done(chunk, place, every, seconds)

    def _repeated(self, batch: Batch, chunk: Chunk, place: int, found: list[Outcome]) -> list[Outcome]:
        """Run inputs of a chunk again as long as their outcomes allow it, and return those of the last attempt."""
        timings = self._connection.timings
        backoff = Backoff(timings.retry_first_pause, timings.retry_longest_pause, jitter=True)
        while batch.repeats(chunk, found):
            batch.in_flight.pop(chunk.number, None)
            time.sleep(backoff.next())
            if batch.is_closed:
                # A thread cannot be cancelled while it sleeps.
                raise StepflowClientError("the batch has ended")
            found = self._outcomes(batch, chunk, place)
        return found

    def _outcomes(self, batch: Batch, chunk: Chunk, place: int) -> list[Outcome]:
        began = time.monotonic()
        if chunk.run_id is not None:
            run = responses.Started(chunk.run_id, ExecutionStatus.RUNNING, [])
        else:
            try:
                run = self._chunk_run(batch, chunk, place)
            except IdempotencyConflictError as error:
                return [refused(chunk.first, chunk.keys[0], error.message, error.hint)]
            except InvalidRequestError:
                rejected = self._creator.rejected(chunk.values)
                if not rejected:
                    raise
                batch.leave_out(chunk, rejected)
                return self._outcomes(batch, chunk, place) if chunk.values else []
            if batch.journal is not None:
                batch.journal.created(chunk.number, run.run_id)
        run_id = batch.in_flight[chunk.number] = run.run_id
        if chunk.idempotency_key is None and batch.record.created(run_id, chunk.values) and batch.journal is not None:
            batch.journal.first_run(run_id)
        try:
            status, listed = self._ended(run, len(chunk.values))
            self._recorder.ended(run_id, status, is_part=chunk.idempotency_key is None)
        except NotFoundError as error:
            if batch.options.on_lost == "rerun" and chunk.run_id is not None:
                chunk.run_id = None
                return self._outcomes(batch, chunk, place)
            # The server was restarted without its store.
            results = [_lost(run_id, error)] * len(chunk.values)
        else:
            reading = self._connection.reading(run_id)
            outputs = responses.completed_outputs(listed, reading)
            if outputs is not None and len(outputs) == len(chunk.values):
                seconds, completed = time.monotonic() - began, ExecutionStatus.COMPLETED
                return [
                    outcomes.Outcome(index, key, run_id, completed, output, None, seconds, chunk.attempt, item)
                    for item, (index, key, output) in enumerate(zip(chunk.indexes, chunk.keys, outputs, strict=True))
                ]
            results = responses.results(listed, status, reading)
        seconds = time.monotonic() - began
        errors = [batch.hinted(result.error, given) for result, given in zip(results, chunk.values, strict=True)]
        every = zip(chunk.indexes, chunk.keys, results, errors, range(len(results)), strict=True)
        return [
            outcomes.Outcome(index, key, run_id, each.status, each.output, error, seconds, chunk.attempt, item)
            for index, key, each, error, item in every
        ]

    def _ended(self, run: responses.Started, count: int) -> tuple[ExecutionStatus, ListItemsResponse]:
        """Wait until a run of so many items ends and return its status and items."""
        if not (run.has_ended and len(run.answers) == count):
            ended, listed = self._waiter.finished(ResultCall(run.run_id), self._waiter.ended_items)
            return ended.status, listed
        listed = responses.items(run.run_id, run.answers, self._connection.reading(run.run_id))
        # In a completed run, every item has completed.
        is_complete = run.status is ExecutionStatus.COMPLETED
        return run.status, listed if is_complete else self._runs.explain(listed, run.status)

    def _chunk_run(self, batch: Batch, chunk: Chunk, place: int) -> responses.Started:
        """Create the run of a chunk, or return the one that was created before a crash or exists under its key."""
        if chunk.idempotency_key is not None:
            return self._keyed_run(batch, chunk, place)
        arguments = batch.arguments._replace(
            inputs=chunk.values, max_concurrency=batch.concurrency(place), text=b",".join(chunk.texts)
        )
        for again in (self._connection.spread is None, False):
            flow_id = self._chunk_flow(batch, chunk, place)
            known = batch.found.get(flow_id)
            if known is not None:
                return responses.Started(known, ExecutionStatus.RUNNING, [])
            self._flows.registries.current.reserve(flow_id)
            try:
                copy = StoredCopy(flow_id, batch.declared, batch.flow.get("output"))
                hold = self._connection.timings.creation_hold_of(batch.options.on_cancel)
                on_lost = partial(batch.lane_flows.pop, place, None)
                return self._creator.create(copy, arguments, hold, on_lost)
            except NotFoundError:
                # A server that was restarted in the meantime has lost the flow.
                batch.lane_flows.pop(place, None)
                if not again:
                    raise
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def _keyed_run(self, batch: Batch, chunk: Chunk, place: int) -> responses.Started:
        arguments = batch.arguments
        assert chunk.idempotency_key is not None
        call = RunCall(
            batch.flow,
            chunk.values,
            None if arguments.overrides is None else {"steps": arguments.overrides},
            arguments.variables,
            max_concurrency=batch.concurrency(place),
            idempotency_key=chunk.idempotency_key,
            idempotency_scope=batch.options.idempotency_scope,
            source=batch.given,
        )
        with self._recorder.labelling(batch.options.labels):
            hold = self._connection.timings.creation_hold_of(batch.options.on_cancel)
            return self._keyed().start(call, hold)

    def _chunk_flow(self, batch: Batch, chunk: Chunk, place: int) -> str:
        """Return the id of the copy of the flow that a chunk runs.

        With a journal, each chunk has its own copy, by which its run is found after a crash. Without one, the
        consecutive chunks of a lane share a copy until a response is lost.
        """
        known = batch.lane_flows.get(place)
        if known is None:
            known = self._flows.store_accepted(batch.flow, tagged(batch.flow, chunk.run_tag), batch.digest)
            if batch.journal is None:
                batch.lane_flows[place] = known
        return known

    def _cancel_all(self, run_ids: list[str]) -> None:
        with deadline_override(time.monotonic() + self._connection.timings.cancel_limit):
            for run_id in run_ids:
                with suppress(StepflowClientError):
                    self._runs.cancel_run(run_id)


def _finished(batch: Batch, deadline: float | None) -> Done:
    """Return the next finished chunk."""
    try:
        if has_passed(deadline):
            raise TimeoutError
        return batch.workers.finished(deadline)
    except TimeoutError:
        # Also the errors of requests whose deadline this is.
        if has_passed(deadline):
            raise RunTimeoutError("the batch did not end in time; its runs continue") from None
        raise


def _successes(found: list[Outcome]) -> int:
    """Return how many outcomes are successes before the first that is not."""
    return next((place for place, outcome in enumerate(found) if not outcome.is_success), len(found))


def _known(done: Done) -> Done:
    return done


def _flows(answer: dict[str, Any]) -> dict[str, str]:
    """Return the flow ids in a list of runs, by run id."""
    return {str(run["runId"]): str(run["flowId"]) for run in answer["runs"]}


def _lost(run_id: str, error: NotFoundError) -> FlowResult:
    said = types.FlowError(message=f"the server has lost the run: {error.message}", code=types.ErrorCode.LOST)
    return types.FlowResult(run_id=run_id, status=ExecutionStatus.FAILED, error=said)


def _digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
