"""The state of one batch: its inputs, read chunk by chunk, and the outcomes that can be yielded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import uuid4

from .. import types
from .._base.lazy import lazy_module
from .._codec import requests, typed
from .._codec.idempotency_markers import check_key
from .._codec.requests import RunArguments, Variables
from .._concurrency.background import AsyncSource, AsyncWorkers
from .._concurrency.input_checks import async_checked
from .._data.arguments import check_choice, check_flags, check_function, check_integer
from .._data.values import INPUT_DEPTH, check_json, encode, encode_plain
from .._rules import chunks
from .._rules.input_retries import RetryOn, RetryRule
from .._telemetry.recorder import BatchRecorder
from ..errors import InvalidArgumentError, InvalidRequestError, JournalError
from ..flows.python_places import located
from ..types.statuses import ExecutionStatus

if TYPE_CHECKING:
    from .._rules.chunks import Chunk
    from .._runs.refusals import FailureHints
    from .._stores.journal import Journal
    from ..flows.needs import ValueCheck
    from ..types import FlowVariable, outcomes
    from ..types.outcomes import Outcome
else:
    outcomes = lazy_module("stepflow_client.types.outcomes")

BYTES, OLD_BYTES = 8 << 20, 1_750_000
"""Maximum size of the inputs of one run in bytes; older servers accept bodies of up to 2 MiB."""
_MANY = 100
"""Number of inputs from which on their check is long."""
_MAX_CHUNKS_AHEAD = 8
"""Number of chunks that may be started but not yet yielded, if outcomes are ordered (or one per lane, if more)."""


class Done(NamedTuple):
    chunk: Chunk
    lane: int | None
    outcomes: list[Outcome]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """The options of one batch, as the caller gave them; `StepflowClient.map` describes them."""

    max_concurrency: int | None
    chunk_size: int | None
    ordered: bool
    on_error: Literal["yield", "raise"]
    variables: Variables | None
    variables_from_env: bool
    overrides: Any
    output_type: Any
    check_input: bool
    max_attempts: int | None
    retry_on: RetryOn | None
    idempotency_key: Callable[[Any], str | None] | None
    idempotency_scope: str | None
    labels: Mapping[str, str] | None
    journal: str | os.PathLike[str] | None
    on_lost: Literal["fail", "rerun"]
    on_cancel: Literal["detach", "cancel"]

    def check(self) -> None:
        """Check the options that `Batch` does not check.

        Raises:
            InvalidArgumentError: If one is invalid, or if they exclude each other.
        """
        check_choice(self.on_error, "on_error", ("yield", "raise"))
        check_choice(self.on_cancel, "on_cancel", ("detach", "cancel"))
        check_choice(self.on_lost, "on_lost", ("fail", "rerun"))
        check_flags(check_input=self.check_input, ordered=self.ordered, variables_from_env=self.variables_from_env)
        if check_function(self.idempotency_key, "idempotency_key") is None:
            return
        for name, usual in (("journal", None), ("max_attempts", 1), ("chunk_size", 1)):
            if getattr(self, name) not in (None, usual):
                raise InvalidArgumentError(f"idempotency_key and {name} exclude each other", hint=_EXCLUDED[name])

    @property
    def continuation(self) -> str | None:
        """How the batch can continue after an error that ended it; None if it cannot."""
        if self.journal is not None:
            return f"the same call with the journal {os.fsdecode(self.journal)} continues the batch"
        return None if self.idempotency_key is None else "the same call continues the batch: its keys find their runs"


_EXCLUDED = {
    "journal": "the same call with the same keys finds the runs after a crash, without a journal",
    "max_attempts": "a key stands for one run, also if that has failed",
    "chunk_size": "each input is a run of its own",
}
"""Why an option cannot be combined with idempotency keys."""


class Batch:
    """The state of one batch."""

    given: Any
    """The flow as the caller gave it."""
    flow: dict[str, Any]
    digest: bytes
    arguments: RunArguments
    declared: dict[str, FlowVariable]
    record: BatchRecorder

    def __init__(self, options: BatchOptions, source: AsyncSource, servers: int) -> None:
        options.check()
        self.options = options
        self.retries = RetryRule(options.max_attempts, options.retry_on)
        self.input_check: ValueCheck | None = None
        """Checks inputs against the schema of the flow."""
        size = None if options.chunk_size is None else check_integer(options.chunk_size, "chunk_size", least=1)
        is_keyed = options.idempotency_key is not None
        self.sizer = chunks.ChunkSizer(1 if is_keyed else size)
        self._limit = requests.check_concurrency(options.max_concurrency)
        self._lanes = chunks.lanes_of(self._limit, servers, single=is_keyed)
        self.free = list(range(len(self._lanes)))
        self.lane_flows: dict[int, str] = {}
        """The id of the flow that the chunks of a lane share, by lane."""
        self.ordered = options.ordered
        self.source = source
        self.exact = True
        self.ahead = chunks.ReadAhead(OLD_BYTES)
        self.tag = uuid4().hex
        self.journal: Journal | None = None
        self.found: dict[str, str] = {}
        """The runs that already existed when the batch began, by flow id."""
        self.workers: AsyncWorkers[Done] = AsyncWorkers()
        self.in_flight: dict[int, str] = {}
        """The ids of runs that have not ended, by chunk number."""
        self.done: dict[int, list[Outcome]] = {}
        """The outcomes of finished chunks that were not yielded yet, by chunk number."""
        self.failure: Exception | None = None
        """The exception raised while reading the inputs."""
        self.status = ExecutionStatus.COMPLETED
        """The status of the batch, as a server tells it: failed if an item did not succeed."""
        self.is_closed = False
        """Whether nobody waits for the outcomes any more: no run is started."""
        self._left: list[Any] = []
        """Inputs that were read but did not fit into a chunk."""
        self._number = self._index = self._next = 0

    def has_room(self) -> bool:
        """Return whether another chunk may be started."""
        is_ended = not self._left and (self.source.ended or self.failure is not None)
        if is_ended or not self.free or len(self.workers) >= len(self._lanes):
            return False
        return not self.ordered or self._number - self._next < max(_MAX_CHUNKS_AHEAD, len(self._lanes))

    def concurrency(self, place: int) -> int | None:
        """Return the `max_concurrency` of a run: that of its lane, or of the whole batch if there is no other run."""
        is_only = self._number == 1 and self.source.ended and not self._left
        return self._limit if is_only else self._lanes[place]

    def note(self, done: Done) -> None:
        """Record a finished chunk."""
        self.done[done.chunk.number] = done.outcomes
        if not all(outcome.is_success for outcome in done.outcomes):
            self.status = ExecutionStatus.FAILED
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
        return self._typed(ready)

    def hinted(self, error: types.FlowError | None, given: Any) -> types.FlowError | None:
        """Return the error of an input with what to change, and where its step is written in Python, if that is known.

        Args:
            error: The error; None for an input that succeeded.
            given: The input.
        """
        if error is None:
            return None
        hint = error.hint or self._hints.of(error, given)
        return located(replace(error, hint=hint) if hint != error.hint else error, self.given)

    @cached_property
    def _hints(self) -> FailureHints:
        from .._runs.refusals import FailureHints
        from ..flows.interpreter import flow_with

        return FailureHints(flow_with(self.flow, {"steps": self.arguments.overrides or {}}), self.arguments.variables)

    def _typed(self, found: list[Outcome]) -> list[Outcome]:
        output_type = self.options.output_type
        return found if output_type is None else [typed.with_typed_outcome(each, output_type) for each in found]

    def repeats(self, chunk: Chunk, found: list[Outcome]) -> bool:
        """Start another attempt of a chunk if some of its inputs are to run again, and return whether it was started.

        Args:
            chunk: The chunk.
            found: The outcomes of the current attempt.
        """
        again = {each.index for each in self.retries.chosen(self._typed(found), chunk.attempt)}
        if not again:
            return False
        self._repeat(chunk, chunk.attempt + 1, [each for each in found if each.index not in again])
        return True

    def leave_out(self, chunk: Chunk, rejected: Mapping[int, InvalidRequestError]) -> None:
        """Settle the inputs of a chunk that the server rejects, by their positions; the run is created without them."""
        self._repeat(
            chunk,
            chunk.attempt,
            [
                refused(
                    chunk.indexes[place], chunk.keys[place], f"the server rejects the input: {each.message}", each.hint
                )
                for place, each in rejected.items()
            ],
        )

    def _repeat(self, chunk: Chunk, attempt: int, settled: list[Outcome]) -> None:
        chunk.repeat(attempt, [*chunk.settled, *settled])
        if self.journal is not None:
            self.journal.repeated(chunk)

    async def read_chunk(self) -> Chunk:
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
            values = await self._next_inputs(min(wanted - chunk.count, self.ahead.count))
            if not values:
                break
            fitting = await self._add_all(chunk, values, seen, is_known=known is not None)
            if fitting < len(values):
                self._left = values[fitting:] + self._left
                break
            if self.options.idempotency_key is not None and chunk.values and not self._has_key(chunk, values[0]):
                return chunks.Chunk(self._number, self._index, chunk.tag)
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
            if known.settled:
                chunk.repeat(known.attempt, known.settled)
            chunk.attempt, chunk.run_id, chunk.outcomes = known.attempt, known.run_id, known.outcomes
        if chunk.count:
            self._number += 1
        return chunk

    def _has_key(self, chunk: Chunk, given: Any) -> bool:
        """Set the key of the only input of a chunk. Return False if there is none because the caller's function failed.

        The exception is raised like one of the inputs: after the outcomes of the inputs before.
        """
        assert self.options.idempotency_key is not None
        try:
            key = self.options.idempotency_key(given)
            chunk.idempotency_key = None if key is None else check_key(key)
        except Exception as error:
            self.failure = error
            return False
        return True

    async def _next_inputs(self, most: int) -> list[Any]:
        if self._left:
            values, self._left = self._left[:most], self._left[most:]
            return values
        if self.failure is not None or self.source.ended:
            return []
        values, self.failure = await self.source.take(most)
        return values

    async def _add_all(self, chunk: Chunk, values: list[Any], seen: Any, *, is_known: bool) -> int:
        """Add inputs to a chunk, and return how many fit.

        Args:
            chunk: The chunk.
            values: The inputs.
            seen: The hash that is updated with their JSON.
            is_known: Whether the journal has the chunk with its number of inputs, so that all of them fit.
        """
        # Almost always, all inputs are plain JSON and fit: then they are checked and encoded in one step.
        text = encode_plain(values)
        if text is not None and self.input_check is not None:
            fits_all = partial(self.input_check.fits_all, values)
            text = text if await async_checked(fits_all, is_long=len(values) > _MANY) else None
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
        checked = await async_checked(lambda: [self._checked(each) for each in values])
        for place, (value, said) in enumerate(checked):
            size = len(said) if isinstance(said, bytes) else 0
            if not is_known and chunk.count and chunk.size + size > self.ahead.most_bytes:
                return place
            self._add(chunk, value, said)
            seen.update(b"," + (said if isinstance(said, bytes) else said.text))
        self.ahead.note(max(1, len(chunk.values) - began), chunk.size - before)
        return len(values)

    def _checked(self, given: Any) -> tuple[Any, bytes | _Refusal]:
        if isinstance(given, Exception):
            return None, _Refusal(str(given))
        value, text = given, b""
        try:
            value = check_json(given, "the input", exact_integers=self.exact, max_depth=INPUT_DEPTH)
            text = encode(value)
            if self.input_check is not None:
                self.input_check.one(value)
        except InvalidArgumentError as error:
            return value, _Refusal(error.message, error.hint, text)
        return value, text

    def _add(self, chunk: Chunk, value: Any, said: bytes | _Refusal) -> None:
        index, key = self._index, chunks.key_of(value)
        self._index += 1
        chunk.count += 1
        if isinstance(said, _Refusal):
            chunk.refused.append(refused(index, key, said.message, said.hint))
            return
        chunk.size += len(said) + 1
        chunk.indexes.append(index)
        chunk.keys.append(key)
        chunk.values.append(value)
        chunk.texts.append(said)


class _Refusal(NamedTuple):
    """Why an input cannot be sent."""

    message: str
    hint: str | None = None
    text: bytes = b""
    """The input as JSON, if it can be written."""


def refused(index: int, key: str | int | None, message: str, hint: str | None = None) -> Outcome:
    """Return the outcome of an input that cannot be sent."""
    error = types.FlowError(message=message, code=types.ErrorCode.INVALID_INPUT, hint=hint)
    return outcomes.Outcome(index, key, None, ExecutionStatus.FAILED, None, error, attempts=0)
