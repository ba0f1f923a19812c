"""The state of one batch: its inputs, read chunk by chunk, and the outcomes that can be yielded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from .._base.lazy import lazy_module
from .._codec import requests
from .._codec.requests import RunArguments
from .._data.arguments import check_integer
from .._data.values import check_json, encode, encode_plain
from .._shared.recorder import BatchRecorder
from .._shared.workers import AsyncSource, AsyncWorkers
from ..errors import InvalidArgumentError, JournalError
from ..types.statuses import ExecutionStatus

if TYPE_CHECKING:
    from .. import types
    from .._rules import chunks
    from .._rules.chunks import Chunk
    from .._stores.journal import Journal
    from ..types import FlowVariable, outcomes
    from ..types.outcomes import Outcome
else:
    types = lazy_module("stepflow_client.types")
    outcomes = lazy_module("stepflow_client.types.outcomes")
    chunks = lazy_module("stepflow_client._rules.chunks")

BYTES, OLD_BYTES = 8 << 20, 1_750_000
"""Maximum size of the inputs of one run in bytes; servers before 0.12 accept bodies of up to 2 MiB."""
_AHEAD = 8
"""Number of chunks that may be started but not yet yielded, if outcomes are ordered (or one per lane, if more)."""


class Done(NamedTuple):
    chunk: Chunk
    lane: int | None
    outcomes: list[Outcome]
    seconds: float


class Batch:
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
        source: AsyncSource,
        servers: int,
    ) -> None:
        """Check the limits and set the initial state."""
        self.sizer = chunks.ChunkSizer(None if chunk_size is None else check_integer(chunk_size, "chunk_size", least=1))
        self.lanes = chunks.lanes_of(requests.check_concurrency(max_concurrency), servers)
        self.free = list(range(len(self.lanes)))
        self.lane_flows: dict[int, str] = {}
        """The id of the flow that the chunks of a lane share, by lane."""
        self.ordered = ordered
        self.source = source
        self.exact = True
        self.ahead = chunks.ReadAhead(OLD_BYTES)
        self.tag = uuid4().hex
        self.journal: Journal | None = None
        self.reruns = False
        self.found: dict[str, str] = {}
        """The runs that already existed when the batch began, by flow id."""
        self.workers: AsyncWorkers[Done] = AsyncWorkers()
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

    def note(self, done: Done) -> None:
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

    async def _next_inputs(self, most: int) -> list[Any]:
        if self._left:
            values, self._left = self._left[:most], self._left[most:]
            return values
        if self.failure is not None or self.source.ended:
            return []
        values, self.failure = await self.source.take(most)
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
