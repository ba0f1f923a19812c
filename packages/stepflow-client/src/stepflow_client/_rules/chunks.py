"""Splits batches into runs and decides which inputs to run again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .._base.suggestions import suggest_nearest
from .._data.arguments import check_function, check_integer, check_texts
from .._data.wire import to_json
from ..errors import InvalidArgumentError
from ..types.results import ErrorCode, Outcome

# Initial and maximum number of inputs per run. A server's processing time grows quadratically with the number of items
# in a run.
_FIRST_SIZE, _MAX_SIZE = 32, 400
# Target duration of a chunk, in seconds. Longer chunks delay outcomes; shorter chunks need more requests per input.
_TARGET_CHUNK_SECONDS = 1.0
# Number of chunks in flight per server: the usual value, then the value for batches in which each input has its own
# run. (A server executes up to ten items of a run at a time.)
_BATCH_LANES, _SINGLE_LANES = 4, 40
# Maximum number of inputs to read at once.
_MAX_INPUTS_PER_REQUEST = 128
# The inputs read at one time should take up at most 1/16 of a chunk's maximum size, assuming that they are as large as
# the previous ones.
_FIRST_FRACTION = 16


@dataclass(slots=True)
class Chunk:
    """Consecutive inputs that become one run."""

    number: int
    """The chunk number, from 0, in input order."""
    first: int
    """The index of the first input."""
    tag: str
    """A tag that identifies the chunk's flow and therefore its run. Later attempts append their number to it."""
    count: int = 0
    """The number of inputs read for this chunk, including any that can't be sent."""
    size: int = 0
    """The total size of these inputs as JSON, in bytes."""
    digest: str = ""
    """A digest of the chunk's inputs."""
    indexes: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """The input values as JSON. A single string can contain several values, separated by commas."""
    keys: list[str | int | None] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)
    """The outcomes of inputs that can't be sent."""
    run_id: str | None = None
    """The ID of the current attempt's run, if loaded from a journal."""
    outcomes: list[Outcome] | None = None
    """The outcomes of all inputs; set when the chunk ends or is loaded from a journal."""
    attempt: int = 1
    """The number of the current attempt, which runs only the inputs left in `values`."""
    settled: list[Outcome] = field(default_factory=list)
    """The outcomes settled by earlier attempts."""
    lane: int = 0
    """The number of the lane (concurrent run) this chunk uses."""
    idempotency_key: str | None = None
    """The caller's key for the input, if the chunk has just one input and the caller passed a key for it."""

    @property
    def attempt_tag(self) -> str:
        """The tag that identifies the current attempt's flow."""
        return self.tag if self.attempt == 1 else f"{self.tag}-{self.attempt}"

    def begin_attempt(self, attempt: int, settled: list[Outcome]) -> None:
        """Start another attempt without the inputs whose outcomes are settled.

        Args:
            attempt: The attempt number.
            settled: The outcomes of all inputs that should not run again.
        """
        done = {outcome.index for outcome in settled}
        places = [place for place, index in enumerate(self.indexes) if index not in done]
        self.attempt, self.settled, self.run_id = attempt, settled, None
        self.indexes = [self.indexes[place] for place in places]
        self.keys = [self.keys[place] for place in places]
        self.values = [self.values[place] for place in places]
        self.texts = [to_json(value) for value in self.values]


class ChunkSizer:
    """Picks the size of the next chunk, based on how fast the server processes chunks.

    Args:
        fixed: A fixed size, or None to adapt the size.
    """

    def __init__(self, fixed: int | None) -> None:
        self._fixed_size = fixed
        self.size = fixed or _FIRST_SIZE

    def record_chunk_duration(self, count: int, seconds: float) -> None:
        """Record how long a chunk took. The size can at most double or halve per chunk."""
        if self._fixed_size is not None or not count:
            return
        target = count * _TARGET_CHUNK_SECONDS / max(seconds, 1e-6)
        self.size = int(max(1, min(max(target, count / 2), count * 2, _MAX_SIZE)))


