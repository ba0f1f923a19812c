# Written from _async/batch.py by `make generate`. Change that file instead.

"""Runs a flow on any number of inputs. Inputs are read in chunks, each of which becomes one run."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from operator import length_hint
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .. import errors, types
from .._codec import call_checks, output_types, responses
from .._codec.call_checks import RunArguments, RunCall
from .._codec.idempotency_marker_blobs import check_key
from .._concurrency import SyncInputReader, SyncTaskSet, sync_compute, sync_shield
from .._data.arguments import check_choice, check_flags, check_function, check_integer
from .._data.wire import MAX_INPUT_DEPTH, check_json, encode_if_plain, to_json
from .._rules import chunks
from .._rules import operations_and_releases as api
from .._rules.chunks import Chunk, InputRetryRule
from .._rules.deadlines import deadline_scope, has_passed
from .._rules.lost_creation import get_creation_time
from .._rules.retries import Backoff
from .._runs.strip_and_restore_flow import add_tag_to_flow
from .._telemetry.history_recorder import BatchRecorder
from .._telemetry.tracing import annotate_operation, measure_chunk
from ..errors import InvalidArgumentError, NotFoundError, StepflowClientError
from ..flows.python_positions import add_python_place_to_error
from ..types.results import Outcome
from ..types.statuses import ExecutionStatus
from .flow_store import CheckedFlow, StoredCopy
from .run_creation import RunCreator, index_summaries_by_run_id

if TYPE_CHECKING:
    from .._stores.batch_journal import Journal
    from ..flows.json_schema import Validator
    from ..flows.reading import FlowSource
    from ..flows.run_requirements import RunRequirements
    from .client_context import ClientContext
    from .idempotency import KeyedRuns
    from .waiting import Waiter

    BatchInputs = Iterable[Any] | SyncInputReader

MAX_CHUNK_BYTES, MAX_CHUNK_BYTES_OLD = 8 << 20, 1_750_000
"""Maximum total size of a run's inputs in bytes. Older servers accept bodies of up to 2 MiB."""
# Checking more inputs than this at once counts as a long computation.
_LONG_CHECK_COUNT = 100
# If outcomes are ordered, the maximum number of chunks that have been started but not yielded yet. If there are more
# lanes than this, the maximum is one chunk per lane.
_MAX_CHUNKS_AHEAD = 8
# Errors after which the batch can be continued if it has a journal or idempotency keys.
_RESUMABLE_ERRORS = (errors.AmbiguousRunError, errors.RunTimeoutError, errors.ServerFaultError, errors.TransportError)
# For each option that can't be combined with idempotency keys: the value that has no effect, and the reason.
_EXCLUDED_BY_KEYS = {
    "journal": (None, "no journal is needed: after a crash, the same call with the same keys finds the runs"),
    "max_attempts": (1, "a key identifies one run, even a failed one"),
    "chunk_size": (1, "each input gets its own run"),
}


