# Written from _async/batches.py by `make generate`. Change that file instead.

"""Running a flow on any number of inputs."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import uuid4

from .._base.lazy import lazy_module
from .._codec import answers, requests
from .._codec.requests import RunArguments, Variables
from .._codec.variables import flow_variables
from .._data.values import check_json, encode, encode_plain
from .._rules import operations as api
from .._rules.creation import creation_time
from .._rules.deadline import deadline_override
from .._shared.recorder import BatchRecorder, Recorder
from .._shared.tracing import annotate, is_untraced, measured_chunk, run_ended
from .._shared.workers import SyncSource, SyncWorkers
from ..errors import InvalidArgumentError, JournalError, NotFoundError, StepflowClientError, UnsupportedByServerError
from ..flows.additions import tagged
from ..flows.file import is_flow_id
from ..types.statuses import ExecutionStatus
from .connection import Connection
from .creation import RunCreator
from .flows import FlowStore
from .runs import RunReader
from .waiting import Waiter

if TYPE_CHECKING:
    from .. import types
    from .._codec import responses
    from .._rules import chunks
    from .._rules.chunks import Chunk
    from .._stores.journal import Journal
    from ..flows.file import FlowSource
    from ..types import FlowVariable, outcomes
    from ..types.outcomes import Outcome
else:
    responses = lazy_module("stepflow_client._codec.responses")
    types = lazy_module("stepflow_client.types")
    outcomes = lazy_module("stepflow_client.types.outcomes")
    chunks = lazy_module("stepflow_client._rules.chunks")

__all__ = ["BatchRunner"]

_BYTES, _OLD_BYTES = 8 << 20, 1_750_000
"""Maximum size of the inputs of one run in bytes; servers before 0.12 accept bodies of up to 2 MiB."""
_AHEAD = 8
"""Number of chunks that may be started but not yet yielded, if outcomes are ordered (or one per lane, if more)."""


class _Done(NamedTuple):
    chunk: Chunk
    lane: int | None
    outcomes: list[Outcome]
    seconds: float


class BatchRunner:
    """Runs a flow on any number of inputs.

    Args:
        connection: The connection.
        flows: The flows of the client.
        creator: Creates runs.
        runs: Reads runs.
        waiter: Waits for runs.
        recorder: Records the runs.
    """

    def __init__(
        self,
        connection: Connection,
        flows: FlowStore,
        creator: RunCreator,
        runs: RunReader,
        waiter: Waiter,
        recorder: Recorder,
    ) -> None:
        self._connection = connection
        self._flows = flows
        self._creator = creator
        self._runs = runs
        self._waiter = waiter
        self._recorder = recorder

    def map(
        self,
        flow: FlowSource,
        inputs: Iterable[Any],
        *,
        max_concurrency: int | None = None,
        chunk_size: int | None = None,
        ordered: bool = False,
        on_error: Literal["yield", "raise"] = "yield",
        variables: Variables | None = None,
        variables_from_env: bool = False,
        overrides: Any = None,
        journal: str | os.PathLike[str] | None = None,
        on_lost: Literal["fail", "rerun"] = "fail",
        on_cancel: Literal["detach", "cancel"] = "detach",
    ) -> Generator[Outcome, None, None]:
        """Run a flow on any number of inputs and yield one outcome per input."""
        _check_choice("on_error", on_error, "yield", "raise")
        _check_choice("on_cancel", on_cancel, "detach", "cancel")
        _check_choice("on_lost", on_lost, "fail", "rerun")
        batch = _Batch(chunk_size, max_concurrency, ordered, SyncSource(inputs), self._connection.places)
        try:
            self._prepare(batch, flow, variables, variables_from_env, overrides)
            batch.reruns = on_lost == "rerun"
            if journal is not None:
                self._open_journal(batch, journal)
            while True:
                while batch.has_room():
                    chunk = batch.read_chunk()
                    if not chunk.count:
                        break
                    self._begin(batch, chunk)
                if not len(batch.workers):
                    break
                batch.note(batch.workers.finished())
                for outcome in batch.ready():
                    yield outcome if on_error == "yield" else outcome.raise_for_failure()
            if batch.failure is not None:
                raise batch.failure
            if batch.journal is not None:
                batch.journal.end()
        finally:
            batch.workers.close()
            if on_cancel == "cancel" and batch.in_flight:
                self._cancel_all(list(batch.in_flight.values()))
            if batch.journal is not None:
                batch.journal.close()

    def _prepare(
        self,
        batch: _Batch,
        flow: FlowSource,
        variables: Variables | None,
        variables_from_env: bool,
        overrides: Any,
    ) -> None:
        if is_flow_id(flow):
            raise InvalidArgumentError("map() needs the flow itself, not the id of a stored one")
        batch.flow, batch.digest, _ = self._flows.checked(flow)
        annotate(flow_name=batch.flow.get("name"))
        can = (self._connection.server()).capabilities
        batch.exact = can["exact_numbers"] or not self._creator.exact_integers
        batch.ahead.most_bytes = _BYTES if can["events"] else _OLD_BYTES
        arguments = self._creator.arguments([], variables, overrides, None)
        needs = self._flows.needs_of_flow(batch.flow, batch.digest)
        batch.arguments = requests.completed(arguments, needs, os.environ, variables_from_env)
        batch.declared = flow_variables(batch.flow)
        batch.record = self._recorder.batch(batch.flow, batch.arguments)

    def _open_journal(self, batch: _Batch, journal: str | os.PathLike[str]) -> None:
        if not (self._connection.server()).capabilities["blobs"]:
            raise UnsupportedByServerError(
                "a journal needs a server of 0.10 or newer: older ones have no flow ids that can be found again"
            )
        from .._stores.journal import Journal

        batch.journal = Journal(journal)
        given = {"flow": batch.flow, "variables": batch.arguments.variables, "overrides": batch.arguments.overrides}
        batch.tag = batch.journal.begin({name: _digest(encode(value)) for name, value in given.items()})
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

    def _begin(self, batch: _Batch, chunk: Chunk) -> None:
        """Start a chunk, or pass on its outcomes if the journal has them."""
        if chunk.outcomes is not None:
            batch.workers.start(partial(_known, _Done(chunk, None, chunk.outcomes, 0.0)))
            return
        if batch.journal is not None:
            batch.journal.begun(chunk)
        place = batch.free.pop()
        batch.workers.start(partial(self._run_chunk, batch, chunk, place))

    def _run_chunk(self, batch: _Batch, chunk: Chunk, place: int) -> _Done:
        began = time.monotonic()
        found: list[Outcome] = []
        if chunk.values:
            with measured_chunk(len(chunk.values)):
                found = self._outcomes(batch, chunk, place)
        every = sorted([*found, *chunk.refused], key=lambda outcome: outcome.index) if chunk.refused else found
        if batch.journal is not None:
            batch.journal.ended(chunk.number, every)
        batch.in_flight.pop(chunk.number, None)
        return _Done(chunk, place, every, time.monotonic() - began)

    def _outcomes(self, batch: _Batch, chunk: Chunk, place: int) -> list[Outcome]:
        run_id, began = chunk.run_id, time.monotonic()
        listed: Any = None
        status = ExecutionStatus.RUNNING
        try:
            if run_id is None:
                run = self._chunk_run(batch, chunk, place)
                run_id = run.run_id
                if batch.journal is not None:
                    batch.journal.created(chunk.number, run_id)
                if run.has_ended and len(run.answers) == len(chunk.values):
                    read = responses.items(run_id, run.answers, self._connection.reading(run_id))
                    status = run.status
                    # In a completed run, every item has completed.
                    is_complete = status is types.ExecutionStatus.COMPLETED
                    listed = read if is_complete else self._runs.explain(read, status)
            batch.in_flight[chunk.number] = run_id
            batch.record.created(run_id)
            if listed is None:
                ended, listed = self._waiter.finished(
                    run_id, wait=True, timeout=None, single=False, read=self._waiter.ended_items
                )
                status = ended.status
            if not is_untraced():
                run_ended(run_id, status)
            results = responses.outcomes(listed, status, self._connection.reading(run_id))
        except NotFoundError as error:
            if run_id is None:
                raise
            if batch.reruns and chunk.run_id is not None:
                chunk.run_id = None
                return self._outcomes(batch, chunk, place)
            # The server was restarted without its store.
            results = [_lost(error)] * len(chunk.values)
        seconds, make = time.monotonic() - began, outcomes.Outcome
        return [
            make(index, key, run_id, status, output, error, seconds)
            for index, key, (status, output, error) in zip(chunk.indexes, chunk.keys, results, strict=True)
        ]

    def _chunk_run(self, batch: _Batch, chunk: Chunk, place: int) -> answers.Started:
        """Create the run of a chunk, or return the one that was created before a crash."""
        arguments = batch.arguments._replace(
            inputs=chunk.values, max_concurrency=batch.lanes[place], text=b",".join(chunk.texts)
        )
        for again in (self._connection.spread is None, False):
            flow_id = self._chunk_flow(batch, chunk, place)
            known = batch.found.get(flow_id)
            if known is not None:
                return answers.Started(known, ExecutionStatus.RUNNING, [])
            self._flows.registries.current.reserve(flow_id)
            try:
                return self._creator.create(
                    flow_id,
                    arguments,
                    answers.started,
                    declared=batch.declared,
                    output=batch.flow.get("output"),
                    wait=self._connection.timings.creation_hold,
                    on_lost=partial(batch.lane_flows.pop, place, None),
                )
            except NotFoundError:
                # A server that was restarted in the meantime has lost the flow.
                batch.lane_flows.pop(place, None)
                if not again:
                    raise
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def _chunk_flow(self, batch: _Batch, chunk: Chunk, place: int) -> str:
        """Return the id of the copy of the flow that a chunk runs.

        With a journal, each chunk has its own copy, by which its run is found after a crash. Without one, the
        consecutive chunks of a lane share a copy until a response is lost.
        """
        known = batch.lane_flows.get(place)
        if known is None:
            known = self._flows.store_accepted(batch.flow, tagged(batch.flow, chunk.tag), batch.digest)
            if batch.journal is None:
                batch.lane_flows[place] = known
        return known

    def _cancel_all(self, run_ids: list[str]) -> None:
        with deadline_override(time.monotonic() + self._connection.timings.cancel_limit):
            for run_id in run_ids:
                with suppress(StepflowClientError):
                    self._runs.cancel_run(run_id)


class _Batch:
    """The state of one batch."""

    flow: dict[str, Any]
    digest: bytes
    arguments: RunArguments
    declared: dict[str, FlowVariable]
    record: BatchRecorder

    def __init__(
        self,
        chunk_size: int | None,
        max_concurrency: int | None,
        ordered: bool,
        source: SyncSource,
        servers: int,
    ) -> None:
        """Check the limits and set the initial state."""
        self.sizer = chunks.ChunkSizer(requests.check_limit(chunk_size, "chunk_size", least=1))
        self.lanes = chunks.lanes_of(requests.check_concurrency(max_concurrency), servers)
        self.free = list(range(len(self.lanes)))
        self.lane_flows: dict[int, str] = {}
        """The id of the flow that the chunks of a lane share, by lane."""
        self.ordered = ordered
        self.source = source
        self.exact = True
        self.ahead = chunks.ReadAhead(_OLD_BYTES)
        self.tag = uuid4().hex
        self.journal: Journal | None = None
        self.reruns = False
        self.found: dict[str, str] = {}
        """The runs that already existed when the batch began, by flow id."""
        self.workers: SyncWorkers[_Done] = SyncWorkers()
        self.in_flight: dict[int, str] = {}
        """The ids of runs that have not ended, by chunk number."""
        self.done: dict[int, list[Outcome]] = {}
        """The outcomes of finished chunks that were not yielded yet, by chunk number."""
        self.failure: Exception | None = None
        """The exception raised while reading the inputs."""
        self._left: list[Any] = []
        """Inputs that were read but did not fit into a chunk."""
        self._number = self._index = self._next = 0

    def has_room(self) -> bool:
        """Return whether another chunk may be started."""
        is_ended = not self._left and (self.source.ended or self.failure is not None)
        if is_ended or not self.free or len(self.workers) >= len(self.lanes):
            return False
        return not self.ordered or self._number - self._next < max(_AHEAD, len(self.lanes))

    def note(self, done: _Done) -> None:
        """Record a finished chunk."""
        self.done[done.chunk.number] = done.outcomes
        if done.lane is not None:
            self.free.append(done.lane)
            self.sizer.note(done.chunk.count, done.seconds)

    def ready(self) -> list[Outcome]:
        """Return the outcomes that can be yielded now."""
        ready: list[Outcome] = []
        while self.done and (not self.ordered or self._next in self.done):
            number = self._next if self.ordered else next(iter(self.done))
            ready += self.done.pop(number)
            self._next = max(self._next, number + 1)
        return ready

    def read_chunk(self) -> Chunk:
        """Read the inputs of the next chunk: as many as before, if the journal has the chunk.

        Raises:
            JournalError: If the inputs differ from those in the journal.
        """
        known = None if self.journal is None else self.journal.chunk(self._number, self._index)
        chunk = chunks.Chunk(self._number, self._index, f"{self.tag}-{self._number}")
        import hashlib

        seen = hashlib.sha256()
        wanted = self.sizer.size if known is None else known.count
        while chunk.count < wanted:
            values = self._next_inputs(min(wanted - chunk.count, self.ahead.count))
            if not values:
                break
            fitting = self._add_all(chunk, values, seen, is_known=known is not None)
            if fitting < len(values):
                self._left = values[fitting:] + self._left
                break
        chunk.digest = seen.hexdigest()
        if known is not None:
            if chunk.digest != known.digest and self.failure is None:
                raise JournalError(
                    f"inputs {known.first} to {known.first + known.count - 1} are not those of the journal",
                    hint="a batch goes on with the same inputs in the same order",
                )
            if chunk.digest != known.digest:
                # Reading the inputs failed within the chunk: do not run it.
                chunk.count = 0
                return chunk
            chunk.run_id, chunk.outcomes = known.run_id, known.outcomes
        if chunk.count:
            self._number += 1
        return chunk

    def _next_inputs(self, most: int) -> list[Any]:
        if self._left:
            values, self._left = self._left[:most], self._left[most:]
            return values
        if self.failure is not None or self.source.ended:
            return []
        values, self.failure = self.source.take(most)
        return values

    def _add_all(self, chunk: Chunk, values: list[Any], seen: Any, *, is_known: bool) -> int:
        """Add inputs to a chunk, and return how many fit.

        Args:
            chunk: The chunk.
            values: The inputs.
            seen: The hash that is updated with their JSON.
            is_known: Whether the journal has the chunk with its number of inputs, so that all of them fit.
        """
        # Almost always, all inputs are plain JSON and fit: then they are checked and encoded in one step.
        text = encode_plain(values)
        if text is not None and (is_known or chunk.size + len(text) <= self.ahead.most_bytes):
            count, text = len(values), text[1:-1]
            self.ahead.note(count, len(text))
            seen.update(b"," + text)
            chunk.indexes.extend(range(self._index, self._index + count))
            chunk.keys.extend(map(chunks.key_of, values))
            chunk.values.extend(values)
            chunk.texts.append(text)
            chunk.count += count
            chunk.size += len(text)
            self._index += count
            return count
        began, before = len(chunk.values), chunk.size
        for place, given in enumerate(values):
            value, said = self._checked(given)
            size = len(said) if isinstance(said, bytes) else 0
            if not is_known and chunk.count and chunk.size + size > self.ahead.most_bytes:
                return place
            self._add(chunk, value, said)
            seen.update(b"," + (said if isinstance(said, bytes) else b""))
        self.ahead.note(max(1, len(chunk.values) - began), chunk.size - before)
        return len(values)

    def _checked(self, given: Any) -> tuple[Any, bytes | _Refusal]:
        if isinstance(given, Exception):
            return None, _Refusal(str(given))
        try:
            value = check_json(given, "the input", exact_integers=self.exact)
            return value, encode(value)
        except InvalidArgumentError as error:
            return given, _Refusal(error.message)

    def _add(self, chunk: Chunk, value: Any, said: bytes | _Refusal) -> None:
        index, key = self._index, chunks.key_of(value)
        self._index += 1
        chunk.count += 1
        if isinstance(said, _Refusal):
            error = types.FlowError(message=said.message, code=types.ErrorCode.INVALID_INPUT)
            chunk.refused.append(outcomes.Outcome(index, key, None, ExecutionStatus.FAILED, None, error))
            return
        chunk.size += len(said) + 1
        chunk.indexes.append(index)
        chunk.keys.append(key)
        chunk.values.append(value)
        chunk.texts.append(said)


class _Refusal(NamedTuple):
    """Why an input cannot be sent."""

    message: str


def _known(done: _Done) -> _Done:
    return done


def _flows(answer: dict[str, Any]) -> dict[str, str]:
    """Return the flow ids in a list of runs, by run id."""
    return {str(run["runId"]): str(run["flowId"]) for run in answer["runs"]}


def _lost(error: NotFoundError) -> tuple[types.ExecutionStatus, None, types.FlowError]:
    said = types.FlowError(message=f"the server has lost the run: {error.message}", code=types.ErrorCode.LOST)
    return ExecutionStatus.FAILED, None, said


def _digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _check_choice(name: str, value: str, *choices: str) -> None:
    if value not in choices:
        raise InvalidArgumentError(f"{name} is {' or '.join(map(repr, choices))}, not {value!r}")
