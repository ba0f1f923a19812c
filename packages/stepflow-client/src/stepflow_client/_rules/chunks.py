"""Splits a batch into runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._data.values import encode
from ..types.results import Outcome

# Number of inputs of one run: the first size and the maximum. The time a server needs for a run grows
# with the square of its number of items.
_FIRST_SIZE, _MAX_SIZE = 32, 400
# Target duration of a chunk in seconds. Longer chunks delay outcomes; shorter ones need more requests per input.
_TARGET_SECONDS = 1.0
# Number of chunks in flight per server, and the number if each input has its own run. (Servers execute ten items of a
# run at a time.)
_LANES, _SINGLE_LANES = 4, 40
# Maximum number of inputs to read at once.
_MAX_PER_REQUEST = 128
# The inputs read at once should take at most 1/16 of a chunk's bytes, estimated from the previous inputs.
_SHARE = 16


@dataclass(slots=True)
class Chunk:
    """Consecutive inputs that become one run."""

    number: int
    """The number of the chunk, from 0, in the order of the inputs."""
    first: int
    """The index of the first input."""
    tag: str
    """A tag that identifies the chunk's flow, and therefore its run; further attempts add their number."""
    count: int = 0
    """Number of inputs read for this chunk, including those that cannot be sent."""
    size: int = 0
    """Size of these inputs as JSON, in bytes."""
    digest: str = ""
    """A digest that identifies the chunk's inputs."""
    indexes: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """The values as JSON text, separated by commas within a text."""
    keys: list[str | int | None] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)
    """The outcomes of inputs that cannot be sent."""
    run_id: str | None = None
    """The id of the run of the current attempt, if it is known from a journal."""
    outcomes: list[Outcome] | None = None
    """The outcomes of all inputs: once the chunk has ended, or from a journal."""
    attempt: int = 1
    """The number of the current attempt, whose run has the inputs that are left in `values`."""
    settled: list[Outcome] = field(default_factory=list)
    """The outcomes of the inputs that earlier attempts have settled."""
    idempotency_key: str | None = None
    """The key of the only input, if the caller has given it one."""

    @property
    def run_tag(self) -> str:
        """The tag that identifies the flow of the current attempt."""
        return self.tag if self.attempt == 1 else f"{self.tag}-{self.attempt}"

    def repeat(self, attempt: int, settled: list[Outcome]) -> None:
        """Start an attempt: leave out the inputs whose outcomes are settled.

        Args:
            attempt: The number of the attempt.
            settled: The outcomes of all inputs that do not run again.
        """
        done = {outcome.index for outcome in settled}
        places = [place for place, index in enumerate(self.indexes) if index not in done]
        self.attempt, self.settled, self.run_id = attempt, settled, None
        self.indexes = [self.indexes[place] for place in places]
        self.keys = [self.keys[place] for place in places]
        self.values = [self.values[place] for place in places]
        self.texts = [encode(value) for value in self.values]


class ChunkSizer:
    """Chooses the number of inputs of the next chunk, based on how fast the server processes chunks.

    Args:
        fixed: A size chosen by the caller; None adapts the size.
    """

    def __init__(self, fixed: int | None) -> None:
        self._fixed = fixed
        self.size = fixed or _FIRST_SIZE

    def add_chunk(self, count: int, seconds: float) -> None:
        """Record how long a chunk took. The size at most doubles or halves in one step."""
        if self._fixed is not None or not count:
            return
        target = count * _TARGET_SECONDS / max(seconds, 1e-6)
        self.size = int(max(1, min(max(target, count / 2), count * 2, _MAX_SIZE)))


class ReadAhead:
    """Chooses how many inputs to read at once: fewer if the previous ones were large."""

    def __init__(self, max_bytes: int) -> None:
        """Start with one input.

        Args:
            max_bytes: Maximum size of a chunk in bytes.
        """
        self.max_bytes = max_bytes
        self.count = 1

    def add_inputs(self, count: int, size: int) -> None:
        """Record the size of inputs that were read at once."""
        fitting = self.max_bytes // _SHARE * count // max(size, 1)
        self.count = max(1, min(fitting, 2 * self.count, _MAX_PER_REQUEST))


def split_concurrency(max_concurrency: int | None, servers: int = 1, *, single: bool = False) -> list[int | None]:
    """Return the `max_concurrency` of each run in flight. Their sum is the `max_concurrency` of the batch.

    Args:
        max_concurrency: The limit for all runs together; None leaves each run to the server.
        servers: Number of servers that the runs are spread over.
        single: Whether each run has one input only.
    """
    max_lanes = (_SINGLE_LANES if single else _LANES) * servers
    if max_concurrency is None:
        return [None] * max_lanes
    lanes = min(max_lanes, max_concurrency)
    return [max_concurrency // lanes + (place < max_concurrency % lanes) for place in range(lanes)]


def get_input_key(value: Any) -> str | int | None:
    """Return the `id`, or else the `key`, of an input that is an object; None for other inputs."""
    if isinstance(value, dict):
        for name in ("id", "key"):
            key = value.get(name)
            if isinstance(key, str):
                return key
            # Python does not convert longer integers to text.
            if isinstance(key, int) and not isinstance(key, bool) and key.bit_length() < 1024:
                return key
    return None