class Batch:
    """A single call of `SyncStepflowClient.map`.

    Args:
        context: The state shared by the client's services.
        creator: The service that creates the runs.
        waiter: The service that waits for the runs.
        keyed: A function that returns the service for creating runs with idempotency keys.
        flow: The flow, as the caller passed it.
        inputs: The inputs, as the caller passed them.
        output_type: The type of the outputs, or None for plain JSON.
        options: The options (see `MapOptions`). All of them are required.

    Raises:
        InvalidArgumentError: If an option is invalid or can't be combined with another option.
    """

    _checked: CheckedFlow
    _content: dict[str, Any]
    _arguments: RunArguments
    """The arguments that all runs share (everything except the inputs)."""
    _requirements: RunRequirements
    _record: BatchRecorder
    _effective_flow: Mapping[str, Any] | None = None

    def __init__(
        self,
        context: ClientContext,
        creator: RunCreator,
        waiter: Waiter,
        keyed: Callable[[], KeyedRuns],
        flow: FlowSource,
        inputs: BatchInputs,
        output_type: Any,
        options: Mapping[str, Any],
    ) -> None:
        check_choice(options["on_error"], "on_error", ("yield", "raise"))
        check_choice(options["on_cancel"], "on_cancel", ("detach", "cancel"))
        check_choice(options["on_lost"], "on_lost", ("fail", "rerun"))
        check_flags(**{name: options[name] for name in ("check_input", "ordered", "variables_from_env")})
        is_keyed = check_function(options["idempotency_key"], "idempotency_key") is not None
        for name, (usual, hint) in _EXCLUDED_BY_KEYS.items():
            if is_keyed and options[name] not in (None, usual):
                raise InvalidArgumentError(f"idempotency_key and {name} cannot be used together", hint=hint)
        self._connection = connection = context.connection
        self._flows = context.flows
        self._runs = context.runs
        self._recorder = context.recorder
        self._creator, self._waiter, self._keyed = creator, waiter, keyed
        self._flow = flow
        self._options = options
        self._output_type = output_type
        self._retries = InputRetryRule(options["max_attempts"], options["retry_on"])
        self._input_check: Validator | None = None
        """Checks inputs against the flow's schema, or None if inputs aren't checked."""
        size = None if options["chunk_size"] is None else check_integer(options["chunk_size"], "chunk_size", least=1)
        self._sizer = chunks.ChunkSizer(1 if is_keyed else size)
        self._max_concurrency = call_checks.check_concurrency(options["max_concurrency"])
        # If the number of inputs is known, don't reserve a share of the limit for runs that will never start.
        most = max(1, -(-length_hint(inputs, 1 << 30) // self._sizer.size))
        self._lanes = chunks.split_concurrency(self._max_concurrency, connection.places, single=is_keyed, most=most)
        self._free_lanes = list(range(len(self._lanes)))
        self._lane_flows: dict[int, str] = {}
        """Maps each lane to the ID of the stored flow that its chunks share."""
        self._source = inputs if isinstance(inputs, SyncInputReader) else SyncInputReader(inputs)
        self._read_ahead = chunks.ReadAhead(MAX_CHUNK_BYTES_OLD)
        self._tag = uuid4().hex
        self._journal: Journal | None = None
        self._existing_run_ids: dict[str, str] = {}
        """Maps flow IDs to the IDs of runs that already existed when the batch was resumed."""
        self._workers: SyncTaskSet[Chunk] = SyncTaskSet()
        self._in_flight: dict[int, str] = {}
        """Maps chunk numbers to the IDs of runs that haven't ended."""
        self._finished_outcomes: dict[int, list[Outcome]] = {}
        """The outcomes of finished chunks that haven't been yielded yet, by position in the output."""
        self._failure: Exception | None = None
        """The exception raised while reading the inputs, if any."""
        self._is_closed = False
        """Whether the caller has stopped waiting for outcomes, in which case no more runs are started."""
        self._unread: list[Any] = []
        """Inputs that have been read but not yet added to a chunk."""
        self._number = self._index = self._next = 0
        """The next chunk's number, the next input's index, and the position of the next outcomes to yield."""

    def iter_outcome_lists(self, deadline: float | None) -> Generator[list[Outcome], None, None]:
        """Run the flow on all inputs. Each time a group of inputs finishes, yield a list of their outcomes."""
        options, status = self._options, ExecutionStatus.COMPLETED
        try:
            # Never yield inside a scope, because then it would also apply to the caller's code.
            with deadline_scope(deadline):
                self._check_flow_and_arguments()
                if options["journal"] is not None:
                    self._open_journal(options["journal"])
            while True:
                with deadline_scope(deadline):
                    while self._can_start_chunk() and (chunk := self._read_next_chunk_inputs()).count:
                        if chunk.outcomes is None and self._journal is not None:
                            self._journal.record_chunk_begin(chunk)
                        chunk.lane = self._free_lanes.pop()
                        self._workers.start(partial(self._run_chunk, chunk))
                if not len(self._workers):
                    break
                try:
                    if has_passed(deadline):
                        raise TimeoutError
                    chunk = self._workers.wait_for_result(deadline)
                except TimeoutError:
                    # Requests share the batch's deadline, so this also catches their timeouts.
                    if not has_passed(deadline):
                        raise
                    fate = "were cancelled" if options["on_cancel"] == "cancel" else "continue"
                    raise errors.RunTimeoutError(f"timed out waiting for the batch; its runs {fate}") from None
                self._free_lanes.append(chunk.lane)
                self._finished_outcomes[chunk.number if options["ordered"] else self._next] = chunk.outcomes or []
                ready: list[Outcome] = []
                while self._next in self._finished_outcomes:
                    ready += self._finished_outcomes.pop(self._next)
                    self._next += 1
                if not all(outcome.is_success for outcome in ready):
                    status = ExecutionStatus.FAILED
                ready = self._apply_output_type(ready)
                failed = next((place for place, outcome in enumerate(ready) if not outcome.is_success), len(ready))
                count = len(ready) if options["on_error"] == "yield" else failed
                if count:
                    yield ready[:count]
                if count < len(ready):
                    ready[count].raise_for_failure()
            if self._failure is not None:
                raise self._failure
            if self._journal is not None:
                self._journal.record_batch_end()
            self._record.record_batch_end(status)
        except _RESUMABLE_ERRORS as error:
            continuation = None
            if (journal := options["journal"]) is not None:
                continuation = f"to continue the batch, repeat the call with the journal {os.fsdecode(journal)}"
            elif options["idempotency_key"] is not None:
                continuation = "to continue the batch, repeat the call: its keys find their runs"
            error.hint = "; ".join(filter(None, (error.hint, continuation))) or None
            raise
        finally:
            self._is_closed = True
            self._workers.close()
            if options["on_cancel"] == "cancel" and self._in_flight:
                until = time.monotonic() + self._connection.timings.cancel_limit
                with deadline_scope(until, overrides_outer=True), sync_shield():
                    for run_id in list(self._in_flight.values()):
                        with suppress(StepflowClientError):
                            self._runs.cancel_run(run_id)
            if self._journal is not None:
                self._journal.close()

    def _check_flow_and_arguments(self) -> None:
        options, flow = self._options, self._flow
        self._checked = self._flows.load_and_check_flow(flow, "map()")
        self._content = self._checked.content
        annotate_operation(flow_name=self._content.get("name"))
        can = (self._connection.detect_server()).capabilities
        self._has_exact_numbers = can["exact_numbers"] or not self._creator.exact_integers
        self._read_ahead.max_bytes = MAX_CHUNK_BYTES if can["events"] else MAX_CHUNK_BYTES_OLD
        from_env, check = options["variables_from_env"], options["check_input"]
        call = RunCall(flow, [], options["overrides"], options["variables"], from_env, check_input=check)
        self._requirements = self._flows.compute_run_requirements(self._checked)
        self._arguments = self._creator.check_arguments(call, self._requirements)
        with self._recorder.labeling_new_runs(options["labels"]):
            self._record = BatchRecorder(self._recorder, self._content, self._arguments, flow)
        if options["check_input"]:
            self._input_check = self._requirements.input_check

    def _open_journal(self, path: str | os.PathLike[str]) -> None:
        from .._stores.batch_journal import Journal

        self._journal = journal = Journal(path)
        settings: dict[str, Any] = {"flow": self._content, "variables": self._arguments.variables}
        settings |= {"overrides": self._arguments.overrides, "check_input": self._options["check_input"]}
        digests = {name: hashlib.sha256(to_json(value)).hexdigest() for name, value in settings.items()}
        self._tag = journal.begin_or_resume_batch(digests)
        if (first := journal.record_or_get_first_run()) is not None:
            self._record.record_resumed_batch(first)
        # Remember when the newest existing run was created. By the server's clock, all runs of this batch will be
        # newer.
        newest = self._connection.call(api.list_runs(roots_only=True, limit=1), index_summaries_by_run_id)
        since = journal.get_or_set_start_time(max((get_creation_time(run_id) or 0.0 for run_id in newest), default=0.0))
        if not journal.has_unrecorded_run():
            return
        # Each chunk has its own copy of the flow, so use the IDs of the copies to find runs that were created but not
        # recorded in the journal.
        time.sleep(self._connection.timings.orphan_arrival_delay)
        limit = 1000
        while True:
            runs = self._connection.call(api.list_runs(roots_only=True, limit=limit), index_summaries_by_run_id)
            oldest = min((get_creation_time(run_id) or 0.0 for run_id in runs), default=0.0)
            if len(runs) < limit or oldest < since - self._connection.timings.clock_difference:
                break
            limit *= 4
        self._existing_run_ids = {run["flowId"]: run_id for run_id, run in runs.items()}

    def _can_start_chunk(self) -> bool:
        """Return whether there are more inputs and there's enough room to start another chunk."""
        is_ended = not self._unread and (self._source.ended or self._failure is not None)
        if is_ended or not self._free_lanes:
            return False
        return not self._options["ordered"] or self._number - self._next < max(_MAX_CHUNKS_AHEAD, len(self._lanes))

    def _read_next_chunk_inputs(self) -> Chunk:
        """Read the next chunk's inputs. If the chunk is in the journal, read exactly as many as last time.

        Raises:
            JournalError: If the inputs differ from those in the journal.
        """
        recorded = None if self._journal is None else self._journal.find_chunk(self._number, self._index)
        chunk = Chunk(self._number, self._index, f"{self._tag}-{self._number}")
        digest = hashlib.sha256()
        size = self._sizer.size if recorded is None else recorded.count
        while chunk.count < size:
            most = min(size - chunk.count, self._read_ahead.count)
            if self._unread:
                values, self._unread = self._unread[:most], self._unread[most:]
            elif self._failure is None and not self._source.ended:
                values, self._failure = self._source.take_inputs(most)
            else:
                break
            if not values:
                break
            fitting = self._fill_chunk(chunk, values, digest, is_recorded=recorded is not None)
            if fitting < len(values):
                self._unread = values[fitting:] + self._unread
                break
            if self._options["idempotency_key"] is not None and chunk.values:
                try:
                    key = self._options["idempotency_key"](values[0])
                    chunk.idempotency_key = None if key is None else check_key(key)
                except Exception as error:
                    # Treat this as if the inputs had raised the exception: raise it after the outcomes of all earlier
                    # inputs have been yielded.
                    self._failure = error
                    return Chunk(self._number, self._index, chunk.tag)
        chunk.digest = digest.hexdigest()
        if recorded is not None:
            if chunk.digest != recorded.digest and self._failure is not None:
                # Reading the inputs failed partway through the chunk, so don't run the chunk.
                chunk.count = 0
                return chunk
            if chunk.digest != recorded.digest:
                raise errors.JournalError(
                    f"inputs {recorded.first} to {recorded.first + recorded.count - 1} do not match the journal",
                    hint="pass the same inputs in the same order to continue a batch",
                )
            if recorded.settled:
                chunk.begin_attempt(recorded.attempt, recorded.settled)
            chunk.attempt, chunk.run_id, chunk.outcomes = recorded.attempt, recorded.run_id, recorded.outcomes
        if chunk.count:
            self._number += 1
        return chunk

    def _fill_chunk(self, chunk: Chunk, values: list[Any], digest: Any, *, is_recorded: bool) -> int:
        """Add inputs to a chunk and return how many fit.

        Args:
            chunk: The chunk.
            values: The inputs.
            digest: The hash to update with the JSON of the inputs.
            is_recorded: Whether the chunk and its number of inputs are in the journal, in which case they all fit.
        """
        # Fast path: inputs are nearly always plain JSON and nearly always fit, so check and encode them all in one go.
        text = encode_if_plain(values)
        if text is not None and self._input_check is not None:
            fits_all = partial(self._input_check.are_values_valid, values)
            text = text if sync_compute(fits_all, is_long=len(values) > _LONG_CHECK_COUNT) else None
        if text is not None and (is_recorded or chunk.size + len(text) <= self._read_ahead.max_bytes):
            count, text = len(values), text[1:-1]
            self._read_ahead.adapt_count_to_size(count, len(text))
            digest.update(b"," + text)
            chunk.indexes.extend(range(self._index, self._index + count))
            chunk.keys.extend(map(chunks.get_input_id_or_key, values))
            chunk.values.extend(values)
            chunk.texts.append(text)
            chunk.count += count
            chunk.size += len(text)
            self._index += count
            return count
        count, size = len(chunk.values), chunk.size
        for place, (value, text, error) in enumerate(sync_compute(lambda: [*map(self._encode_input, values)])):
            added = len(text) if error is None else 0
            if not is_recorded and chunk.count and chunk.size + added > self._read_ahead.max_bytes:
                return place
            index, key = self._index, chunks.get_input_id_or_key(value)
            self._index += 1
            chunk.count += 1
            digest.update(b"," + text)
            if error is not None:
                chunk.refused.append(_make_refused_outcome(index, key, error.message, error.hint))
                continue
            chunk.size += added + 1
            chunk.indexes.append(index)
            chunk.keys.append(key)
            chunk.values.append(value)
            chunk.texts.append(text)
        self._read_ahead.adapt_count_to_size(max(1, len(chunk.values) - count), chunk.size - size)
        return len(values)

    def _encode_input(self, value: Any) -> tuple[Any, bytes, InvalidArgumentError | None]:
        """Return an input, its JSON if it can be encoded, and an error if it can't be sent."""
        if isinstance(value, Exception):
            return None, b"", InvalidArgumentError(str(value))
        text = b""
        try:
            value = check_json(value, "the input", exact_integers=self._has_exact_numbers, max_depth=MAX_INPUT_DEPTH)
            text = to_json(value)
            if self._input_check is not None:
                self._input_check.require_valid_input(value)
        except InvalidArgumentError as error:
            return value, text, error
        return value, text, None

    def _run_chunk(self, chunk: Chunk) -> Chunk:
        """Run the flow on a chunk's inputs, retrying some if necessary, and return the chunk with its outcomes."""
        if chunk.outcomes is not None:
            # The outcomes are already in the journal.
            return chunk
        began = time.monotonic()
        outcomes: list[Outcome] = []
        if chunk.values:
            with measure_chunk(len(chunk.values)):
                outcomes = self._run_chunk_once(chunk)
        seconds = time.monotonic() - began
        timings, backoff = self._connection.timings, None
        while self._retries.is_enabled:
            again = self._retries.find_retried_inputs(self._apply_output_type(outcomes), chunk.attempt)
            if not again:
                break
            backoff = backoff or Backoff(timings.retry_first_pause, timings.retry_longest_pause, jitter=True)
            settled = [outcome for outcome in outcomes if outcome.index not in again]
            self._begin_next_attempt(chunk, chunk.attempt + 1, settled)
            self._in_flight.pop(chunk.number, None)
            time.sleep(backoff.next_delay())
            if self._is_closed:
                # A sleeping thread can't be cancelled, so check whether the batch has ended when it wakes up.
                raise StepflowClientError("the batch has ended")
            with measure_chunk(len(chunk.values)):
                outcomes = self._run_chunk_once(chunk)
        if chunk.refused or chunk.settled:
            outcomes = sorted([*outcomes, *chunk.settled, *chunk.refused], key=lambda outcome: outcome.index)
        if self._journal is not None:
            self._journal.record_outcomes(chunk.number, outcomes)
        self._in_flight.pop(chunk.number, None)
        chunk.outcomes = outcomes
        self._sizer.record_chunk_duration(chunk.count, seconds)
        return chunk

    def _run_chunk_once(self, chunk: Chunk) -> list[Outcome]:
        """Run the flow once on a chunk's inputs and return their outcomes."""
        began = time.monotonic()
        if chunk.run_id is not None:
            run = responses.StartedRun(chunk.run_id, ExecutionStatus.RUNNING, [])
        else:
            try:
                run = self._find_or_create_chunk_run(chunk)
            except errors.IdempotencyConflictError as error:
                return [_make_refused_outcome(chunk.first, chunk.keys[0], error.message, error.hint)]
            except errors.InvalidRequestError:
                rejected = self._creator.find_server_rejected_inputs(chunk.values)
                if not rejected:
                    raise
                # Create the run without the inputs that the server rejected.
                settled = []
                for place, rejection in rejected.items():
                    message = f"the server rejected the input: {rejection.message}"
                    index, key = chunk.indexes[place], chunk.keys[place]
                    settled.append(_make_refused_outcome(index, key, message, rejection.hint))
                self._begin_next_attempt(chunk, chunk.attempt, settled)
                return self._run_chunk_once(chunk) if chunk.values else []
            if self._journal is not None:
                self._journal.record_run(chunk.number, run.run_id)
        run_id = self._in_flight[chunk.number] = run.run_id
        is_part = chunk.idempotency_key is None
        if is_part and self._record.record_created(run_id, chunk.values) and self._journal is not None:
            self._journal.record_or_get_first_run(run_id)
        status, listed = run.status, None
        try:
            if not (run.has_ended and len(run.answers) == len(chunk.values)):
                ended, listed = self._waiter.wait_for_end_and_read(run_id, self._waiter.read_items)
                status = ended.status
            # If the run has completed, so have all of its items.
            elif status is not ExecutionStatus.COMPLETED:
                listed = responses.read_items(run_id, run.answers, self._connection.get_output_decoder(run_id))
                listed = self._runs.add_failure_details(listed, status)
            self._recorder.record_end(run_id, status, is_part=is_part)
        except NotFoundError as error:
            if self._options["on_lost"] == "rerun" and chunk.run_id is not None:
                chunk.run_id = None
                return self._run_chunk_once(chunk)
            # The server was restarted without its store.
            lost = types.FlowError(message=f"the server has lost the run: {error.message}", code=types.ErrorCode.LOST)
            results = [types.FlowResult(run_id=run_id, status=ExecutionStatus.FAILED, error=lost)] * len(chunk.values)
        else:
            decoder = self._connection.get_output_decoder(run_id)
            items = run.answers if listed is None else listed.items
            outputs = responses.read_outputs_if_completed(run_id, items, decoder)
            if outputs is not None and len(outputs) == len(chunk.values):
                seconds, completed = time.monotonic() - began, ExecutionStatus.COMPLETED
                return [
                    Outcome._make_unchecked(index, key, run_id, completed, output, None, seconds, chunk.attempt, item)
                    for item, (index, key, output) in enumerate(zip(chunk.indexes, chunk.keys, outputs, strict=True))
                ]
            if listed is None:
                listed = responses.read_items(run_id, run.answers, decoder)
            results = responses.read_results(listed, status, decoder)
        seconds = time.monotonic() - began
        outcomes: list[Outcome] = []
        for index, key, value, result in zip(chunk.indexes, chunk.keys, chunk.values, results, strict=True):
            explained, item = self._add_hint_to_input_error(result.error, value), len(outcomes)
            outcome = Outcome(index, key, run_id, result.status, result.output, explained, seconds, chunk.attempt, item)
            outcomes.append(outcome)
        return outcomes

    def _find_or_create_chunk_run(self, chunk: Chunk) -> responses.StartedRun:
        """Create the run for a chunk, or return the run created before a crash or with the same key."""
        hold = None if self._options["on_cancel"] == "cancel" else self._connection.timings.creation_hold
        # If this is the only run of the batch, it can use the whole concurrency limit.
        is_only = self._number == 1 and self._source.ended and not self._unread
        concurrency = self._max_concurrency if is_only else self._lanes[chunk.lane]
        arguments = self._arguments
        if chunk.idempotency_key is not None:
            overrides = None if arguments.overrides is None else {"steps": arguments.overrides}
            call = RunCall(self._content, chunk.values, overrides, arguments.variables, max_concurrency=concurrency)
            scope = self._options["idempotency_scope"]
            call = call._replace(idempotency_key=chunk.idempotency_key, idempotency_scope=scope, source=self._flow)
            with self._recorder.labeling_new_runs(self._options["labels"]):
                return self._keyed().start_run(call, hold)
        arguments = arguments._replace(inputs=chunk.values, max_concurrency=concurrency, text=b",".join(chunk.texts))
        for again in (self._connection.spread is None, False):
            # With a journal, each chunk gets its own copy of the flow, so that its run can be found after a crash.
            # Without a journal, consecutive chunks in a lane share a copy until a response is lost.
            flow_id = self._lane_flows.get(chunk.lane)
            if flow_id is None:
                copy = add_tag_to_flow(self._content, chunk.attempt_tag)
                flow_id = self._flows.validate_and_store_copy(self._checked, copy)
                if self._journal is None:
                    self._lane_flows[chunk.lane] = flow_id
            if (existing := self._existing_run_ids.get(flow_id)) is not None:
                return responses.StartedRun(existing, ExecutionStatus.RUNNING, [])
            self._flows.registries.of_current_process.record_single_call_flow(flow_id)
            try:
                stored = StoredCopy(flow_id, self._requirements)
                on_lost = partial(self._lane_flows.pop, chunk.lane, None)
                return self._creator.create_run_of_copy(stored, arguments, hold, on_lost)
            except NotFoundError:
                # The server must have lost the flow in a restart, so store it again.
                self._lane_flows.pop(chunk.lane, None)
                if not again:
                    raise
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def _begin_next_attempt(self, chunk: Chunk, attempt: int, settled: list[Outcome]) -> None:
        chunk.begin_attempt(attempt, [*chunk.settled, *settled])
        if self._journal is not None:
            self._journal.record_chunk_repeat(chunk)

    def _apply_output_type(self, outcomes: list[Outcome]) -> list[Outcome]:
        kind = self._output_type
        return outcomes if kind is None else [output_types.convert_outcome(outcome, kind) for outcome in outcomes]

    def _add_hint_to_input_error(self, error: types.FlowError | None, value: Any) -> types.FlowError | None:
        """Add a hint to an input's error, saying what to change and (if known) where the step is defined in Python."""
        if error is None:
            return None
        from .._runs.component_input_hints import find_run_error_hint

        if self._effective_flow is None:
            from ..flows.interpreter import apply_overrides_if_valid

            self._effective_flow = apply_overrides_if_valid(self._content, {"steps": self._arguments.overrides or {}})
        hint = error.hint or find_run_error_hint(error, self._effective_flow, value, self._arguments.variables)
        return add_python_place_to_error(replace(error, hint=hint) if hint != error.hint else error, self._flow)


def _make_refused_outcome(index: int, key: str | int | None, message: str, hint: str | None) -> Outcome:
    """Return the outcome of an input that wasn't run because it was rejected."""
    error = types.FlowError(message=message, code=types.ErrorCode.INVALID_INPUT, hint=hint)
    return Outcome(index, key, None, ExecutionStatus.FAILED, None, error, attempts=0)