class ReadAhead:
    """Decides how many inputs to read at once. The larger the previous inputs, the fewer are read."""

    def __init__(self, max_bytes: int) -> None:
        """Start by reading a single input.

        Args:
            max_bytes: Maximum chunk size in bytes.
        """
        self.max_bytes = max_bytes
        self.count = 1

    def adapt_count_to_size(self, count: int, size: int) -> None:
        """Record the total size of inputs that were read together."""
        fitting = self.max_bytes // _FIRST_FRACTION * count // max(size, 1)
        self.count = max(1, min(fitting, 2 * self.count, _MAX_INPUTS_PER_REQUEST))


def split_concurrency(limit: int | None, servers: int = 1, *, single: bool = False, most: int = 99) -> list[int | None]:
    """Divide a batch's `max_concurrency` among the runs in flight.

    Args:
        limit: The limit for all runs together, or None to leave it to the server.
        servers: The number of servers the runs are spread across.
        single: Whether each run has just one input.
        most: The maximum number of runs, if known.
    """
    max_lanes = (_SINGLE_LANES if single else _BATCH_LANES) * servers
    if limit is None:
        return [None] * max_lanes
    lanes = min(max_lanes, limit, most)
    return [limit // lanes + (place < limit % lanes) for place in range(lanes)]


def get_input_id_or_key(value: Any) -> str | int | None:
    """Return an object's `id`, falling back to its `key`. Return None for any other input."""
    if isinstance(value, dict):
        for name in ("id", "key"):
            key = value.get(name)
            if isinstance(key, str):
                return key
            # Skip huge integers, which Python refuses to convert to strings.
            if isinstance(key, int) and not isinstance(key, bool) and key.bit_length() < 1024:
                return key
    return None


RetryOn: TypeAlias = "Iterable[ErrorCode | str] | Callable[[Outcome[Any]], bool]"
"""Error codes that cause an input to be rerun, or a function that decides based on the input's outcome."""

_NEWER_CODE = r"unknown_\d+"


class InputRetryRule:
    """Decides which inputs to run again.

    Args:
        max_attempts: Maximum number of times to run each input. None means once.
        retry_on: Error codes that cause an input to be rerun, or a function that decides based on the input's outcome.
            None means all retryable errors.

    Raises:
        InvalidArgumentError: If an argument is invalid or `retry_on` is passed without `max_attempts`.
    """

    def __init__(self, max_attempts: int | None, retry_on: RetryOn | None) -> None:
        if max_attempts is None and retry_on is not None:
            raise InvalidArgumentError("retry_on needs max_attempts", hint="max_attempts=3 runs an input up to 3 times")
        self._max_attempts = 1 if max_attempts is None else check_integer(max_attempts, "max_attempts", least=1)
        self._function = check_function(retry_on, "retry_on") if callable(retry_on) else None
        self._error_codes: set[ErrorCode] | None = None
        if retry_on is not None and self._function is None:
            self._error_codes = set()
            known = [code.value for code in ErrorCode]
            for text in check_texts(retry_on, "retry_on"):
                if text not in known and not re.fullmatch(_NEWER_CODE, text):
                    hint = suggest_nearest(text, known) or f"the codes are {', '.join(known)}"
                    raise InvalidArgumentError(f"retry_on contains {text!r}, which is not an error code", hint=hint)
                self._error_codes.add(ErrorCode(text))
        self.is_enabled = self._max_attempts > 1
        """Whether inputs may run more than once."""

    def find_retried_inputs(self, outcomes: Iterable[Outcome[Any]], attempt: int) -> set[int]:
        """Return the indexes of the inputs that should run again.

        Args:
            outcomes: The outcomes of the inputs that ran.
            attempt: The attempt number, from 1.
        """
        if attempt >= self._max_attempts:
            return set()
        return {outcome.index for outcome in outcomes if not outcome.is_success and self._is_retried(outcome)}

    def _is_retried(self, outcome: Outcome[Any]) -> bool:
        if self._function is not None:
            return bool(self._function(outcome))
        error = outcome.error
        if self._error_codes is None:
            return error is not None and error.is_retryable
        code = error.code if error is not None else ErrorCode.CANCELLED if outcome.is_cancelled else None
        return code in self._error_codes
